//go:build image

package image

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process is one of a container's, as this machine sees it.
type process struct {
	pid, parent int
	dead        bool // a zombie
	command     string
}

// processes are those in the namespace of the container's first one.
func processes(t *testing.T, first int) []process {
	t.Helper()
	space, err := os.Readlink(procPath(first, "ns/pid"))
	if err != nil {
		t.Fatal(err)
	}
	var found []process
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// A zombie has no namespace any more, but a parent.
		own, _ := os.Readlink(procPath(pid, "ns/pid"))
		p, ok := look(pid)
		if ok && (own == space || p.dead && p.parent == first) {
			found = append(found, p)
		}
	}
	return found
}

func look(pid int) (process, bool) {
	stat, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return process{}, false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	parent, err := strconv.Atoi(fields[1])
	command, _ := os.ReadFile(procPath(pid, "cmdline"))
	return process{pid, parent, fields[0] == "Z", string(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))}, err == nil
}

func procPath(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// find waits for a process whose command contains text.
func find(t *testing.T, first int, text string) process {
	t.Helper()
	var found process
	eventually(t, "a process "+text+" runs in the container", func() bool {
		all := processes(t, first)
		i := slices.IndexFunc(all, func(p process) bool { return strings.Contains(p.command, text) })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

// wantReaped waits until a process is no more, not even as a zombie.
func wantReaped(t *testing.T, pid int) {
	t.Helper()
	eventually(t, "process "+strconv.Itoa(pid)+" is gone and reaped", func() bool {
		return syscall.Kill(pid, 0) == syscall.ESRCH
	})
}

// As PID 1 the gate gets what a tool server leaves behind, and reaps it.
func TestReapsWhatAToolLeaves(t *testing.T) {
	p := bed(t)
	c := p.startGate(t, fixture(p), []string{"--", "/fixture"})
	first := c.pid(t)
	session := c.connect(t)
	call(t, session, "spawn", map[string]any{"kind": "away-polite"})
	orphan := find(t, first, "-grandchild away-polite")
	if orphan.parent == first {
		t.Errorf("%v is no grandchild", orphan)
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	wantReaped(t, orphan.parent)
	wantReaped(t, orphan.pid)
	wantSound(t, c)
}

// It reaps, too, what comes into the container from outside and is left there,
// as by a probe that is given up.
func TestReapsWhatComesFromOutside(t *testing.T) {
	p := bed(t)
	c := p.startGate(t, fixture(p), []string{"--warm=0", "--", "/fixture"})
	c.saying(t, "MCP at ")
	first := c.pid(t)

	// The launcher runs a server as its child, with the standard input that we
	// hold open.
	probe := exec.Command("podman", "exec", "--interactive", c.id, "/fixture", "-wrap")
	probe.Env = p.env
	probe.WaitDelay = 5 * time.Second
	input, err := probe.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := probe.Start(); err != nil {
		t.Fatal(err)
	}
	launcher := find(t, first, "/fixture -wrap")
	var child process
	eventually(t, "the launcher has a child", func() bool {
		for _, q := range processes(t, first) {
			if q.parent == launcher.pid {
				child = q
			}
		}
		return child.pid != 0
	})
	if err := syscall.Kill(launcher.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = input.Close()
	_ = probe.Wait() // it was killed, and says so
	_ = syscall.Kill(child.pid, syscall.SIGTERM)
	wantReaped(t, child.pid)
	wantSound(t, c)
}

// wantSound fails unless the gate still knows how its own children end: a
// server that is killed is named by its signal, and the exit code is 0.
func wantSound(t *testing.T, c *container) {
	t.Helper()
	session := c.connect(t)
	call(t, session, "pid", nil)
	first := c.pid(t)
	for _, q := range processes(t, first) {
		if q.dead {
			t.Logf("a zombie at the moment: %v", q)
		}
		if q.pid != first && strings.HasPrefix(q.command, "/fixture") {
			_ = syscall.Kill(q.pid, syscall.SIGKILL)
		}
	}
	c.saying(t, "was ended by signal 9")
	c.do(t, "kill", "--signal=TERM", c.id)
	if code := c.exitCode(t); code != "0" {
		t.Errorf("exit code %s\n%s", code, c.log())
	}
}
