//go:build !linux

package harness

import (
	"syscall"
	"testing"
)

// endWithUs is for Linux: elsewhere a gate outlives a test that is killed.
func endWithUs() *syscall.SysProcAttr { return nil }

// NeedProc skips the test where there is no /proc to count processes and
// descriptors in.
func NeedProc(t testing.TB) {
	t.Skip("counts processes and descriptors in /proc, which only Linux has")
}

// Children cannot be told here.
func (g *Gate) Children() []int { return nil }

func zombie(int) bool { return false }

// Descriptors cannot be told here.
func (g *Gate) Descriptors() int { return -1 }

// Resident cannot be told here.
func (g *Gate) Resident() int64 { return -1 }
