package stream

import (
	"time"

	"sidegate/proxy/refusal"
)

// Frames is how a stream's messages look on a connection that is no HTTP
// response: a WebSocket. Message, Alive and End are called under the outbox's
// lock, one at a time: they only append to the batch, and never block.
type Frames interface {
	// Message appends one message, which stays as it is until the batch is
	// written.
	Message(b *Batch, msg []byte)
	// Alive appends what Watch has asked a turn for: a sign of life, or an
	// answer to one.
	Alive(b *Batch)
	// End appends the end: nothing is written after it. why is nil where another
	// connection has taken the stream over.
	End(b *Batch, why *refusal.Refusal)

	// Watch reads from the connection until its client has left, and returns
	// why. Before each read it calls arm, which sets the read's deadline and is
	// false when the end is written: then Watch returns nil. turn asks for a call
	// of Alive. Once the end is written a pending read ends with
	// os.ErrDeadlineExceeded.
	Watch(arm func(d time.Duration) bool, turn func()) error
}

// NewFramed makes a Conn of a socket that speaks another protocol already. It
// is closed when Hold returns.
func NewFramed(socket *Socket, f Frames, writeTimeout time.Duration) *Conn {
	return &Conn{socket: socket, frames: f, timeout: writeTimeout}
}

// composeFrames makes the next part of a connection that carries frames.
func (c *Conn) composeFrames(b *Batch) {
	s := c.stream
	c.headed = true
	if c.comment {
		c.frames.Alive(b)
		c.comment = false
	}
	if c.superseded {
		c.frames.End(b, nil)
		b.last = true
		return
	}
	bytes := 0
	for n := 0; n < batchEvents && bytes < batchBytes && b.next < s.next(); n++ {
		msg := s.held[b.next-s.first].B
		c.frames.Message(b, msg)
		b.next++
		bytes += len(msg)
		b.events = true
	}
	if b.last = s.over() && b.next >= s.next(); b.last {
		c.frames.End(b, s.box.why)
	}
}
