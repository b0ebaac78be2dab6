package stream

import (
	"errors"
	"os"
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

	// Watch serves what has come on the connection. When nothing has come for a
	// moment it returns how long the silence may last: it is called again when
	// something comes, or with late when nothing has. It returns over where there
	// is nothing more to serve, and the client has left or the end is written.
	Watch(w Watcher, late bool) (silence time.Duration, over bool)
}

// A Watcher is a connection as the reader of its frames sees it.
type Watcher interface {
	// Arm sets the deadline of the next read. It is false when the end is
	// written: then there is nothing more to serve. A read that is pending then
	// ends with os.ErrDeadlineExceeded.
	Arm(d time.Duration) bool
	// Turn asks for a call of Alive.
	Turn()
}

// Arm implements Watcher.
func (c *Conn) Arm(d time.Duration) bool { return c.arm(d) }

// Turn implements Watcher.
func (c *Conn) Turn() { c.tick() }

// watchFrames serves what has come, until it is over or nothing comes.
func (c *Conn) watchFrames(late bool) {
	for {
		silence, over := c.frames.Watch(c, late)
		if over {
			c.part(errOver)
			return
		}
		if c.wait(silence) {
			return
		}
		late = false // the end is written, as Watch is going to find
	}
}

// framesCame is called where a wait of watchFrames is over.
func (c *Conn) framesCame(err error) {
	switch {
	case err == nil:
		c.watchFrames(false)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.watchFrames(!c.isFinished()) // or woken, because it is
	default:
		c.part(err)
	}
}

func (c *Conn) isFinished() bool {
	b := c.stream.box
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.finished
}

// errOver is the end of a connection that carries frames, which serves no other
// request.
var errOver = errors.New("the frames are over")

// NewFramed makes a Conn of a socket that speaks another protocol already. It
// is closed when Hold has ended.
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
