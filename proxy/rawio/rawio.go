// Package rawio reads and writes what does not block without a word to Go's
// scheduler. The runtime, told of a system call, takes the processor away from
// whoever is in it for 20 µs and wakes a thread to go on with. A write to a
// local socket is often that long, since it does the receiver's part as well,
// and then costs two changes of threads that nobody needed: it would have been
// over by itself. A descriptor that does not block cannot stay in the call. Nor is
// the runtime told of a deadline before a call has to wait.
//
// The package knows descriptors, and neither what goes over them nor whose they
// are. Waiting is left to the runtime's poller, so deadlines and Close do what
// they do elsewhere, for calls by this package: who has a descriptor by it must
// not wait for it in another way. It imports nothing of ours.
package rawio

import (
	"errors"
	"io"
	"sync"
	"syscall"
	"time"
)

// most is the number of bytes up to which a call is soon over. What is larger
// goes the ordinary way.
const most = 64 << 10

// calls are the two ways of one descriptor.
type calls struct {
	raw  syscall.RawConn
	slow ordinary

	in, out call
}

// ordinary is a descriptor with the calls of package net or os.
type ordinary interface {
	io.ReadWriter
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

func (c *calls) init(raw syscall.RawConn, slow ordinary) {
	c.raw, c.slow = raw, slow
	c.in.try, c.out.try = c.in.read, c.out.write // made once: a call allocates nothing
	c.in.once = func(fd uintptr) { c.in.n, c.in.failed = again(sysRead, fd, c.in.p) }
	c.out.once = func(fd uintptr) { c.out.n, c.out.failed = again(sysWrite, fd, c.out.p) }
	c.out.told = func(fd uintptr) { c.out.n, c.out.failed = again(tellingWrite, fd, c.out.p) }
	c.in.due.init(slow.SetReadDeadline)
	c.out.due.init(slow.SetWriteDeadline)
}

// Read is that of an io.Reader.
func (c *calls) Read(p []byte) (int, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if len(p) == 0 || len(p) > most {
		return c.in.slowly(c.slow.Read, p)
	}
	for {
		n, failed, err := c.in.do(c.raw.Read, p)
		switch {
		case err != nil && c.in.due.early(err):
		case err != nil: // the deadline, or it is closed: the ordinary way has the words for it
			return c.in.slowly(c.slow.Read, p)
		case failed == nil && n == 0:
			return 0, io.EOF
		default:
			return n, failed
		}
	}
}

// Write is that of an io.Writer. Nobody else's bytes come between p's.
func (c *calls) Write(p []byte) (int, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if len(p) == 0 || len(p) > most {
		return c.out.slowly(c.slow.Write, p)
	}
	for written := 0; ; {
		n, failed, err := c.out.do(c.raw.Write, p[written:])
		written += n
		switch {
		case err != nil && c.out.due.early(err):
		case err != nil:
			n, err := c.out.slowly(c.slow.Write, p[written:])
			return written + n, err
		default:
			return written, failed
		}
	}
}

// WriteNow writes as much of p as the system takes at once, and returns how much
// that was: nothing, where somebody else is writing. What is wrong shows when the
// rest is written. Deadlines are not for it.
func (c *calls) WriteNow(p []byte) int {
	n, _ := c.out.now(c.raw, c.out.once, p)
	return n
}

// WriteTold is WriteNow with a word to the scheduler, for those who write to a
// crowd: meanwhile others are to get on.
func (c *calls) WriteTold(p []byte) int {
	n, _ := c.out.now(c.raw, c.out.told, p)
	return n
}

// call is one direction.
type call struct {
	mu     sync.Mutex // as in package net, anybody may call; one does at a time
	try    func(fd uintptr) (done bool)
	once   func(fd uintptr) // try, but for waiting
	told   func(fd uintptr) // once, with a word to the scheduler; only of writes
	p      []byte
	n      int
	failed error
	waits  bool
	runs   int // calls in a row that did not wait
	due    deadline
}

// often is after how many calls that did not wait the clock is looked at.
const often = 64

// do lets way, which waits whenever try could not get on, call try with p. c.mu is
// held.
func (c *call) do(way func(func(uintptr) bool) error, p []byte) (n int, failed, err error) {
	c.p, c.n, c.failed = p, 0, nil
	err = way(c.try)
	c.p = nil
	if c.waits {
		c.waits, c.runs = false, 0
		c.due.rest()
	} else if c.runs++; c.runs >= often {
		c.runs = 0
		c.due.recall()
	}
	return c.n, c.failed, err
}

// now lets once have p, and waits neither for the system nor for who does wait.
func (c *call) now(raw syscall.RawConn, once func(fd uintptr), p []byte) (n int, err error) {
	if !c.mu.TryLock() {
		return 0, syscall.EAGAIN
	}
	defer c.mu.Unlock()
	c.p, c.n, c.failed = p, 0, nil
	err = raw.Control(once)
	c.p = nil
	if err == nil {
		err = c.failed
	}
	return c.n, err
}

// slowly does what in the ordinary way. c.mu is held.
func (c *call) slowly(what func([]byte) (int, error), p []byte) (int, error) {
	c.due.wait(true)
	defer c.due.rest()
	return what(p)
}

// over tells whether the call is, or else waits.
func (c *call) over() bool {
	if !errors.Is(c.failed, syscall.EAGAIN) {
		return true
	}
	c.waits = true
	c.due.wait(false)
	return false
}

func (c *call) read(fd uintptr) bool {
	c.n, c.failed = again(sysRead, fd, c.p)
	return c.over()
}

// write goes on until everything is written, as an io.Writer must.
func (c *call) write(fd uintptr) bool {
	for c.failed = nil; c.failed == nil && c.n < len(c.p); {
		var n int
		n, c.failed = again(sysWrite, fd, c.p[c.n:])
		c.n += n
	}
	return c.over()
}

// again does what a signal has interrupted once more.
func again(what func(uintptr, []byte) (int, error), fd uintptr, p []byte) (n int, err error) {
	for {
		n, err = what(fd, p)
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return 0, err
		}
	}
}

func tellingWrite(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }

// Silent tells whether nothing has come on fd, a socket, and the other end has
// neither closed nor broken it.
func Silent(fd uintptr) bool {
	var b [1]byte
	_, err := sysPeek(fd, b[:])
	return errors.Is(err, syscall.EAGAIN)
}
