package stateless

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// A Call is a call of a modern client, and its own leg. It is answered once, by
// whoever is first: the desk, or the gate that ends it.
type Call struct {
	link.Call
	calls  *Calls
	stream *stream.Stream
	done   func(*Call) // is told of the end, before the client can see it; may be nil
	said   func()      // and after the last of it is on the stream; may be nil
	reply  *stream.Reply
	over   atomic.Bool // answered, or its client has left
	method int         // for the metrics
	start  time.Time
	id     [24]byte // memory for the id, which is nearly always short
}

// NewCall makes a call that goes nowhere before Start.
func (cs *Calls) NewCall() *Call {
	c := &Call{calls: cs, start: time.Now()}
	c.Leg = c
	return c
}

// Afterwards has f called once nothing more of the call comes on its stream. It
// is for before Start; where Start fails f is not called.
func (c *Call) Afterwards(f func()) { c.said = f }

// Start sends the request whose answer, and all that comes for it before, goes
// to st. It takes msg over. Where it fails st is unused and done is not called.
func (c *Call) Start(from share.Caller, st *stream.Stream, done func(*Call), msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	c.stream, c.done = st, done
	c.method = metrics.Method(env.Method)
	c.ID = append(c.id[:0], env.ID.Of(msg.B)...)
	c.Progress = bytes.Clone(env.ProgressToken.Of(msg.B))
	c.Listen = string(env.Method) == mcp.MethodListen
	c.Modern = true
	if refused := c.calls.admit(c); refused != nil {
		msg.Release()
		return refused
	}
	refused := c.calls.options.Desk.Call(&c.Call, from, msg, env)
	if refused != nil {
		c.over.Store(true)
		c.calls.remove(c)
	}
	return refused
}

// Leave says that the client has left or has cancelled the call, which ends it
// for the server too; nothing more is sent for it.
func (c *Call) Leave() {
	if c.over.CompareAndSwap(false, true) {
		c.end(metrics.Cancelled)
		c.leave()
	}
	c.calls.options.Desk.Leave(&c.Call)
}

// end notes that the call is no longer in flight, before its client can see
// so: it may use the id again at once.
func (c *Call) end(how metrics.Outcome) {
	c.calls.ended(c, how)
	if c.done != nil {
		c.done(c)
	}
}

// leave says that the call has nothing more to do with its stream.
func (c *Call) leave() {
	if c.said != nil {
		c.said()
	}
}

// Send implements link.Leg.
func (c *Call) Send(msg *wire.Buffer) {
	if c.over.Load() || !c.stream.Send(msg) {
		c.calls.drop(msg)
	}
}

// Reply implements link.Leg: it notes in which HTTP response the answer comes.
func (c *Call) Reply(r *backend.Reply) {
	switch {
	case c.over.Load():
	case r.Status == backend.StatusOK:
		c.stream.SetHead(string(r.Header))
	default:
		c.reply = &stream.Reply{Status: r.Status, Type: r.Type, Head: string(r.Header), Body: bytes.Clone(r.Body)}
	}
}

// Answer implements link.Leg.
func (c *Call) Answer(msg *wire.Buffer, how metrics.Outcome) {
	if !c.over.CompareAndSwap(false, true) {
		msg.Release() // its client has left, and knows
		return
	}
	c.end(how)
	form := c.reply
	if form == nil && how == metrics.Failed {
		form = errorForm(msg.B)
	}
	if form != nil {
		c.stream.Reply(form, msg)
	} else {
		c.stream.Answer(msg)
	}
	c.leave()
}

// Forms of a server's own errors that are more than JSON-RPC's (2026-07-28,
// basic/transports/streamable-http, "Protocol Version Header").
var (
	notFound   = &stream.Reply{Status: 404}
	badRequest = &stream.Reply{Status: 400}
)

// errorForm is the form in which a server's error goes out, nil for the usual
// one.
func errorForm(answer []byte) *stream.Reply {
	var env wire.Envelope
	if env.Scan(answer) != nil {
		return nil
	}
	code, err := strconv.Atoi(string(env.Code.Of(answer)))
	switch {
	case err != nil:
	case code == mcp.CodeMethodNotFound:
		return notFound
	case code == mcp.CodeHeaderMismatch, code == mcp.CodeMissingCapability, code == mcp.CodeUnsupportedVersion:
		return badRequest
	}
	return nil
}

// refuse ends a call from the gate's side.
func (c *Call) refuse(why *refusal.Refusal) {
	if c.over.CompareAndSwap(false, true) {
		msg := wire.Acquire(256 + len(c.ID))
		msg.B = why.AppendJSON(msg.B, c.ID)
		c.end(metrics.Lost)
		c.stream.Reply(&stream.Reply{Status: why.Status}, msg)
		c.leave()
	}
	c.calls.options.Desk.Leave(&c.Call)
}

// close ends a listen in good order.
func (c *Call) close() {
	msg := wire.Acquire(160 + 2*len(c.ID))
	msg.B = append(append(msg.B, `{"jsonrpc":"2.0","id":`...), c.ID...)
	msg.B = append(msg.B, `,"result":{"resultType":"complete","_meta":{"`+mcp.MetaSubscriptionID+`":`...)
	msg.B = append(append(msg.B, c.ID...), `}}}`...)
	c.Answer(msg, metrics.OK)
	c.calls.options.Desk.Leave(&c.Call)
}
