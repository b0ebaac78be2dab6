//go:build linux

package chaos

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"sidegate/test/load/measure"
)

// The memory that the gate may use, of which Go's runtime is told less: what is
// not of its heap counts as well, and it does not collect before it has to. And
// what the gate may hold of messages at once; it takes two to three times that.
const (
	memory   = 256 << 20
	goMemory = memory * 3 / 4
	inFlight = 64 << 20
	largest  = 16 << 20 // --max-message
)

// squeeze sends messages as large as they may be through a gate with little
// memory, among many small ones, and wants some to be answered.
func squeeze(b *bed, while time.Duration) {
	b.group.take(b.gate.PID())
	defer b.group.free(b.gate.PID())
	b.hireLarge(4)
	b.calm("beside large messages")
	time.Sleep(while)
	b.calm("beside large messages")
	peak := measure.Peak(b.gate.PID())
	b.t.Logf("the gate had up to %d MiB resident", peak>>20)
	if peak > memory {
		b.t.Errorf("that is more than %d MiB", memory>>20)
	}
}

// hireLarge hires callers with messages as large as they may be, each of whom
// calls once a second at most.
func (b *bed) hireLarge(callers int) {
	b.t.Helper()
	for _, server := range ready {
		b.hire(Orders{Server: server, Callers: callers, Size: largest - 16<<10, Plain: true}, float64(callers))
	}
}

// A group is a cgroup with a limit of memory. There is none where none may be
// made; then GOMEMLIMIT is all that tells the gate.
type group struct {
	t    *testing.T
	dir  string
	home string // the file that takes processes out of it
}

func newGroup(t *testing.T, limit int) *group {
	t.Helper()
	for _, version := range []struct{ root, file string }{
		{"/sys/fs/cgroup", "memory.max"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
		dir, err := os.MkdirTemp(version.root, "sidegate-chaos-")
		if err != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		file := filepath.Join(dir, version.file)
		if _, err := os.Stat(file); err != nil {
			continue // the kernel makes it, where it has this controller there
		}
		if os.WriteFile(file, []byte(strconv.Itoa(limit)), 0o600) == nil {
			return &group{t, dir, filepath.Join(version.root, "cgroup.procs")}
		}
	}
	t.Log("no cgroup can be made here: the limit is GOMEMLIMIT alone")
	return &group{t: t}
}

// take puts a process into the group.
func (g *group) take(pid int) {
	g.t.Helper()
	if g.dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
		g.t.Logf("the gate cannot be put into a cgroup (%v): the limit is GOMEMLIMIT alone", err)
	}
}

// free takes a process out of the group.
func (g *group) free(pid int) {
	if g.dir != "" {
		os.WriteFile(g.home, []byte(strconv.Itoa(pid)), 0o600)
	}
}
