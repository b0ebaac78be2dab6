package link

import (
	"strconv"

	"sidegate/proxy/backend"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/wire"
)

// What a server of a modern revision says of a call besides progress: the
// notifications of a subscriptions/listen, which name the request by its id
// (2026-07-28, basic/patterns/subscriptions), and, over HTTP, whatever comes in
// the call's own response.

// listened gives a notification to the listen that it names. It is false where
// it names none that is in flight.
func (l *Link) listened(msg *wire.Buffer, env *wire.Envelope) bool {
	if string(env.Method) == mcp.MethodCancelled {
		return l.unlisten(number(env.RequestID.Of(msg.B)), msg)
	}
	if env.SubscriptionID.Empty() {
		return false
	}
	c := l.listener(number(env.SubscriptionID.Of(msg.B)))
	if c == nil {
		return false
	}
	msg.Splice(env.SubscriptionID, c.ID)
	c.Leg.Send(msg)
	return true
}

// listener is the listen in flight with this number, nil without one.
func (l *Link) listener(n uint64) *Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.calls[n]; c != nil && c.Listen {
		return c
	}
	return nil
}

// unlisten ends a listen that the server has ended by notifications/cancelled,
// as servers that are not spoken to over HTTP do (basic/patterns/cancellation).
// The client gets the result that ends one in good order. It takes msg over
// where it is true.
func (l *Link) unlisten(n uint64, msg *wire.Buffer) bool {
	l.mu.Lock()
	c := l.calls[n]
	if c == nil || !c.Listen {
		l.mu.Unlock()
		return false
	}
	delete(l.calls, n)
	l.mu.Unlock()
	msg.Release()
	end := wire.Acquire(128 + 2*len(c.ID))
	end.B = append(append(end.B, `{"jsonrpc":"2.0","id":`...), c.ID...)
	end.B = append(append(end.B, `,"result":{"resultType":"complete","_meta":{"`+mcp.MetaSubscriptionID+`":`...), c.ID...)
	end.B = append(end.B, `}}}`...)
	c.Leg.Answer(end, metrics.OK)
	return true
}

// endListen gives the answer to a listen the client's id, also where _meta of
// the result repeats it.
func endListen(msg *wire.Buffer, env *wire.Envelope, id []byte) {
	first, second := env.ID, wire.Find(msg.B, wire.Find(msg.B, env.Result, "_meta"), mcp.MetaSubscriptionID)
	if second.Start < first.Start {
		first, second = second, first
	}
	msg.Splice(second, id)
	if !first.Empty() {
		msg.Splice(first, id)
	}
}

// Related sorts what came in the response to a call and is no answer; see
// backend.Relater. It belongs to that call, whatever it names: what names
// another one does not go there.
func (l *Link) Related(id []byte, msg *wire.Buffer, env *wire.Envelope) {
	if env.Kind != wire.Notification && env.Kind != wire.Request {
		l.Message(msg, env)
		return
	}
	l.heard.Store(true)
	n := number(id)
	switch {
	case env.Kind == wire.Request: // a server of these revisions asks in its results
		l.options.Dropped("question")
		msg.Release()
	case string(env.Method) == mcp.MethodProgress:
		l.ownProgress(n, msg, env)
	case string(env.Method) == mcp.MethodCancelled:
		if number(env.RequestID.Of(msg.B)) != n || !l.unlisten(n, msg) {
			l.options.Dropped("late_cancel")
			msg.Release()
		}
	default:
		l.remark(n, msg, env)
	}
}

// ownProgress is progress that must name the call in whose response it came.
func (l *Link) ownProgress(n uint64, msg *wire.Buffer, env *wire.Envelope) {
	if number(env.ProgressToken.Of(msg.B)) != n {
		l.options.Dropped("late_progress")
		msg.Release()
		return
	}
	l.progress(msg, env)
}

// remark gives any other notification to the call in whose response it came.
func (l *Link) remark(n uint64, msg *wire.Buffer, env *wire.Envelope) {
	l.mu.Lock()
	c := l.calls[n]
	l.mu.Unlock()
	if c == nil {
		l.options.Dropped("late_notification")
		msg.Release()
		return
	}
	if at := env.SubscriptionID; !at.Empty() && string(at.Of(msg.B)) == strconv.FormatUint(n, 10) {
		msg.Splice(at, c.ID)
	}
	c.Leg.Send(msg)
}

var _ backend.Relater = (*Link)(nil)
