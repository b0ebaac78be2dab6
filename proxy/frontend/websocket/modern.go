package websocket

import (
	"sync"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/stateless"
	"sidegate/proxy/wire"
)

// modern is the part of a connection that needs no session: the calls in flight,
// by the client's id. They end with the connection.
type modern struct {
	calls  *stateless.Calls
	most   int  // in flight
	spoken bool // there was one; the reader's own

	mu   sync.Mutex
	open map[string]*stateless.Call
}

// passModern serves a message of a modern client. taken is false for all
// others; else msg is taken over.
func (c *conn) passModern(msg *wire.Buffer) (taken bool, refused *refusal.Refusal) {
	if c.env.Kind == wire.Notification {
		return c.cancelModern(msg), nil
	}
	is, refused := c.frontend.options.Modern(msg.B, &c.env)
	switch {
	case !is:
		return false, nil
	case refused != nil:
		msg.Release()
		return true, refused
	}
	if c.env.HasNewline {
		wire.Flatten(msg.B)
	}
	return true, c.callModern(msg)
}

// callModern starts a call. Its answer, and all that comes before it, goes out
// among the connection's other messages.
func (c *conn) callModern(msg *wire.Buffer) *refusal.Refusal {
	m := &c.modern
	m.spoken = true
	id := string(wire.AppendPlainID(nil, c.env.ID.Of(msg.B)))
	call := m.calls.NewCall()
	refused := c.session.Use() // its stream
	if refused == nil {
		call.Afterwards(c.session.Done)
		if refused = m.add(id, call); refused != nil {
			c.session.Done()
		}
	}
	if refused != nil {
		msg.Release()
		return refused
	}
	refused = call.Start(share.Caller{Principal: c.principal}, c.session.Outbox().Main(), func(*stateless.Call) { m.remove(id) }, msg, &c.env)
	if refused != nil {
		m.remove(id)
		c.session.Done()
	}
	return refused
}

// cancelModern serves the cancellation of a modern call; false where it is about
// none (2026-07-28, basic/patterns/cancellation).
func (c *conn) cancelModern(msg *wire.Buffer) bool {
	if string(c.env.Method) != mcp.MethodCancelled || !c.modern.spoken {
		return false
	}
	call := c.modern.find(string(wire.AppendPlainID(nil, c.env.RequestID.Of(msg.B))))
	if call == nil {
		return false
	}
	msg.Release()
	call.Leave()
	return true
}

func (m *modern) add(id string, call *stateless.Call) *refusal.Refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.open[id] != nil:
		return refusal.DuplicateID
	case len(m.open) >= m.most:
		return refusal.Calls.With("this connection has %d of %d calls in flight (--max-calls); wait for one to end", len(m.open), m.most)
	case m.open == nil:
		m.open = make(map[string]*stateless.Call)
	}
	m.open[id] = call
	return nil
}

func (m *modern) find(id string) *stateless.Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open[id]
}

func (m *modern) remove(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, id)
}

// leave ends the calls of a connection that has ended.
func (m *modern) leave() {
	m.mu.Lock()
	open := m.open
	m.open = nil
	m.mu.Unlock()
	for _, call := range open {
		call.Leave()
	}
}
