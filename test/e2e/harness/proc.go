package harness

import (
	"syscall"
	"testing"
)

// Alive tells whether a process runs under pid. One that has ended and waits
// for somebody to reap it does not count.
func Alive(pid int) bool { return syscall.Kill(pid, 0) == nil && !zombie(pid) }

// WantNoGrowth checks that the gate's resident memory has grown by no more
// than so many bytes since it was before. The race detector's own memory
// cannot be told apart, so nothing is checked under it.
func (g *Gate) WantNoGrowth(t testing.TB, before, most int64) {
	t.Helper()
	grown := g.Resident() - before
	t.Logf("the gate has grown by %d MiB", grown>>20)
	if grown > most && !raceEnabled {
		t.Errorf("the gate has grown by %d MiB, which is more than %d MiB", grown>>20, most>>20)
	}
}
