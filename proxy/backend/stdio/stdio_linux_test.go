package stdio

import (
	"context"
	"errors"
	"fmt"

	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
)

// TestKilled: the end is seen at once although a grandchild that ignores
// SIGTERM keeps both outputs open.
func TestKilled(t *testing.T) {
	c, r := open(t, newBackend(t, "family", func(c *Config) { c.StopTimeout = contract.Patience }))
	family := pids(t, r.Next(t))
	if err := syscall.Kill(c.process.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := r.End(t); err == nil || !strings.Contains(err.Error(), "was ended by signal 9") {
		t.Errorf("Closed: %v", err)
	}
	if err := c.Send(contract.Message("{}")); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.Close(ctx)
	wantGone(t, family)
}

// TestStubbornFamily: a child that ignores end-of-file and SIGTERM, and so do
// its grandchildren, one of which has left the group and one the session too.
func TestStubbornFamily(t *testing.T) {
	c, r := open(t, newBackend(t, "stubborn family", func(c *Config) { c.StopTimeout = 100 * time.Millisecond }))
	family := pids(t, r.Next(t))
	c.Close(context.Background())
	if err := r.End(t); err != nil {
		t.Errorf("Closed: %v, want nil", err)
	}
	wantGone(t, append(family, c.process.pid))
}

// TestOrphansOfTheQuick: the child is gone at once, what it left is ended.
func TestOrphansOfTheQuick(t *testing.T) {
	c, r := open(t, newBackend(t, "leaving family", func(c *Config) { c.StopTimeout = 100 * time.Millisecond }))
	family := pids(t, r.Next(t))
	if err := r.End(t); err == nil || !strings.Contains(err.Error(), "exit status 0") {
		t.Errorf("Closed: %v", err)
	}
	c.Close(context.Background())
	wantGone(t, family)
}

// TestNeighbours: what ends with one connection is not another's.
func TestNeighbours(t *testing.T) {
	b := newBackend(t, "stubborn family", func(c *Config) { c.StopTimeout = 100 * time.Millisecond })
	one, first := open(t, b)
	two, second := open(t, b)
	mine, other := pids(t, first.Next(t)), pids(t, second.Next(t))
	one.Close(context.Background())
	wantGone(t, mine)
	for _, pid := range other {
		if syscall.Kill(pid, 0) != nil {
			t.Errorf("process %d of the other connection is gone, too", pid)
		}
	}
	two.Close(context.Background())
	wantGone(t, other)
}

// TestDescriptors: a child gets its three and no other.
func TestDescriptors(t *testing.T) {
	held, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	open(t, newBackend(t, contract.Echo)) // its pipes are not for the next
	b, err := New(Config{Command: []string{"sh", "-c", "ls /proc/self/fd >&2"}})
	if err != nil {
		t.Fatal(err)
	}
	_, r := open(t, b)
	var end *EndError
	if err := r.End(t); !errors.As(err, &end) || strings.Join(end.LastWords, " ") != "0 1 2 3" { // 3 is the directory being listed
		t.Errorf("Closed: %v", err)
	}
}

// TestParentDeath: who is killed takes its children along, also those that
// would not notice.
func TestParentDeath(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	gate := exec.Command(self)
	gate.Env = append(os.Environ(), childVariable+"=gate")
	out, err := gate.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gate.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the child is not there: %v", err)
	}
	if err := gate.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = gate.Wait()
	contract.Eventually(t, "the child dies with its gate", func() bool {
		o, ok := stat(pid)
		return !ok || o.dead
	})
}

// TestThreadsEnd: a child is not tied to the thread that asked for it, which
// Go may end.
func TestThreadsEnd(t *testing.T) {
	b := newBackend(t, contract.Echo)
	r := contract.NewRecorder()
	var c backend.Conn
	for tid := os.Getpid(); tid == os.Getpid(); { // Go keeps the main thread whatever happens
		opened := make(chan struct{})
		go func() {
			defer close(opened)
			runtime.LockOSThread() // a goroutine that ends locked takes its thread along
			if tid = syscall.Gettid(); tid == os.Getpid() {
				return
			}
			var err error
			if c, err = b.Open(context.Background(), r); err != nil {
				t.Error(err)
			}
		}()
		<-opened
		if tid != os.Getpid() {
			contract.Eventually(t, "the thread ends", func() bool { return unix.Tgkill(os.Getpid(), tid, 0) != nil })
		}
	}
	defer c.Close(context.Background())
	if err := c.Send(contract.Message(`{"jsonrpc":"2.0","id":1,"method":"echo","params":{}}`)); err != nil {
		t.Fatal(err)
	}
	r.Next(t)
}

// TestStopped: SIGTERM reaches also who is stopped, so that it can end in good
// order.
func TestStopped(t *testing.T) {
	c, r := open(t, newBackend(t, "stop itself", func(c *Config) { c.StopTimeout = time.Second }))
	r.Next(t)
	contract.Eventually(t, "the child stops", func() bool { return statFields(c.process.pid)[0] == "T" })
	c.Close(context.Background())
	if c.status.signal != syscall.SIGTERM {
		t.Errorf("the child %s, want SIGTERM", c.status)
	}
}

