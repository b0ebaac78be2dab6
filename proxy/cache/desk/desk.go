// Package desk keeps what a modern server marks as public in front of it, and
// lets callers who ask for the same thing at the same time wait for one answer
// (2026-07-28, server/utilities/caching).
//
// It is a share.Desk in front of another, and may know neither links nor
// clients beyond that.
package desk

import (
	"context"

	"sidegate/proxy/backend"
	"sidegate/proxy/cache"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// A Desk answers from a store what it can, and passes everything else on.
type Desk struct {
	store *cache.Store
	next  share.Desk
}

var _ share.Desk = (*Desk)(nil)

// New puts a store in front of next.
func New(store *cache.Store, next share.Desk) *Desk { return &Desk{store: store, next: next} }

// Call implements share.Desk. The caller's principal makes no other key:
// public is for any user, and what is not public is given to nobody else.
func (d *Desk) Call(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if string(env.Method) == mcp.MethodListen {
		return d.listen(c, from, msg, env)
	}
	key, ok := cache.NewKey(0, cache.Cacheable(env.Method), msg, env)
	if !ok {
		return d.next.Call(c, from, msg, env)
	}
	return d.store.Call(key, cache.Public, way{d.next, from}, c, msg, env)
}

// Leave implements share.Desk.
func (d *Desk) Leave(c *link.Call) {
	if !d.store.Leave(c, refusal.Cancelled) {
		d.next.Leave(c)
	}
}

// Run runs the desk behind this one, too, and closes the store when it is over.
func (d *Desk) Run(ctx context.Context) {
	d.next.Run(ctx)
	d.store.Close()
}

// way is a caller's way past the store.
type way struct {
	next share.Desk
	from share.Caller
}

// Call implements cache.Way.
func (w way) Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	return w.next.Call(c, w.from, msg, env)
}

// Leave implements cache.Way.
func (w way) Leave(c *link.Call, _ *refusal.Refusal) { w.next.Leave(c) }

// listen passes a subscriptions/listen on, and hears what the server says to it.
func (d *Desk) listen(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	inner := c.Leg
	c.Leg = &ear{d.store, inner}
	refused := d.next.Call(c, from, msg, env)
	if refused != nil {
		c.Leg = inner
	}
	return refused
}

// ear is the leg of a subscriptions/listen.
type ear struct {
	store *cache.Store
	inner link.Leg
}

// Send tells the store what has changed before the client can ask again.
func (e *ear) Send(msg *wire.Buffer) {
	var env wire.Envelope
	if env.Scan(msg.B) == nil {
		e.store.Heard(&env)
	}
	e.inner.Send(msg)
}

// Answer is the end of the listen. Where it is the server's doing, what changes
// from here on may go untold, as in a server that starts again.
func (e *ear) Answer(msg *wire.Buffer, how metrics.Outcome) {
	if how != metrics.Cancelled {
		e.store.Forget(0)
	}
	e.inner.Answer(msg, how)
}

// Reply implements link.Leg.
func (e *ear) Reply(r *backend.Reply) { e.inner.Reply(r) }
