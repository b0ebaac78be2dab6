package rawio

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Conn is a connection over a descriptor.
type Conn struct {
	net.Conn
	calls
}

// NewConn returns c with calls that are quick. A connection that has no
// descriptor of its own, as over TLS, comes back as it is.
func NewConn(c net.Conn) net.Conn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return c // it is closed, as whoever uses it finds
	}
	quick := &Conn{Conn: c}
	quick.init(raw, c)
	return quick
}

// Read is that of a net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.calls.Read(p)
	return n, c.named("read", err)
}

// Write is that of a net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.calls.Write(p)
	return n, c.named("write", err)
}

// ReadNow reads what has come, without waiting for it: EAGAIN, where nothing has,
// or somebody else is reading. Deadlines are not for it.
func (c *Conn) ReadNow(p []byte) (n int, err error) {
	n, err = c.in.now(c.raw, c.in.once, p)
	if n == 0 && err == nil && len(p) > 0 {
		return 0, io.EOF
	}
	return n, err
}

// WriteBuffers writes bufs and uses them up, in one system call where it can.
func (c *Conn) WriteBuffers(bufs *net.Buffers) (n int64, err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	_, err = c.out.slowly(func([]byte) (int, error) {
		n, err = bufs.WriteTo(c.Conn)
		return 0, err
	}, nil)
	return n, err
}

// SetDeadline is that of a net.Conn, as are the next two, but for what is said at
// deadline.
func (c *Conn) SetDeadline(t time.Time) error { return errors.Join(c.in.due.set(t), c.out.due.set(t)) }

// SetReadDeadline is SetDeadline for reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.in.due.set(t) }

// SetWriteDeadline is SetDeadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.out.due.set(t) }

// SyscallConn gives the descriptor to look at. To wait for it is for Read and
// Write, which alone know the deadlines.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// named gives what the system says the form in which package net has it.
func (c *Conn) named(op string, err error) error {
	number, ok := err.(syscall.Errno) //nolint:errorlint // it is bare, or package net has named it
	if !ok {
		return err
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, number)}
}

// CloseWrite ends the way out, where the connection underneath has two ways.
func (c *Conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return syscall.EOPNOTSUPP
	}
	return half.CloseWrite()
}
