package stdio

import (
	"context"
	"errors"
	"fmt"

	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
)

// TestKilled: the end is seen at once although a grandchild that ignores
// SIGTERM keeps both outputs open.
func TestKilled(t *testing.T) {
	c, r := open(t, newBackend(t, "family", func(c *Config) { c.StopTimeout = patience }))
	family := pids(t, r.next(t))
	if err := syscall.Kill(c.process.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := r.end(t); err == nil || !strings.Contains(err.Error(), "was ended by signal 9") {
		t.Errorf("Closed: %v", err)
	}
	if err := c.Send(message("{}")); !errors.Is(err, backend.ErrClosed) {
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
	family := pids(t, r.next(t))
	c.Close(context.Background())
	if err := r.end(t); err != nil {
		t.Errorf("Closed: %v, want nil", err)
	}
	wantGone(t, append(family, c.process.pid))
}

// TestOrphansOfTheQuick: the child is gone at once, what it left is ended.
func TestOrphansOfTheQuick(t *testing.T) {
	c, r := open(t, newBackend(t, "leaving family", func(c *Config) { c.StopTimeout = 100 * time.Millisecond }))
	family := pids(t, r.next(t))
	if err := r.end(t); err == nil || !strings.Contains(err.Error(), "exit status 0") {
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
	mine, other := pids(t, first.next(t)), pids(t, second.next(t))
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
	if err := r.end(t); !errors.As(err, &end) || strings.Join(end.LastWords, " ") != "0 1 2 3" { // 3 is the directory being listed
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
	eventually(t, "the child dies with its gate", func() bool {
		o, ok := stat(pid)
		return !ok || o.dead
	})
}

// TestThreadsEnd: the children are not tied to a thread that Go may end.
func TestThreadsEnd(t *testing.T) {
	b := newBackend(t, contract.Echo)
	opened := make(chan *conn)
	r := newRecorder()
	go func() {
		// A goroutine that ends locked takes its thread along.
		runtime.LockOSThread()
		c, err := b.Open(context.Background(), r)
		if err != nil {
			t.Error(err)
		}
		opened <- c.(*conn)
	}()
	c := <-opened
	for range 20 {
		ended := make(chan int)
		go func() {
			runtime.LockOSThread()
			ended <- syscall.Gettid()
		}()
		tid := <-ended
		eventually(t, "a thread ends", func() bool { return syscall.Tgkill(os.Getpid(), tid, 0) != nil })
	}
	if err := c.Send(message(`{"jsonrpc":"2.0","id":1,"method":"echo","params":{}}`)); err != nil {
		t.Fatal(err)
	}
	r.next(t)
	c.Close(context.Background())
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
		r := newRecorder()
		c, err := mustNew("complain").Open(ctx, r)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		if err := <-r.closed; err == nil || !strings.Contains(err.Error(), "exit status 7") {
			fmt.Println("the exit status of a child was lost:", err)
			return 1
		}
		c.Close(ctx)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
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

// TestKernelWithoutChildren: the other way to find orphans finds the same.
func TestKernelWithoutChildren(t *testing.T) {
	c, r := open(t, newBackend(t, "family"))
	family := pids(t, r.next(t))
	if err := syscall.Kill(c.process.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.end(t)
	walked := childrenByWalk(strconv.Itoa(os.Getpid()))
	for _, pid := range family {
		if !slices.Contains(walked, pid) || !slices.Contains(childrenOfGate(), pid) {
			t.Errorf("orphan %d is not found in %v", pid, walked)
		}
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
	family := pids(t, r.next(t))
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
