package stdio

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// keep is what this package has once a process and not once a backend,
// because the system has it so: the thread that children are tied to, the
// signal for dead children, and the adoption of orphans.
var keep keeper

// keeper starts and reaps children. It is at work while anybody holds it:
// every child does, and so does ReapOrphans.
//
// Children are started by one thread that lasts as long as any of them, since
// the parent-death signal is sent when the thread ends that started them, and
// Go ends threads as it likes. The thread goes back to Go afterwards, it does
// not end.
type keeper struct {
	life    sync.Mutex // guards what follows, and is held while it is set up and taken down
	holders int
	tasks   chan func()
	quit    chan struct{}
	working sync.WaitGroup

	mu       sync.Mutex // guards children, and is held while orphans are looked at
	children map[int]struct{}
	marked   uint64 // how many children were marked
	walk     bool   // look at every process for orphans; for tests
}

// hold sets the keeper to work unless it is already.
func (k *keeper) hold() {
	k.life.Lock()
	defer k.life.Unlock()
	if k.holders++; k.holders > 1 {
		return
	}
	keepDescriptors()
	k.tasks = make(chan func())
	k.quit = make(chan struct{})
	k.working.Go(k.startChildren)
	adopt(true)
	k.working.Go(k.reapOrphans)
}

// keepDescriptors sees to it that children get no descriptor that the gate was
// started with, such as a listening socket. Those that Go opens they do not get.
var keepDescriptors = sync.OnceFunc(func() {
	dir, err := os.Open("/dev/fd")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
})

// release ends the keeper's work, with the last holder, and waits for its end.
func (k *keeper) release() {
	k.life.Lock()
	defer k.life.Unlock()
	if k.holders--; k.holders > 0 {
		return
	}
	close(k.quit)
	k.working.Wait()
	adopt(false)
}

// startChildren runs the tasks on one thread.
func (k *keeper) startChildren() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case task := <-k.tasks:
			task()
		case <-k.quit:
			return
		}
	}
}

// start starts a child; the caller holds the keeper. It is known as a child
// before an orphan is looked for again, so that its exit status is its own. The
// mark is what its descendants carry, see orphans_linux.go.
// ctx bounds the wait for other starts.
func (k *keeper) start(ctx context.Context, path string, args []string, attr *os.ProcAttr) (pid int, mark uint64, err error) {
	done := make(chan struct{})
	task := func() {
		defer close(done)
		k.mu.Lock()
		defer k.mu.Unlock()
		var p *os.Process
		mark = k.markStart(func() { p, err = os.StartProcess(path, args, attr) })
		if err != nil {
			return
		}
		pid = p.Pid
		_ = p.Release() // the wait is ours: see process
		if k.children == nil {
			k.children = map[int]struct{}{}
		}
		k.children[pid] = struct{}{}
	}
	select {
	case k.tasks <- task:
		<-done
		return pid, mark, err
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
}

// reap ends the zombie of a child that is dead.
func (k *keeper) reap(pid int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	reapOne(pid)
	delete(k.children, pid)
}

// reapOne ends one zombie, if pid is one.
func reapOne(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}
