package ws

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"sidegate/proxy/wire"
)

const (
	maxPending = 8 << 10 // bytes of control frames that wait to be written
	firstRead  = 1 << 10 // bytes of memory that a message begins with
	slack      = 64      // room behind a message, so that an id can be exchanged in place
	timeGrant  = 1 << 20 // bytes of a message after which its time is granted anew
)

// Options say what a connection lets through.
type Options struct {
	MaxMessage int           // bytes of a message, inflated
	Budget     wire.Budget   // charged for every message until its release; nil for none
	Complete   time.Duration // in which a message must be there, for each MiB of it
	Compress   bool          // permessage-deflate, where the client asks for it
}

// Conn is the server's end of a connection. One goroutine calls Next and Due.
// Message, Control and Goodbye may be called from another, one at a time; they
// do not block.
type Conn struct {
	lib      library
	in       *bufio.Reader // which the library reads through
	out      outlet
	options  Options
	deflated bool      // messages are compressed
	due      time.Time // when the message on its way must be complete
}

// Due is when the message whose beginning was read must be complete; zero
// between two messages. A source that has waited so long returns ErrLate.
func (c *Conn) Due() time.Time { return c.due }

// Pending tells whether something waits for Control, or Message, to be taken.
func (c *Conn) Pending() bool { return c.out.waiting() > 0 }

// Buffered is how many bytes were read from the source that Next, or Between, has
// not used yet.
func (c *Conn) Buffered() int { return c.in.Buffered() }

// Next returns the next message, valid UTF-8, in a buffer that the caller owns
// and that is charged to the budget. Control frames are answered on the way: the
// answers are pending. An error is final: it is a *Closed where the peer said
// goodbye, which has been answered; a *Fault where it broke a rule, of which it
// has been told; in all other cases it is the source's.
func (c *Conn) Next() (*wire.Buffer, error) {
	c.due = time.Time{}
	kind, r, err := c.lib.NextReader()
	if err != nil {
		return nil, c.explain(err)
	}
	if kind != text {
		return nil, c.fault(CodeUnsupported, "messages are sent as text, not as binary data")
	}
	msg := wire.Acquire(firstRead)
	if err := c.fill(msg, r); err != nil {
		msg.Release()
		return nil, err
	}
	if !utf8.Valid(msg.B) {
		msg.Release()
		return nil, c.fault(CodeNotUTF8, "a message is not valid UTF-8")
	}
	return msg, nil
}

// fill reads a message to its end. Room is made, and paid for, as bytes arrive
// and not as a frame's head promises them; and it is the message's own size that
// counts, however small it was compressed.
func (c *Conn) fill(msg *wire.Buffer, r io.Reader) error {
	granted := 0
	for {
		if len(msg.B) >= granted {
			granted += timeGrant
			c.due = time.Now().Add(c.options.Complete)
		}
		room, err := c.room(msg)
		if err != nil {
			return err
		}
		n, err := r.Read(room)
		msg.B = msg.B[:len(msg.B)+n]
		if len(msg.B) > c.options.MaxMessage {
			return c.tooBig()
		}
		if errors.Is(err, io.EOF) && c.out.err == nil {
			return nil
		}
		if err != nil {
			return c.explain(err)
		}
	}
}

// room makes room for the next read. One byte past the limit is as far as it
// goes.
func (c *Conn) room(msg *wire.Buffer) ([]byte, error) {
	have := len(msg.B)
	if cap(msg.B)-have <= slack {
		msg.Grow(max(min(have, c.options.MaxMessage+1-have), 1) + slack)
	}
	end := min(cap(msg.B)-slack, c.options.MaxMessage+1)
	if !msg.ChargeUpTo(c.options.Budget, int64(end)) {
		return nil, c.fault(CodeTryLater, "the gate holds as many bytes in flight as it may (--max-bytes-in-flight); try again shortly")
	}
	return msg.B[have:end], nil
}

// explain says what an error of the library's means to the peer, and tells it.
func (c *Conn) explain(err error) error {
	switch {
	case errors.Is(c.out.err, ErrLate):
		return c.fault(CodePolicy, fmt.Sprintf("a message was not complete within %v", c.options.Complete))
	case errors.Is(c.out.err, io.EOF):
		return io.ErrUnexpectedEOF // not without a goodbye
	case c.out.err != nil:
		return c.out.err
	}
	if closed := farewell(err); closed != nil {
		return closed
	}
	if tooBig(err) {
		return c.tooBig()
	}
	return c.fault(CodeProtocol, plain(err))
}

func (c *Conn) tooBig() error {
	return c.fault(CodeTooBig, fmt.Sprintf("a message is larger than the limit of %d bytes (--max-message)", c.options.MaxMessage))
}

// fault tells the peer, where the library has not done so already.
func (c *Conn) fault(code int, what string) error {
	control(c.lib, goodbye, closing(code, what))
	return &Fault{code, what}
}

// Message puts one message into s, in one frame, after what is pending. Unless
// it is compressed it may stay in s as it is. After a goodbye it does nothing.
func (c *Conn) Message(s Sink, msg []byte) {
	c.out.into(s, !c.deflated)
	_ = c.lib.WriteMessage(text, msg) // in memory, it fails after a goodbye alone
	c.out.into(nil, false)
}

// Control puts what is pending into s, after a ping where that is wanted.
func (c *Conn) Control(s Sink, wantPing bool) {
	c.out.into(s, false)
	if wantPing {
		control(c.lib, ping, nil)
	}
	c.out.into(nil, false)
}

// Goodbye puts a close frame into s, after what is pending, unless there was
// one already.
func (c *Conn) Goodbye(s Sink, code int, reason string) {
	c.out.into(s, false)
	control(c.lib, goodbye, closing(code, reason))
	c.out.into(nil, false)
}
