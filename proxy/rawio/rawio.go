// Package rawio reads and writes what does not block without a word to Go's
// scheduler. The runtime, told of a system call, takes the processor away from
// whoever is in it for 20 µs and wakes a thread to go on with. A write to a
// local socket is often that long, since it does the receiver's part as well,
// and then costs two changes of threads that nobody needed: it would have been
// over by itself. A descriptor that does not block cannot stay in the call.
//
// The package knows descriptors, and neither what goes over them nor whose they
// are. Waiting is left to the runtime's poller, so deadlines and Close do what
// they do elsewhere. It imports nothing of ours.
package rawio

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// most is the number of bytes up to which a call is soon over. What is larger
// goes the ordinary way.
const most = 64 << 10

// calls are the two ways of one descriptor.
type calls struct {
	raw  syscall.RawConn
	slow io.ReadWriter // the same descriptor, the ordinary way

	in, out call
}

func (c *calls) init(raw syscall.RawConn, slow io.ReadWriter) {
	c.raw, c.slow = raw, slow
	c.in.try, c.out.try = c.in.read, c.out.write // made once: a call allocates nothing
}

// Read is that of an io.Reader.
func (c *calls) Read(p []byte) (int, error) {
	if len(p) == 0 || len(p) > most {
		return c.slow.Read(p)
	}
	n, failed, err := c.in.do(c.raw.Read, p)
	switch {
	case err != nil: // the deadline, or it is closed: the ordinary way has the words for it
		return c.slow.Read(p)
	case failed == nil && n == 0:
		return 0, io.EOF
	}
	return n, failed
}

// Write is that of an io.Writer.
func (c *calls) Write(p []byte) (int, error) {
	if len(p) == 0 || len(p) > most {
		return c.slow.Write(p)
	}
	n, failed, err := c.out.do(c.raw.Write, p)
	if err != nil {
		more, err := c.slow.Write(p[n:])
		return n + more, err
	}
	return n, failed
}

// call is one direction.
type call struct {
	mu     sync.Mutex // as in package net, anybody may call; one does at a time
	try    func(fd uintptr) (done bool)
	p      []byte
	n      int
	failed error
}

// do lets way, which waits whenever try could not get on, call try with p.
func (c *call) do(way func(func(uintptr) bool) error, p []byte) (n int, failed, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p, c.n, c.failed = p, 0, nil
	err = way(c.try)
	c.p = nil
	return c.n, c.failed, err
}

func (c *call) read(fd uintptr) bool {
	c.n, c.failed = again(sysRead, fd, c.p)
	return !errors.Is(c.failed, syscall.EAGAIN)
}

// write goes on until everything is written, as an io.Writer must.
func (c *call) write(fd uintptr) bool {
	for c.failed = nil; c.failed == nil && c.n < len(c.p); {
		var n int
		n, c.failed = again(sysWrite, fd, c.p[c.n:])
		c.n += n
	}
	return !errors.Is(c.failed, syscall.EAGAIN)
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
