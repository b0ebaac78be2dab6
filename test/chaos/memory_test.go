//go:build linux

package chaos

import (
	"fmt"
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

// TestMemory sends messages as large as they may be through a gate with little
// memory, among many small ones.
func TestMemory(t *testing.T) {
	s := theScale(t)
	if !s.all {
		t.Logf("left out, as most faults are: set %s=1, or say make chaos", AllVariable)
		return
	}
	t.Parallel()
	group := newGroup(t, memory)
	b := newBed(t, plan{
		env:   []string{fmt.Sprintf("GOMEMLIMIT=%d", goMemory)},
		flags: []string{"--max-bytes-in-flight", strconv.Itoa(inFlight)},
	})
	b.works()
	before := b.rest(2*warm + links)
	t.Logf("at %v calls/s and 4 of 16 MiB to each server: %v", s.rate, b.large(s, group))
	t.Logf("the gate had up to %d MiB resident", measure.Peak(b.gate.PID())>>20)
	b.whole(before, false)
}

// large is the load. The group is for the gate alone: a child that it starts
// in there would count as well, so there are only clients of servers that run.
func (b *bed) large(s scale, group *group) *balance {
	b.t.Helper()
	loading.Lock()
	defer loading.Unlock()
	running := []string{sharedServer, webServer}
	b.works()
	b.staff(s.rate, running)
	b.calm("before large messages")
	group.take(b.gate.PID())
	for _, server := range running {
		b.hire(Orders{Server: server, Callers: 4, Size: largest - 16<<10, Plain: true}, 4)
	}
	b.calm("beside large messages")
	time.Sleep(s.while)
	b.calm("beside large messages")
	sum := b.dismiss()
	sum.want(b.t, 0)
	return sum
}

// A group is a cgroup with a limit of memory. There is none where none may be
// made; then GOMEMLIMIT is all that tells the gate.
type group struct {
	t   *testing.T
	dir string
}

func newGroup(t *testing.T, limit int) *group {
	t.Helper()
	name := fmt.Sprintf("sidegate-chaos-%d", os.Getpid())
	for _, version := range []struct{ root, file string }{
		{"/sys/fs/cgroup", "memory.max"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
		dir := filepath.Join(version.root, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		file := filepath.Join(dir, version.file)
		if _, err := os.Stat(file); err != nil {
			continue // the kernel makes it, where it has this controller there
		}
		if os.WriteFile(file, []byte(strconv.Itoa(limit)), 0o600) == nil {
			return &group{t, dir}
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
