package legacy

import (
	"bytes"
	"sync"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// A place is one session's way to the server. Its lock guards its calls and
// listens too; while it is held neither the desk, nor the client, nor a leg is
// called.
type place struct {
	sharer *Sharer
	client share.Client
	from   share.Caller

	mu       sync.Mutex
	left     *refusal.Refusal // why the session has ended
	who      who              // from Open on
	meta     string           // members of each request's _meta, from Open on
	level    string           // that the client has set, "" for none
	declared declared         // what the server has declared, once discover has been answered
	header   []byte           // of the client's request that came last and that listens go by
	calls    []*call          // in flight

	listening
}

// Open asks the server who it is, and answers the initialize from that.
func (p *place) Open(c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	header, refused := p.introduce(msg, env)
	msg.Release()
	if refused == nil {
		refused = p.sharer.enter(p)
	}
	if refused != nil {
		c.Refuse(refused)
		return
	}
	discover, at := link.NewRequest(mcp.MethodDiscover, struct{}{})
	discover.Header = header
	if refused := p.forward(c, opening, discover, at); refused != nil {
		c.Refuse(refused)
	}
}

// introduce notes who the client is, and returns the header lines that came with
// it.
func (p *place) introduce(msg *wire.Buffer, env *wire.Envelope) ([]byte, *refusal.Refusal) {
	w, refused := newWho(msg.B, env)
	if refused != nil {
		return nil, refused
	}
	header := bytes.Clone(ownLines(msg.Header))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.who, p.meta, p.header = w, w.meta(""), header
	return header, p.left
}

// Call serves a request here, or sends it as a modern one. What the gate itself
// says about a request is said by JSON-RPC alone: a status, 404 above all, would
// be taken for one about the session.
func (p *place) Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	p.mu.Lock()
	left, opened := p.left, p.meta != ""
	p.mu.Unlock()
	switch {
	case left != nil:
		msg.Release()
		return left
	case !opened:
		msg.Release()
		return refusal.Uninitialized
	case p.serve(c, msg, env):
		return nil
	}
	kind := kindOf(env.Method)
	if !env.Params.Empty() && msg.B[env.Params.Start] != '{' {
		msg.Release()
		fail(c, mcp.CodeInvalidParams, "params must be an object")
		return nil
	}
	return p.forward(c, kind, msg, env)
}

// serve answers what a modern server no longer serves. It takes msg over if it
// is true.
func (p *place) serve(c *link.Call, msg *wire.Buffer, env *wire.Envelope) bool {
	switch method := string(env.Method); {
	case method == mcp.MethodPing:
		msg.Release()
		answerEmpty(c)
	case method == mcp.MethodSetLevel:
		p.setLevel(c, msg, env)
	case method == mcp.MethodSubscribe:
		p.subscribe(c, msg, env)
	case method == mcp.MethodUnsubscribe:
		p.unsubscribe(c, msg, env)
	case method == mcp.MethodDiscover, method == mcp.MethodListen, bytes.HasPrefix(env.Method, []byte("tasks/")):
		msg.Release()
		fail(c, mcp.CodeMethodNotFound, "this method is not served in a session of a legacy revision with this tool server")
	default:
		return false
	}
	return true
}

// Cancel ends a call at once: what a server that is told still answers would
// come too late for most clients.
func (p *place) Cancel(c *link.Call, msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	msg.Release()
	p.mu.Lock()
	mine := p.find(c)
	p.mu.Unlock()
	if mine == nil || c.Opens {
		return nil
	}
	if p.take(mine) {
		mine.leave()
		c.Cancelled()
	}
	return nil
}

// Tell takes a notification. A modern server has no use for any; initialized
// says that the client is ready to be told of changes.
func (p *place) Tell(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if string(env.Method) == mcp.MethodInitialized {
		p.initialized(msg.Header)
	}
	msg.Release()
	return nil
}

// Leave ends the place. The session's calls in flight are the place's own.
func (p *place) Leave(_ []*link.Call, why *refusal.Refusal) {
	p.end(why)
	p.sharer.forget(p)
}

// end answers every call with why, and leaves the server.
func (p *place) end(why *refusal.Refusal) {
	p.mu.Lock()
	if p.left != nil {
		p.mu.Unlock()
		return
	}
	p.left = why
	calls := append([]*call(nil), p.calls...)
	p.mu.Unlock()
	for _, c := range calls {
		if p.take(c) {
			c.leave()
			c.client.Refuse(why)
		}
	}
	p.stopListening()
}

// find finds the call that serves a client's. p.mu is held.
func (p *place) find(client *link.Call) *call {
	for _, c := range p.calls {
		if c.client == client {
			return c
		}
	}
	return nil
}

// setLevel notes the log level that the client wants to hear; it goes into
// every later request (2026-07-28, server/utilities/logging).
func (p *place) setLevel(c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	level := text(msg.B, wire.Find(msg.B, env.Params, "level"))
	msg.Release()
	if !levels[level] {
		fail(c, mcp.CodeInvalidParams, "the log level must be one of debug, info, notice, warning, error, critical, alert, emergency")
		return
	}
	p.mu.Lock()
	p.level = level
	p.meta = p.who.meta(level)
	p.mu.Unlock()
	answerEmpty(c)
}

// levels are those of RFC 5424.
var levels = map[string]bool{
	"debug": true, "info": true, "notice": true, "warning": true,
	"error": true, "critical": true, "alert": true, "emergency": true,
}

// answerEmpty answers a call that is served here.
func answerEmpty(c *link.Call) {
	msg := wire.Acquire(64 + len(c.ID))
	msg.B = append(append(append(msg.B, `{"jsonrpc":"2.0","id":`...), c.ID...), `,"result":{}}`...)
	c.Leg.Answer(msg, metrics.OK)
}

// fail answers a call with a JSON-RPC error and no more.
func fail(c *link.Call, code int, says string) {
	failWith(c, &refusal.Refusal{Code: code, Text: says}, metrics.Failed)
}

// failWith is fail with a row of the table.
func failWith(c *link.Call, r *refusal.Refusal, how metrics.Outcome) {
	msg := wire.Acquire(256 + len(c.ID) + len(r.Text))
	msg.B = r.AppendJSON(msg.B, c.ID)
	c.Leg.Answer(msg, how)
}
