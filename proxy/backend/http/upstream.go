package http

import (
	"bufio"
	"net"
	"sync"
	"syscall"
	"time"

	"sidegate/proxy/rawio"
)

// upstream is one connection to the server. It has one user at a time.
type upstream struct {
	conn   net.Conn      // quick, where there is no TLS
	socket net.Conn      // under conn
	pieces net.Conn      // takes several in one write: the socket, or TLS over it
	r      *bufio.Reader // borrowed while it is in use
	idle   time.Duration // how long the server keeps it open unused
	end    time.Time     // of its time in the pool

	reused bool // it was in the pool before
	raw    syscall.RawConn
	look   func(fd uintptr) // made once: looking allocates nothing
	quiet  bool             // what look saw
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// newUpstream takes over conn; under it is its socket, which is the same but
// for TLS.
func newUpstream(conn, socket net.Conn) *upstream {
	u := &upstream{conn: rawio.NewConn(conn), socket: socket, pieces: conn, idle: idleTime}
	if s, ok := socket.(syscall.Conn); ok {
		u.raw, _ = s.SyscallConn()
	}
	u.look = func(fd uintptr) { u.quiet = rawio.Silent(fd) }
	return u
}

// usable tells whether the server has neither closed the connection nor sent
// what nobody asked for.
func (u *upstream) usable() bool {
	u.quiet = false
	return u.raw != nil && u.raw.Control(u.look) == nil && u.quiet
}

// borrow gives the connection its read buffer.
func (u *upstream) borrow() {
	u.r, _ = readers.Get().(*bufio.Reader)
	u.r.Reset(u.conn)
}

// giveBack takes the read buffer away. It tells whether it was empty.
func (u *upstream) giveBack() (empty bool) {
	if u.r == nil {
		return true
	}
	empty = u.r.Buffered() == 0
	u.r.Reset(nil)
	readers.Put(u.r)
	u.r = nil
	return empty
}

// close ends the connection; its user calls it. Others only break it.
func (u *upstream) close() {
	u.giveBack()
	_ = u.conn.Close()
}

// breaks ends whatever its user waits for. It does not wait, as a goodbye over
// TLS may.
func (u *upstream) breaks() { _ = u.socket.Close() }

// write sends head and body, in one piece where head has room for the body.
func (u *upstream) write(head, body []byte) (n int64, err error) {
	if len(body) == 0 {
		n, err := u.conn.Write(head)
		return int64(n), err
	}
	pieces := net.Buffers{head, body}
	return pieces.WriteTo(u.pieces)
}
