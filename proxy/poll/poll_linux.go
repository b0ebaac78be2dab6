package poll

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Poller is one epoll. Its own descriptor can be polled, too, so the runtime
// waits for it as for a connection, and no thread is spent on it.
type Poller struct {
	file *os.File
	raw  syscall.RawConn

	mu      sync.Mutex
	turns   int32
	watched []*Watched // by descriptor, which the kernel keeps dense
}

// New makes a poller. It has a goroutine until Close.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, err
	}
	go p.run()
	return p, nil
}

// Close ends the poller; what is watched is heard of no more.
func (p *Poller) Close() error { return p.file.Close() }

// Watch calls w.Ready once, when c can be read. Calling it again before that
// changes nothing. It fails where c or the poller is closed, and where the system
// watches as much as it may (fs.epoll.max_user_watches).
func (p *Poller) Watch(c syscall.RawConn, w *Watched) error {
	var failed error
	if err := c.Control(func(fd uintptr) { failed = p.watch(int(fd), w) }); err != nil {
		return err
	}
	return failed
}

// watch is called with c's descriptor, which is not closed meanwhile.
func (p *Poller) watch(fd int, w *Watched) error {
	op := unix.EPOLL_CTL_MOD
	if w.turn == 0 {
		op = unix.EPOLL_CTL_ADD
		p.enter(fd, w)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: w.descriptor, Pad: w.turn}
	var failed error
	err := p.raw.Control(func(epoll uintptr) { failed = unix.EpollCtl(int(epoll), op, fd, &event) })
	if err == nil {
		err = os.NewSyscallError("epoll_ctl", failed)
	}
	if err != nil && op == unix.EPOLL_CTL_ADD {
		p.Forget(w)
		w.turn = 0 // it is not in the kernel's set: the next try adds it
	}
	return err
}

// enter gives w its place.
func (p *Poller) enter(fd int, w *Watched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.watched) <= fd {
		p.watched = append(p.watched, nil)
	}
	if p.turns++; p.turns <= 0 {
		p.turns = 1
	}
	w.descriptor, w.turn = int32(fd), p.turns
	p.watched[fd] = w
}

// Forget lets go of w, whose connection is closed: the kernel forgets it by
// itself.
func (p *Poller) Forget(w *Watched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.turn != 0 && p.watched[w.descriptor] == w {
		p.watched[w.descriptor] = nil
	}
}

// run tells those that can be read, until Close.
func (p *Poller) run() {
	var events [128]unix.EpollEvent
	for {
		n := 0
		err := p.raw.Read(func(epoll uintptr) bool {
			var err error
			for n, err = unix.EpollWait(int(epoll), events[:], 0); errors.Is(err, unix.EINTR); {
				n, err = unix.EpollWait(int(epoll), events[:], 0)
			}
			return n > 0
		})
		if err != nil {
			return // closed
		}
		for i := range events[:n] {
			p.tell(&events[i])
		}
	}
}

func (p *Poller) tell(e *unix.EpollEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.watched[e.Fd]; w != nil && w.turn == e.Pad {
		go w.Ready()
	}
}
