package share

import (
	"context"
	"slices"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// alone gives a call a link to itself, now or after the pool's bounded wait.
func (d *Direct) alone(c *link.Call, key owner, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		msg.Release()
		return refusal.Draining
	}
	r := d.grab(key, d.handles.back(brought(msg.B, env)))
	if r == nil {
		w := &standby{call: c, msg: msg, env: places(env), key: key}
		w.ctx, w.cancel = context.WithCancel(d.open)
		d.waits[c] = w
		d.queue = append(d.queue, w)
		d.work.Go(func() { d.find(w) })
	}
	d.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.sendAlone(c, msg, env)
}

// grab takes a link for one call: one that was used so by the same caller, the
// one that knows what the call goes on with before others, or one that nobody has
// used. d.mu is held.
func (d *Direct) grab(key owner, knows *route) *route {
	i := slices.IndexFunc(d.idle, func(r *route) bool { return r.key == key && r == knows })
	if i < 0 {
		i = slices.IndexFunc(d.idle, func(r *route) bool { return r.key == key })
	}
	switch {
	case i >= 0:
		r := d.idle[i]
		d.idle = slices.Delete(d.idle, i, i+1)
		d.occupy(r, key)
		return r
	case len(d.adopted) > 0:
		r := d.adopted[0]
		d.adopted = slices.Delete(d.adopted, 0, 1)
		d.occupy(r, key)
		return r
	}
	return nil
}

// occupy makes a link one that a call has to itself. d.mu is held.
func (d *Direct) occupy(r *route, key owner) {
	r.key = key
	r.sending.Add(1)
	d.busy = append(d.busy, r)
}

// find gets a link for a call that waits for one to itself: a new one, or one
// that becomes free before it is there.
func (d *Direct) find(w *standby) {
	d.makeRoom()
	r, refused := d.take(w.ctx)
	d.mu.Lock()
	d.queue = slices.DeleteFunc(d.queue, func(other *standby) bool { return other == w })
	given, over := w.given, d.waits[w.call] != w
	delete(d.waits, w.call)
	w.cancel()
	switch {
	case given != nil && r != nil: // one is enough
		d.keep(r)
	case given != nil:
	case r != nil && (r.dead || over):
		d.keep(r)
		r, refused = nil, refusal.Start
	case r != nil:
		d.occupy(r, w.key)
		given = r
	}
	d.mu.Unlock()
	switch {
	case given != nil && given.link.Relates(): // it need not have been alone, which nobody knew before
		d.unneeded(given)
		if refused := d.share(w.call, d.shared(w.key), w.msg, &w.env); refused != nil {
			w.call.Refuse(refused)
		}
	case given != nil:
		if refused := given.sendAlone(w.call, w.msg, &w.env); refused != nil {
			w.call.Refuse(refused)
		}
	case !over:
		w.settle(nil, refused)
	}
}

// shared is the key under which a caller's calls share links.
func (d *Direct) shared(key owner) owner {
	if d.options.Shared {
		return owner{}
	}
	return key
}

// unneeded makes a link one that calls may share.
func (d *Direct) unneeded(r *route) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.sending.Add(-1)
	d.busy = slices.DeleteFunc(d.busy, func(other *route) bool { return other == r })
	d.keep(r)
}

// keep keeps a link that nobody has used, for who needs one next. d.mu is held.
func (d *Direct) keep(r *route) {
	switch {
	case r.dead:
	case d.closed || d.wanted():
		d.end(r, refusal.SessionEnd)
	default:
		r.since = time.Now()
		d.adopted = append(d.adopted, r)
	}
}

// sendAlone sends a call on the link that it has to itself.
func (r *route) sendAlone(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	leg := &solo{inner: c.Leg, route: r}
	d := r.desk
	d.mu.Lock()
	r.leg = leg
	d.mu.Unlock()
	c.Leg = leg
	refused := r.send(c, msg, env)
	if refused != nil {
		c.Leg = leg.inner
		d.giveBack(r, false)
	}
	return refused
}

// giveBack ends a call's use of a link to itself. It goes to the same caller's
// next such call. One whose server may still be at work for a call that was
// given up ends: what it says later would reach another call.
func (d *Direct) giveBack(r *route, clean bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.leg = nil
	r.since = time.Now()
	d.busy = slices.DeleteFunc(d.busy, func(other *route) bool { return other == r })
	switch {
	case r.dead:
	case !clean || d.closed:
		d.end(r, refusal.SessionEnd)
	case d.pass(r):
	case d.wanted():
		d.end(r, refusal.SessionEnd)
	default:
		d.idle = append(d.idle, r)
	}
}

// pass gives a free link to the same caller's call that has waited longest.
// d.mu is held.
func (d *Direct) pass(r *route) bool {
	for i, w := range d.queue {
		if w.key == r.key && d.waits[w.call] == w {
			d.queue = slices.Delete(d.queue, i, i+1)
			delete(d.waits, w.call)
			d.occupy(r, w.key)
			w.given = r
			w.cancel()
			return true
		}
	}
	return false
}

// solo is the leg of a call that has a link to itself.
type solo struct {
	inner link.Leg
	route *route
}

func (s *solo) Send(msg *wire.Buffer)  { s.inner.Send(msg) }
func (s *solo) Reply(r *backend.Reply) { s.inner.Reply(r) }

// Answer gives the link back before the client can see the answer: its next
// call finds it free.
func (s *solo) Answer(msg *wire.Buffer, how metrics.Outcome) {
	if how == metrics.OK {
		s.route.learn(msg.B)
	}
	s.route.desk.giveBack(s.route, how == metrics.OK || how == metrics.Failed)
	s.inner.Answer(msg, how)
}
