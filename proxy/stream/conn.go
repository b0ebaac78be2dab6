package stream

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A Conn is a client connection that the gate owns while its answer is on the
// way. Two goroutines meet in it: the owner, which waits in Hold with a
// pending read and so sees the client leave, and a writer, which exists only
// while there is something to write.
type Conn struct {
	socket  *Socket
	frames  Frames // what it carries instead of an HTTP response, nil for one
	head    string // further header lines of the response's head, each ended by CRLF
	onlyOK  string // likewise, where the status is 200
	first   string // what an event stream begins with
	http11  bool   // the client understands chunks
	keep    bool   // the client takes another answer on this connection
	timeout time.Duration
	leaving *atomic.Bool // the client is to take no other answer on it; nil: never

	// Guarded by Outbox.mu.
	stream     *Stream
	cursor     uint64 // number of the next event to write
	resumed    bool   // the client named the event before
	started    bool   // it carries an event stream
	headed     bool   // the head is written
	writing    bool   // a writer has this connection
	comment    bool   // a comment is due
	superseded bool   // another connection has taken the stream over
	after      *Conn  // whose write it waits for, having taken the stream over
	ending     bool   // the end of the answer is being written
	finished   bool   // the answer is written to its end
	broken     bool   // cut, closed or too slow: nothing more is written

	written chan struct{} // closed when it is finished or broken; nil while nobody waits
}

// Request says what a response's head and end depend on.
type Request struct {
	Head   string // further header lines, each ended by CRLF; kept
	OnlyOK string // likewise, where the status is 200; kept
	First  string // what an event stream begins with, before any message; kept
	HTTP11 bool
	Keep   bool // false: the client asked for Connection: close

	Leaving *atomic.Bool // it is to be closed after the answer, if that has not begun; nil: never
}

// NewConn makes a Conn of a connection that has left the HTTP server, with the
// response to r still to come.
func NewConn(socket *Socket, r Request, writeTimeout time.Duration) *Conn {
	return &Conn{socket: socket, head: r.Head, onlyOK: r.OnlyOK, first: r.First, http11: r.HTTP11, keep: r.Keep && r.HTTP11, timeout: writeTimeout, leaving: r.Leaving}
}

// Socket is the connection below; it goes back to the HTTP server after Hold
// said that it can be used again.
func (c *Conn) Socket() *Socket { return c.socket }

// Close closes the connection at once.
func (c *Conn) Close() { _ = c.socket.Close() }

// watch waits until the answer is finished or the client has left, which shows
// as the end of a pending read. That the read times out now and then is the
// stream's clock.
func (c *Conn) watch(b *Outbox) error {
	if c.frames != nil {
		return c.frames.Watch(func(d time.Duration) bool { return c.arm(b, d) }, func() { c.tick(b) })
	}
	var pipelined []byte
	var chunk [256]byte
	for c.arm(b, b.options.KeepAlive) {
		n, err := c.socket.Conn.Read(chunk[:])
		if pipelined = append(pipelined, chunk[:n]...); len(pipelined) > maxUnread {
			if !c.awaitEnd(b) {
				return errPipelined
			}
			break
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.tick(b)
		default:
			return err
		}
	}
	c.socket.unread = append(c.socket.unread, pipelined...)
	return nil
}

// awaitEnd waits until the answer's end is written, without reading, and tells
// whether it was. A client may have all of its answer, and be sending its next
// request, before the writer comes to say so. Where the end is not on its way
// yet there is nothing to wait for.
func (c *Conn) awaitEnd(b *Outbox) bool {
	b.mu.Lock()
	if c.ending && !c.finished && !c.broken {
		written := make(chan struct{})
		c.written = written
		b.mu.Unlock()
		<-written // a write takes no longer than its deadline
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	return c.finished
}

// pieceSize is how much is written under one deadline: a slow reader is one
// that takes less than this in the write timeout, however much there is.
const pieceSize = 256 << 10

// write writes all of bufs and uses it up. The deadline is granted anew for
// each piece.
func (c *Conn) write(bufs net.Buffers) error {
	for len(bufs) > 0 {
		piece, rest := cut(bufs, pieceSize)
		if err := c.socket.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return err
		}
		if _, err := piece.WriteTo(c.socket.Conn); err != nil {
			return err
		}
		bufs = rest
	}
	return nil
}

// cut splits bufs after size bytes.
func cut(bufs net.Buffers, size int) (piece, rest net.Buffers) {
	for i, b := range bufs {
		if len(b) < size {
			size -= len(b)
			continue
		}
		piece = append(append(piece, bufs[:i]...), b[:size])
		if len(b) > size {
			rest = append(rest, b[size:])
		}
		return piece, append(rest, bufs[i+1:]...)
	}
	return bufs, nil
}
