package main

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestShimKilled: who is killed takes the children along, also one that would
// not notice.
func TestShimKilled(t *testing.T) {
	s := startShim(t, deaf)
	one, two := s.dial(t), s.dial(t)
	s.signal(t, syscall.SIGKILL)
	<-s.ended
	wantDead(t, one.pid)
	wantDead(t, two.pid)
	one.wantEnd(t)
}

// TestShimAllowsOthers: another user is let in where it is named, and only there.
func TestShimAllowsOthers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can connect as somebody else")
	}
	const other = 12345
	for _, flags := range [][]string{{"--mode=0666"}, {"--mode=0666", "--allow-uid=12345"}} {
		s := startShim(t, copying, flags...)
		c := dialAs(t, other, s.path)
		_ = c.SetDeadline(time.Now().Add(patience))
		line, err := bufio.NewReader(c).ReadString('\n')
		if allowed := len(flags) == 2; err != nil || strings.Contains(line, `"method":"pid"`) != allowed {
			t.Errorf("%q: read %q, %v", flags, line, err)
		}
	}
}

// dialAs connects as another user. On Linux a thread can be one by itself.
func dialAs(t *testing.T, uid int, path string) net.Conn {
	t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		var r result
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			r.err = errno
		} else {
			r.conn, r.err = net.Dial("unix", path)
		}
		done <- r
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.conn.Close() })
	return r.conn
}

// wantNothingLeft wants the shim to hold nothing that it did not hold before.
func wantNothingLeft(t *testing.T, s *runningShim, before map[string]bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		left := holds(t, s)
		maps.DeleteFunc(left, func(what string, _ bool) bool { return before[what] })
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left over: %q", slices.Collect(maps.Keys(left)))
		}
	}
}

// holds are the shim's pipes, sockets, process descriptors and children.
func holds(t *testing.T, s *runningShim) map[string]bool {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	held := map[string]bool{}
	descriptors, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range descriptors {
		target, _ := os.Readlink(dir + "fd/" + fd.Name())
		if strings.Contains(target, "pidfd") {
			target += " " + fd.Name()
		}
		if strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "pipe:") || strings.Contains(target, "pidfd") {
			held[target] = true
		}
	}
	tasks, err := os.ReadDir(dir + "task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, _ := os.ReadFile(dir + "task/" + task.Name() + "/children")
		for _, child := range strings.Fields(string(children)) {
			held["child "+child] = true
		}
	}
	return held
}
