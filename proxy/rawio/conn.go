package rawio

import (
	"net"
	"os"
	"syscall"
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
