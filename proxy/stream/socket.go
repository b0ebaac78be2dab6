package stream

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"sidegate/proxy/rawio"
)

// A Socket is an accepted connection. It lives through both of its users: the
// HTTP server, which reads requests from it, and a Conn, which holds it while
// an answer takes long. What one has read too far it gives back with unread.
type Socket struct {
	net.Conn        // with the calls of rawio, where it has a descriptor
	unread   []byte // read before and not yet used; only the present reader touches it
	quiet    *quiet // waits without a goroutine, nil where that is not to be had

	closing sync.Once
	closed  func()
	err     error
	drain   int64 // bytes that Close reads on for
}

// quick is what a connection with a descriptor can do besides.
type quick interface {
	syscall.Conn
	ReadNow(p []byte) (int, error)
	WriteTold(p []byte) int
	WriteBuffers(bufs *net.Buffers) (int64, error)
}

// NewSocket wraps an accepted connection. closed is called once, when the
// connection is closed by whichever user has it last.
func NewSocket(c net.Conn, closed func()) *Socket {
	return &Socket{Conn: rawio.NewConn(c), closed: closed}
}

// Read gives out what was unread first.
func (s *Socket) Read(p []byte) (int, error) {
	if len(s.unread) == 0 {
		return s.Conn.Read(p)
	}
	n := copy(p, s.unread)
	if s.unread = s.unread[n:]; len(s.unread) == 0 {
		s.unread = nil // a kept tail would pin the whole buffer
	}
	return n, nil
}

// writeBuffers writes all of bufs and uses them up.
func (s *Socket) writeBuffers(bufs net.Buffers) error {
	if q, ok := s.Conn.(quick); ok {
		_, err := q.WriteBuffers(&bufs)
		return err
	}
	_, err := bufs.WriteTo(s.Conn)
	return err
}

// Drain makes Close read on for a while, at most limit bytes, for a client that
// is still sending what was refused. A connection that is closed with unread
// input is reset, and the reset can overtake the answer: the client would never
// learn why. Only the present reader may call it.
func (s *Socket) Drain(limit int64) { s.drain = limit }

// Close closes the connection once; later calls return the first one's error.
// Where it drains it does so in the background.
func (s *Socket) Close() error {
	s.closing.Do(func() {
		if s.drain > 0 {
			go s.linger()
			return
		}
		s.err = s.Conn.Close()
		s.quiet.close()
		s.closed()
	})
	return s.err
}

const (
	lingerIdle  = 5 * time.Second  // without a byte from the client
	lingerTotal = 30 * time.Second // in all
)

// linger reads on until the client has closed its end, has sent enough, or has
// taken too long.
func (s *Socket) linger() {
	defer s.closed()
	defer s.quiet.close()
	defer s.Conn.Close()
	if half, ok := s.Conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(lingerTotal)
	var chunk [16 << 10]byte
	for read := int64(0); read < s.drain; {
		deadline := time.Now().Add(lingerIdle)
		if deadline.After(end) {
			deadline = end
		}
		if s.Conn.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := s.Conn.Read(chunk[:])
		if read += int64(n); err != nil {
			return
		}
	}
}

// longAgo is a deadline that ends a pending read, and forbids a new one.
var longAgo = time.Unix(1, 0)

// maxUnread bounds what a client may pipeline behind a request that is still
// being answered: HTTP/1.1 allows it, hardly anybody does it.
const maxUnread = 64 << 10

var errPipelined = errors.New("the client pipelines too much")

// takeBack gets the accepted connection back from a hijacked one. The HTTP
// server's reader may have read on into the next request: those bytes are
// taken out of it without waiting for more, by reading past a deadline. On an
// error the connection is to be closed.
func takeBack(hijacked net.Conn) (*Socket, error) {
	socket := hijacked.(interface{ UnsafeConn() net.Conn }).UnsafeConn().(*Socket)
	if err := socket.SetReadDeadline(longAgo); err != nil {
		return socket, err
	}
	var unread []byte // of the server's reader, and what it finds unread in socket
	var chunk [512]byte
	for {
		n, err := hijacked.Read(chunk[:])
		if unread = append(unread, chunk[:n]...); len(unread) > maxUnread {
			return socket, errPipelined
		}
		if err != nil {
			break // the deadline: nothing more is buffered
		}
	}
	socket.unread = unread
	return socket, socket.SetDeadline(time.Time{})
}
