package stream

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A Conn is a client connection that the gate owns while its answer is on the
// way. Two goroutines meet in it, and each exists only while it has something to
// do: the owner, which hears what the client sends and that it has left, and a
// writer.
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
	going   func(error)  // is told how a wait has ended
	ended   func(reusable bool)

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
	parked     bool   // the owner reads nothing until it is finished or broken
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

// await waits, without a goroutine, for the client to leave or to send more: a
// stream's client says nothing. That it says nothing for a while is the stream's
// clock.
func (c *Conn) await() {
	if c.wait(c.stream.box.options.KeepAlive) {
		return
	}
	c.part(nil)
}

// wait waits at most d for what is going on with the connection, which is
// called then; false: it is finished, and there is nothing to wait for.
func (c *Conn) wait(d time.Duration) bool {
	b := c.stream.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.finished {
		return false
	}
	c.socket.Ready(d, c.going)
	return true
}

// woken is called where a wait of await is over.
func (c *Conn) woken(err error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.tick()
	case err != nil:
		c.part(err)
		return
	case len(c.socket.unread) > maxUnread:
		c.full()
		return
	}
	c.await()
}

// full is called where the client has sent as much as is kept unread. It may
// have all of its answer, and be sending its next request, before the writer
// comes to say so: then nothing is read until that is known, which a write's
// deadline bounds. Where the end is not on its way yet the client is cut off.
func (c *Conn) full() {
	b := c.stream.box
	b.mu.Lock()
	c.parked = c.ending && !c.finished && !c.broken
	parked, answered := c.parked, c.finished
	b.mu.Unlock()
	switch {
	case parked: // unpark goes on
	case answered:
		c.part(nil)
	default:
		c.part(errPipelined)
	}
}

// unpark goes on where full has left off. The outbox's lock is held.
func (c *Conn) unpark() {
	if c.parked {
		c.parked = false
		go c.part(nil)
	}
}

// pieceSize is how much is written under one deadline: a slow reader is one
// that takes less than this in the write timeout, however much there is.
const pieceSize = 256 << 10

// write writes all of bufs and uses it up. What the system does not take at once
// is written outside of the crew. The deadline is granted anew for each piece.
func (c *Conn) write(bufs net.Buffers, t *turn) error {
	if len(bufs) == 1 {
		n := c.socket.writeNow(bufs[0])
		if n == len(bufs[0]) {
			return nil
		}
		bufs[0] = bufs[0][n:]
	}
	t.leave()
	for len(bufs) > 0 {
		piece, rest := cut(bufs, pieceSize)
		if err := c.socket.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return err
		}
		if err := c.socket.writeBuffers(piece); err != nil {
			return err
		}
		bufs = rest
	}
	return c.socket.SetWriteDeadline(time.Time{}) // or it would hold for what comes much later
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
