package websocket

import (
	"net/netip"
	"sync/atomic"
	"time"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
	"sidegate/proxy/ws"
)

// conn is one connection: the form in which a session's messages go out on it,
// and the reader of what comes in. The reader is the goroutine that owns it while
// something comes; the stream's writer calls Message, Alive and End.
type conn struct {
	frontend  *Frontend
	sessions  *session.Manager
	session   *session.Session
	modern    modern
	principal string
	address   netip.Addr
	forwarded []byte
	socket    *stream.Socket
	ws        *ws.Conn

	// The reader's own.
	watcher stream.Watcher
	chunk   *[chunkSize]byte // what ahead is a part of, nil while nothing comes
	ahead   []byte           // read from the socket, and not yet by the library
	started time.Time
	opened  bool // initialize has come, on this connection or on one before
	expired bool // it has not come in time
	silent  bool // a ping was due, and nothing has come since
	env     wire.Envelope
	id      []byte // of the message that is being served

	// What the reader has for the writer.
	pinging atomic.Bool  // a sign of life is to be asked for
	leaving atomic.Int32 // what has become of the last frame: see part
}

var _ stream.Frames = (*conn)(nil)

// Message is one message in a frame of its own.
func (c *conn) Message(b *stream.Batch, msg []byte) { c.ws.Message(b, msg) }

// Alive takes what the reader has for the writer.
func (c *conn) Alive(b *stream.Batch) {
	c.ws.Control(b, c.pinging.Swap(false))
	c.composed()
}

// takenOver is why a connection ends whose session has another one.
const takenOver = "another connection has taken this session over"

// End says goodbye.
func (c *conn) End(b *stream.Batch, why *refusal.Refusal) {
	if why == nil {
		c.ws.Goodbye(b, ws.CodePolicy, takenOver)
		return
	}
	c.ws.Goodbye(b, why.Close, why.Text)
}

// take serves one message, and owns it. One that is refused harms no other.
func (c *conn) take(msg *wire.Buffer) {
	o := &c.frontend.options
	refused := o.Check(msg.B, &c.env)
	if refused == nil {
		refused = o.Rate(c.principal, c.address)
	}
	c.id = append(c.id[:0], c.env.ID.Of(msg.B)...)
	kind := c.env.Kind
	if refused == nil {
		refused = c.pass(msg)
	} else {
		msg.Release()
	}
	c.env.Reset()
	if refused != nil {
		c.refuse(refused, kind)
	}
}

// refuse answers what was refused, under its id as far as that is known. What
// has no answer has none when it is refused, either.
func (c *conn) refuse(refused *refusal.Refusal, kind wire.Kind) {
	c.frontend.options.Refused(refused)
	switch kind {
	case wire.Notification, wire.Result, wire.Error:
		return
	}
	answer := wire.Acquire(256)
	answer.B = refused.AppendJSON(answer.B, c.id)
	c.session.Outbox().Main().Answer(answer)
}

// pass hands a message over to the session, which takes it over.
func (c *conn) pass(msg *wire.Buffer) *refusal.Refusal {
	if taken, refused := c.passModern(msg); taken {
		return refused
	}
	opens := c.env.Kind == wire.Request && string(c.env.Method) == mcp.MethodInitialize
	if !c.opened && !opens {
		msg.Release()
		return refusal.Uninitialized
	}
	if c.env.Kind == wire.Batch {
		return c.batch(msg)
	}
	if c.env.HasNewline {
		wire.Flatten(msg.B)
	}
	main := c.session.Outbox().Main()
	switch {
	case opens:
		c.opened = true
		return c.session.Initialize(main, msg, &c.env)
	case c.env.Kind == wire.Request:
		return c.session.Call(main, msg, &c.env)
	}
	return c.session.Tell(msg, &c.env)
}

// batch hands over the elements of an array.
func (c *conn) batch(msg *wire.Buffer) *refusal.Refusal {
	defer msg.Release()
	o := &c.frontend.options
	b, refused := c.session.Batch(msg, session.BatchRules{Budget: o.Budget, Check: o.Check, Refused: o.Refused})
	if refused != nil {
		return refused
	}
	if refused := b.Serve(c.session.Outbox().Main()); refused != nil {
		o.Refused(refused) // of one that has no answer
	}
	return nil
}
