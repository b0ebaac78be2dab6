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

// A wait is a call for which there is no link yet. The group's lock guards what
// changes.
type wait struct {
	member *member
	call   *link.Call
	msg    *wire.Buffer // nil for an initialize, which the gate answers itself
	env    wire.Envelope
	ctx    context.Context // done when nobody waits any more
	cancel context.CancelFunc

	given *tenant          // a link that became free meanwhile
	why   *refusal.Refusal // why nobody waits any more; whoever sets it answers the call
}

// park notes a call that has to wait. It takes msg over.
func (m *member) park(c *link.Call, msg *wire.Buffer, env *wire.Envelope) (*wait, *refusal.Refusal) {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.left != nil {
		msg.Release()
		return nil, m.left
	}
	return m.await(c, msg, env), nil
}

// await is park, where the session has not ended. The group's lock is held.
func (m *member) await(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *wait {
	w := &wait{member: m, call: c, msg: msg, env: places(env)}
	w.ctx, w.cancel = context.WithCancel(m.group.open)
	if m.waits == nil {
		m.waits = make(map[*link.Call]*wait)
	}
	m.waits[c] = w
	return w
}

// end takes a wait out. The group's lock is held.
func (w *wait) end() {
	m := w.member
	if delete(m.waits, w.call); len(m.waits) == 0 {
		m.waits = nil // most sessions wait once, for their first answer
	}
	w.cancel()
}

// giveUp ends a wait. The group's lock is held; the caller answers the call.
func (w *wait) giveUp(why *refusal.Refusal) {
	w.why = why
	w.end()
}

// unpark ends a wait. It is false where nobody waits any more: then the call
// has been answered.
func (w *wait) unpark() bool {
	g := w.member.group
	g.mu.Lock()
	w.end()
	over := w.why != nil
	g.mu.Unlock()
	if over {
		w.msg.Release()
	}
	return !over
}

// lease gives a call a link to itself, now or after a bounded wait.
func (m *member) lease(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	w, refused := m.park(c, msg, env)
	if refused != nil {
		return refused
	}
	g := m.group
	if t := g.grab(m, c); t != nil {
		g.use(w, t)
		return nil
	}
	if !g.begin(func() { g.find(w) }) && w.unpark() {
		w.msg.Release()
		return refusal.Draining
	}
	return nil
}

// grab takes a free link for the call: the caller's own, one that has been told
// of this client before, or any of its kind. The caller's own keeps state for
// all its calls, so none may set a log level there.
func (g *Group) grab(m *member, c *link.Call) *tenant {
	g.mu.Lock()
	defer g.mu.Unlock()
	if home := m.home.Load(); g.options.Principal && m.level == "" && home != nil && home.call == nil && home.fits(m) {
		home.take(m, c)
		return home
	}
	best := -1
	for i, t := range g.idle {
		if t.fits(m) && (best < 0 || t.told == m.owner || g.idle[best].told == owner{}) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	t := g.idle[best]
	g.idle = slices.Delete(g.idle, best, best+1)
	t.take(m, c)
	return t
}

// fits tells whether a link is one for a session's calls: it is of its kind,
// and has not been told of another client. Who wants to hear log messages gets
// a link that nobody else has used: those of another's call may still come. The
// group's lock is held.
func (t *tenant) fits(m *member) bool {
	return t.lives() && t.kind.key == m.kind().key && (t.told == owner{} || t.told == m.owner) && (m.level == "" || t.only == nil || t.sole(m))
}

// lives tells whether the link still takes calls. The calls of one that ends are
// answered before the group hears of it. The group's lock is held.
func (t *tenant) lives() bool { return !t.dead && !t.link.Ended() }

// take gives a link to a call. The group's lock is held.
func (t *tenant) take(m *member, c *link.Call) {
	t.usedBy(m)
	t.client, t.call = m, c
	m.leased++
}

// usedBy notes who uses a link. The group's lock is held.
func (t *tenant) usedBy(m *member) {
	if t.only != nil && t.only != m {
		t.mixed = true
	}
	t.only = m
}

// sole tells whether nobody else has ever used the link. The group's lock is
// held.
func (t *tenant) sole(m *member) bool { return t.only == m && !t.mixed }

// find gets a link for a call that waits: a new one, or one that becomes free
// before it is there.
func (g *Group) find(w *wait) {
	g.mu.Lock()
	g.queue = append(g.queue, w)
	g.mu.Unlock()
	g.makeRoom()
	t, failed := g.initialize(w.ctx, w.member.kind(), nil)
	g.mu.Lock()
	if i := slices.Index(g.queue, w); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
	}
	given := w.given
	if t != nil && given == nil {
		t.take(w.member, w.call)
	}
	g.mu.Unlock()
	switch {
	case given != nil && t != nil:
		g.giveBack(t, true) // one is enough
		g.use(w, given)
	case given != nil:
		g.use(w, given)
	case t != nil:
		g.use(w, t)
	case w.unpark():
		w.msg.Release()
		failed.Tell(w.call)
	}
}

// use sends a call on the link that it has to itself.
func (g *Group) use(w *wait, t *tenant) {
	m, c := w.member, w.call
	again := func() { g.use(w, t) }
	if t.setLevel(m, again) || t.askFirst(m, c, again) {
		return // the call can be cancelled meanwhile, as while it waited for the link
	}
	if !w.unpark() {
		g.giveBack(t, true)
		return
	}
	inner := c.Leg
	own := &lease{t, m, inner}
	c.Leg, c.Ahead = own, own
	if refused := t.link.Call(c, w.msg, &w.env); refused != nil {
		c.Leg, c.Ahead = inner, nil
		g.giveBack(t, false)
		c.Refuse(refused)
		return
	}
	m.dropIfLeft(c)
}

// giveBack ends a call's use of a link. One that is clean goes to who waits for
// such a link, or is kept for a while. One whose server may still be at work
// for the call ends: what it says later could reach somebody else.
func (g *Group) giveBack(t *tenant, clean bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	stale := false
	if m := t.client; m != nil {
		m.leased--
		stale = t.told != owner{} && m.rootsChanged.After(t.toldAt)
	}
	t.client, t.call = nil, nil
	t.since = time.Now()
	switch {
	case t.dead:
	case t.slot != nil: // the caller's own
		g.pass(t)
	case !clean || stale || g.closed:
		g.end(t, refusal.SessionEnd)
	case g.pass(t):
	case g.wanted():
		g.end(t, refusal.SessionEnd)
	default:
		g.idle = append(g.idle, t)
	}
}

// wanted tells whether somebody waits for a place that there is not. g.mu is
// held.
func (g *Group) wanted() bool { return g.taking > 0 && g.pool.Full() }

// pass gives a free link to who waits for such a one: to the session that has
// the fewest, and of these to the one that has waited longest. g.mu is held.
func (g *Group) pass(t *tenant) bool {
	first := -1
	for i, w := range g.queue {
		if w.why == nil && t.fits(w.member) && (first < 0 || w.member.leased < g.queue[first].member.leased) {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	w := g.queue[first]
	g.queue = slices.Delete(g.queue, first, first+1)
	t.take(w.member, w.call)
	w.given = t
	w.cancel()
	return true
}

// lease is the leg of a call that has a link to itself.
type lease struct {
	tenant *tenant
	member *member
	inner  link.Leg
}

func (l *lease) Send(msg *wire.Buffer)  { l.inner.Send(msg) }
func (l *lease) Reply(r *backend.Reply) { l.inner.Reply(r) }

// Answer gives the link back before the client can see the answer: its next
// call finds it free.
func (l *lease) Answer(msg *wire.Buffer, how metrics.Outcome) {
	t := l.tenant
	t.group.mu.Lock()
	m := t.client
	t.group.mu.Unlock()
	var open []Open
	if m != nil {
		open = m.client.Settle(t)
	}
	t.group.giveBack(t, how == metrics.OK || how == metrics.Failed)
	for _, q := range open {
		t.reopen(q)
	}
	l.inner.Answer(msg, how)
}