// TestFirstProcess: as PID 1 the gate reaps whatever ends up with it, and
// takes no exit status that is its own.
func TestFirstProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"=first process")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) {
		t.Skipf("this user may not make a process namespace: %v", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// firstProcess is PID 1 of a process namespace.
func firstProcess() int {
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		fmt.Println("mount:", err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var reaping sync.WaitGroup
	reaping.Go(func() { ReapOrphans(ctx) })

	// Orphans of a process that is no tool server, and its own exit status.
	for range 50 {
		if err := exec.Command("/bin/sh", "-c", "setsid sh -c 'true & true & true &' & exit 7").Run(); err == nil || err.Error() != "exit status 7" {
			fmt.Println("the exit status of a command was lost:", err)
			return 1
		}
	}
	for range 10 {
		r := contract.NewRecorder()
		c, err := mustNew("complain").Open(ctx, r)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		if err := <-r.Ended; err == nil || !strings.Contains(err.Error(), "exit status 7") {
			fmt.Println("the exit status of a child was lost:", err)
			return 1
		}
		c.Close(ctx)
	}
	for deadline := time.Now().Add(contract.Patience); ; time.Sleep(5 * time.Millisecond) {
		left := childrenByWalk("1")
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			fmt.Println("processes were not reaped:", left)
			return 1
		}
	}
	cancel()
	reaping.Wait()
	return 0
}

// TestKernelWithoutChildren: where the kernel does not list them, orphans are
// found all the same, and children keep their exit status.
func TestKernelWithoutChildren(t *testing.T) {
	keep.mu.Lock()
	keep.walk = true
	keep.mu.Unlock()
	defer func() {
		keep.mu.Lock()
		keep.walk = false
		keep.mu.Unlock()
	}()
	t.Run("orphans", TestStubbornFamily)
	t.Run("children", func(t *testing.T) {
		for range 20 {
			TestExitAtOnceQuotesStderr(t)
		}
	})
}

// TestWithoutAdoption: where the system does not let the gate adopt orphans,
// process groups end all the same.
func TestWithoutAdoption(t *testing.T) {
	c, r := open(t, newBackend(t, "leaving family", func(c *Config) { c.StopTimeout = 100 * time.Millisecond }))
	adopt(false)
	family := pids(t, r.Next(t))
	c.Close(context.Background())
	contract.Eventually(t, "the grandchild in the group ends", func() bool {
		o, ok := stat(family[0])
		return !ok || o.dead
	})
	for _, pid := range family[1:] {
		_ = syscall.Kill(pid, syscall.SIGKILL) // those have left the group
	}
}

// TestReapOrphansEndsWhatHides: an orphan that hides whose it was lives as
// long as the gate.
func TestReapOrphansEndsWhatHides(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ReapOrphans(ctx)
	}()
	c, r := open(t, newBackend(t, "hiding family", func(c *Config) { c.StopTimeout = 100 * time.Millisecond }))
	family := pids(t, r.Next(t))
	c.Close(context.Background())
	cancel()
	<-ended
	wantGone(t, family)
}

func TestStat(t *testing.T) {
	o, ok := stat(os.Getpid())
	if !ok || o.dead || o.group != syscall.Getpgrp() {
		t.Errorf("stat: %+v", o)
	}
	if _, ok := stat(-1); ok {
		t.Error("there is a process -1")
	}
}

// TestNoThreadForAChild: a hundred children wait without a hundred threads.
func TestNoThreadForAChild(t *testing.T) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Skipf("this kernel has no process descriptors: %v", err)
	}
	_ = unix.Close(fd)
	b, err := New(Config{Command: []string{"cat"}})
	if err != nil {
		t.Fatal(err)
	}
	before := threads(t)
	const children = 50
	for range children {
		open(t, b)
	}
	if now := threads(t); now-before > children/2 {
		t.Errorf("%d threads for %d children", now-before, children)
	}
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// TestExitWait: with a process descriptor and without, the end is told and
// the zombie left.
func TestExitWait(t *testing.T) {
	for _, test := range []struct {
		command string
		want    exitStatus
	}{
		{"exit 3", exitStatus{known: true, code: 3}},
		{"kill -15 $$", exitStatus{known: true, signal: syscall.SIGTERM}},
		{"sleep 0.05", exitStatus{known: true}},
	} {
		for _, wait := range []func(int) exitWait{newExitWait, func(pid int) exitWait { return exitWait{pid: pid} }} {
			cmd := exec.Command("/bin/sh", "-c", test.command)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w := wait(cmd.Process.Pid)
			if got := w.wait(); got != test.want {
				t.Errorf("%s: %+v, want %+v", test.command, got, test.want)
			}
			w.close()
			if o, ok := stat(cmd.Process.Pid); !ok || !o.dead {
				t.Errorf("%s: no zombie was left", test.command)
			}
			_ = cmd.Wait()
		}
	}
}

// dropMark takes the mark off this process, as nobody does by accident.
func dropMark() {
	var own unix.Rlimit
	if unix.Prlimit(0, unix.RLIMIT_MSGQUEUE, nil, &own) == nil {
		own.Cur = 1
		_ = unix.Prlimit(0, unix.RLIMIT_MSGQUEUE, &own, nil)
	}
}
