package http

import (
	"bytes"
	"hash/maphash"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/mcp"
	"sidegate/proxy/wire"
)

// What one connection carries of messages that stand alone. Each has a
// connection to the server while its response lasts, and with it a descriptor
// here, so it is mostly the limit of open files that binds first: the call then
// has a Reply with status 503. The two together stay below the 28 thousand
// ports that a system has towards one address. Listens are counted by
// themselves: they last, and calls must not starve for them.
const (
	maxModernCalls = 8192
	maxListens     = 8192
)

// modernLine begins the header of a message of a modern revision.
var modernLine = []byte(mcp.HeaderProtocolVersion + ": ")

// modern is what a connection keeps of the messages that stand alone, while
// they last. conn.mu guards it.
type modern struct {
	calls   int // and notifications
	listens int
	used    bool                 // there has been one
	byID    map[uint64]*exchange // requests, by the hash of the id; next leads to those with the same
}

// seed is of the hashes in byID.
var seed = maphash.MakeSeed()

// sendModern sends x at once.
func (c *conn) sendModern(x *exchange) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.finished:
		x.free()
		return backend.ErrClosed
	case c.queued > 0 && c.queued+x.size > c.backend.config.MaxQueue, c.modern.full(x):
		x.free()
		return backend.ErrFull
	}
	c.queued += x.size
	c.running[x] = struct{}{}
	c.modern.add(x)
	c.work.Add(1)
	x.launch()
	return nil
}

// running is how many messages there are.
func (m *modern) running() int { return m.calls + m.listens }

// full tells whether there are as many as there may be of x's kind.
func (m *modern) full(x *exchange) bool {
	if x.listens {
		return m.listens >= maxListens
	}
	return m.calls >= maxModernCalls
}

func (m *modern) add(x *exchange) {
	m.used = true
	if x.listens {
		m.listens++
	} else {
		m.calls++
	}
	if !x.request {
		return
	}
	if m.byID == nil {
		m.byID = map[uint64]*exchange{}
	}
	hash := maphash.Bytes(seed, x.id)
	x.next = m.byID[hash]
	m.byID[hash] = x
}

func (m *modern) remove(x *exchange) {
	if x.listens {
		m.listens--
	} else {
		m.calls--
	}
	if !x.request {
		return
	}
	hash := maphash.Bytes(seed, x.id)
	switch first := m.byID[hash]; {
	case first != x:
		for first.next != x {
			first = first.next
		}
		first.next = x.next
	case x.next != nil:
		m.byID[hash] = x.next
	default:
		delete(m.byID, hash)
	}
	x.next = nil
}

// find is the request with the id, nil without one.
func (m *modern) find(id []byte) *exchange {
	x := m.byID[maphash.Bytes(seed, id)]
	for x != nil && !bytes.Equal(x.id, id) {
		x = x.next
	}
	return x
}

// Cancel closes the connection on which the answer to a modern request would
// come; see backend.Canceller. The end of the call is not reported. What is
// being handed over as Cancel is called may still come. An id that is not known
// here is that of a modern request where there has been no other.
func (c *conn) Cancel(id []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x := c.modern.find(id); x != nil {
		x.abort()
		return true
	}
	return c.modern.used && !c.called
}

// endListens breaks off what would otherwise last until nobody wants to wait
// any more.
func (c *conn) endListens() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for x := range c.running {
		if x.listens {
			x.abort()
		}
	}
}

// inSession tells whether the exchange is part of a session with an id.
func (x *exchange) inSession() bool { return !x.modern && x.conn.inSession() }

// foreign tells whether what came in the response to a modern request does not
// concern it, or nobody any more. id may be empty.
func (x *exchange) foreign(id []byte) bool {
	return x.modern && (len(id) > 0 && !x.owns(bytes.TrimSpace(id)) || x.answered || x.isAborted())
}

// isAnswer tells whether the message in the envelope, which came with a status
// that refuses the request, is the answer to it. A modern server that could not
// read a request's id leaves it out.
func (x *exchange) isAnswer(msg *wire.Buffer) bool {
	switch x.env.Kind {
	case wire.Result, wire.Error:
		return x.owns(x.env.ID.Of(msg.B)) || x.nameless()
	}
	return false
}

// nameless tells whether the message in the envelope is an error without an id,
// in the response to a modern request: it can be for no other.
func (x *exchange) nameless() bool {
	return x.modern && x.request && x.env.Kind == wire.Error && x.env.ID.Empty()
}

// deliverModern gives away what came in the response to a modern request: its
// answer, and before that notifications. All else is no business of its server's
// there. (2026-07-28, basic/transports/streamable-http, "Receiving Messages")
func (x *exchange) deliverModern(msg *wire.Buffer) {
	if x.answered || x.isAborted() {
		msg.Release()
		return
	}
	if x.nameless() && !x.adopt(msg) {
		return
	}
	kind := x.env.Kind
	switch {
	case kind == wire.Notification:
		x.conn.receiver.related(x.id, msg, &x.env)
	case (kind == wire.Result || kind == wire.Error) && x.owns(x.env.ID.Of(msg.B)):
		x.answered = true
		x.conn.receiver.message(msg, &x.env)
	case kind == wire.Request:
		x.backend.warn("the tool server sent a request of its own in the response to a modern one, where none may be; it has been dropped", zap.ByteString("method", clipped(x.env.Method)))
		msg.Release()
	default:
		x.backend.warn("the tool server sent the answer to another request than the one that it responds to; it has been dropped")
		msg.Release()
	}
}

// adopt gives an error the request's id. The members beside the error are lost.
func (x *exchange) adopt(msg *wire.Buffer) bool {
	fault := bytes.Clone(x.env.Error.Of(msg.B))
	msg.B = append(append(append(msg.B[:0], `{"jsonrpc":"2.0","id":`...), x.id...), `,"error":`...)
	msg.B = append(append(msg.B, fault...), '}')
	if err := x.env.Scan(msg.B); err != nil {
		x.garbage(msg.B, err)
		msg.Release()
		return false
	}
	return true
}

// clipped is a part of what the server said, for the log.
func clipped(text []byte) []byte { return text[:min(len(text), 64)] }
