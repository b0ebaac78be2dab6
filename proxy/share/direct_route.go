package share

import (
	"slices"
	"sync/atomic"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A route is a link to a modern server, with what is known of its use. It is
// the link's owner.
type route struct {
	desk    *Direct
	link    *link.Link
	sending atomic.Int32 // calls that have chosen it and are not in flight yet

	// Guarded by the desk's lock.
	since time.Time // when it was last seen in use
	key   owner     // of a link that calls have to themselves: whose calls
	leg   *solo     // of the call that has it to itself
	works bool      // it has made a task, and may be at it though no call is in flight
	asks  int       // what it has asked for and nobody has brought yet: requestStates
	dead  bool
}

// load is how many calls are on the link, or about to be.
func (r *route) load() int { return int(r.sending.Load()) + r.link.InFlight() }

// send sends a call that has chosen the link.
func (r *route) send(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	defer r.sending.Add(-1)
	if !r.gives(c, env) {
		return r.link.Call(c, msg, env)
	}
	inner := c.Leg
	c.Leg = &giver{inner, r}
	refused := r.link.Call(c, msg, env)
	if refused != nil {
		c.Leg = inner
	}
	return refused
}

// asksByRequest answers what a modern server may not do.
var asksByRequest = refusal.Unattended.With("a client of this revision is asked by a result (input_required), and not by a request")

// Unasked implements link.Owner. What names no call is for the call that has
// the link to itself; where there is none, nobody can tell whom it is for.
// List changes come in listens, and nowhere else.
func (r *route) Unasked(l *link.Link, msg *wire.Buffer, env *wire.Envelope) {
	d := r.desk
	if env.Kind == wire.Request {
		d.options.Dropped("question")
		Answer(l, asksByRequest, env.ID.Of(msg.B))
		msg.Release()
		return
	}
	d.mu.Lock()
	leg := r.leg
	d.mu.Unlock()
	switch string(env.Method) {
	case mcp.MethodCancelled, mcp.MethodToolsChanged, mcp.MethodPromptsChanged, mcp.MethodResourcesChanged, mcp.MethodResourceUpdated:
		leg = nil
	}
	if leg == nil || !env.SubscriptionID.Empty() {
		d.options.Dropped("unshared")
		msg.Release()
		return
	}
	leg.Send(msg)
}

// LinkClosed implements link.Owner: its calls have been answered, and the next
// one starts another link.
func (r *route) LinkClosed(*link.Link, error) {
	r.desk.mu.Lock()
	defer r.desk.mu.Unlock()
	r.desk.end(r, refusal.Ended)
}

// end ends a link that nobody uses any more. d.mu is held.
func (d *Direct) end(r *route, why *refusal.Refusal) {
	if r.dead {
		return
	}
	r.dead = true
	is := func(other *route) bool { return other == r }
	d.adopted = slices.DeleteFunc(d.adopted, is)
	d.idle = slices.DeleteFunc(d.idle, is)
	d.busy = slices.DeleteFunc(d.busy, is)
	for _, s := range d.stands {
		s.routes = slices.DeleteFunc(s.routes, is)
	}
	d.handles.forget(r)
	d.pool.End(r.link, why)
}

// unused are the links that nobody uses, the one used last first. d.mu is held.
func (d *Direct) unused() []*route {
	all := slices.Concat(d.idle, d.adopted)
	for _, s := range d.stands {
		for _, r := range s.routes {
			if r.load() == 0 {
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b *route) int { return b.since.Compare(a.since) })
	return all
}

// sweep ends the links that nobody has used for a while, and one more where
// somebody waits for its place.
func (d *Direct) sweep(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, s := range d.stands {
		for _, r := range s.routes {
			if r.load() > 0 {
				r.since = now
			}
		}
		if len(s.routes)+s.starting+len(s.waiting) == 0 {
			delete(d.stands, key)
		}
	}
	unused := d.unused()
	for _, r := range unused {
		if now.Sub(r.since) > d.lingers(r) {
			d.end(r, refusal.SessionEnd)
		}
	}
	if n := len(unused); n > 0 && d.wanted() {
		d.end(unused[n-1], refusal.Links)
	}
}

// lingers is how long a link is kept that nobody uses. People take their time
// to answer, and another process of the server could not go on with the call.
func (d *Direct) lingers(r *route) time.Duration {
	switch {
	case r.works:
		return max(linger, d.options.Works)
	case r.asks > 0:
		return max(linger, d.options.Asks)
	}
	return linger
}

// wanted tells whether somebody waits for a place that there is not. d.mu is
// held.
func (d *Direct) wanted() bool { return d.taking > 0 && d.pool.Full() }

// makeRoom ends the link that has been unused for longest, if the pool has no
// place for another one.
func (d *Direct) makeRoom() {
	if !d.pool.Full() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if unused := d.unused(); len(unused) > 0 {
		d.end(unused[len(unused)-1], refusal.Links)
	}
}

// shut ends all links, and with them the calls in flight, and answers the calls
// that wait.
func (d *Direct) shut() {
	d.mu.Lock()
	d.closed = true
	var waiting []*standby
	for _, w := range d.waits {
		waiting = append(waiting, w)
		d.drop(w)
	}
	all := slices.Concat(d.idle, d.adopted, d.busy)
	for _, s := range d.stands {
		all = append(all, s.routes...)
	}
	d.mu.Unlock()
	d.close()
	for _, w := range waiting {
		w.settle(nil, refusal.Draining)
	}
	for _, r := range all {
		r.link.Abort(refusal.Draining) // answers its calls, whose legs may call back
		d.mu.Lock()
		d.end(r, refusal.Draining)
		d.mu.Unlock()
	}
}
