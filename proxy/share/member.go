package share

import (
	"bytes"
	"slices"
	"sync/atomic"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A member is a session's place in a group.
type member struct {
	group  *Group
	client Client
	owner  owner

	seat atomic.Pointer[slot]   // nil before Open
	home atomic.Pointer[tenant] // the seat's link, nil while there is none
	gone atomic.Bool            // the session has ended

	// Guarded by the group's lock.
	waits        map[*link.Call]*wait // nil while no call waits
	left         *refusal.Refusal     // why the session has ended
	level        string               // the log level that the client has set, "" for none
	rootsChanged time.Time            // when its client last said so
	leased       int                  // links that its calls have to themselves
	subscribed   int                  // resources
}

// kind is the kind of client that the session is of. It is known from Open on.
func (m *member) kind() *kind { return m.seat.Load().kind }

// Join makes a place that has no links yet.
func (g *Group) Join(c Client, principal, id string) Place {
	m := &member{group: g, client: c, owner: owner{principal: principal}}
	if principal == "" { // nobody can tell such callers apart
		m.owner.session = id
	}
	return m
}

// Open answers the client's initialize from a link of its kind.
func (m *member) Open(c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	w, refused := m.settle(c, msg, env)
	msg.Release()
	if refused != nil {
		c.Refuse(refused)
		return
	}
	m.group.ensure(m.seat.Load(), func(t *tenant, failed *link.Failure) {
		switch {
		case !w.unpark():
		case failed != nil:
			failed.Tell(c)
		default:
			t.answer(c)
		}
	})
}

// settle finds the kind of the client and a seat for it. The initialize waits
// like a call does.
func (m *member) settle(c *link.Call, msg *wire.Buffer, env *wire.Envelope) (*wait, *refusal.Refusal) {
	g := m.group
	principal := ""
	if g.options.Principal {
		principal = m.owner.principal
	}
	k, refused := newKey(principal, msg, env)
	if refused != nil {
		return nil, refused
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.left != nil {
		return nil, m.left
	}
	if g.kinds[k] == nil {
		g.kinds[k] = newKind(k)
	}
	s := g.slot(g.kinds[k])
	s.kind.members++
	s.members[m] = struct{}{}
	g.members[m] = struct{}{}
	m.seat.Store(s)
	if t := s.tenant; t != nil {
		m.settleIn(t)
	}
	return m.await(c, nil, env), nil
}

// settleIn makes a link the member's home. The group's lock is held.
func (m *member) settleIn(t *tenant) {
	t.usedBy(m)
	m.home.Store(t)
}

// Call sends a request: on a link that others share, unless it may be asked
// something back.
func (m *member) Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	s := m.seat.Load()
	if s == nil {
		msg.Release()
		return refusal.Uninitialized
	}
	if isTask(msg.B, env) {
		msg.Release()
		return refusal.Unshared
	}
	if mayAsk(env.Method) && (s.kind.asks || m.hasLevel()) {
		return m.lease(c, msg, env)
	}
	switch string(env.Method) {
	case mcp.MethodSubscribe, mcp.MethodUnsubscribe:
		return m.subscription(s, c, msg, env)
	case mcp.MethodSetLevel:
		if done, refused := m.setLevel(c, msg); done {
			return refused
		}
	}
	if t := m.home.Load(); t != nil {
		if key, ok := m.lists(t, msg, env); ok {
			return m.list(key, t, c, msg, env)
		}
	}
	return m.share(s, c, msg, env)
}

// share sends a request on the seat's link, as soon as there is one.
func (m *member) share(s *slot, c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	c.Ahead = m
	if t := m.home.Load(); t != nil {
		refused := t.link.Call(c, msg, env)
		if refused == nil {
			m.sent(t, c)
		}
		return refused
	}
	w, refused := m.park(c, msg, env)
	if refused != nil {
		return refused
	}
	m.group.ensure(s, func(t *tenant, failed *link.Failure) {
		switch {
		case !w.unpark():
		case failed != nil:
			w.msg.Release()
			failed.Tell(c)
		default:
			if refused := t.link.Call(c, w.msg, &w.env); refused != nil {
				c.Refuse(refused)
				return
			}
			m.sent(t, c)
		}
	})
	return nil
}

// sent is called when a call was sent on a link that is shared. Its session may
// have ended at the same time, and would not have found it there.
func (m *member) sent(t *tenant, c *link.Call) {
	if m.group.options.Principal {
		t.attend(m, c)
	}
	m.dropIfLeft(c)
}

// dropIfLeft gives up a call whose session has ended while it was being sent.
func (m *member) dropIfLeft(c *link.Call) {
	if !m.gone.Load() {
		return
	}
	m.group.mu.Lock()
	left := m.left
	m.group.mu.Unlock()
	if l := c.Link(); left != nil && l != nil {
		l.Drop(c, left)
	}
}

// Cancel implements Place. A call that waits for a link is over at once.
func (m *member) Cancel(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if m.leaveLists(c, refusal.Cancelled) {
		msg.Release()
		return nil
	}
	g := m.group
	g.mu.Lock()
	w := m.waits[c]
	if w != nil && !c.Opens {
		w.giveUp(refusal.Cancelled)
	}
	g.mu.Unlock()
	if l := c.Link(); w == nil && l != nil {
		return l.Cancel(c, msg, env)
	}
	msg.Release()
	if w != nil && !c.Opens {
		c.Cancelled()
	}
	return nil
}

// Tell passes a notification on. What belongs to the link and not to a client
// stays here: it was initialized by the gate, and knows no roots but those that
// leased links were told. So does what has no name of a notification of the
// protocol's ($/cancelRequest, or a method without an id): some servers act on
// it, and it may name what is another client's.
func (m *member) Tell(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	own := string(env.Method) == mcp.MethodInitialized || !bytes.HasPrefix(env.Method, []byte("notifications/"))
	if string(env.Method) == mcp.MethodRootsChanged {
		m.forgetRoots()
		own = !m.group.options.Principal
	}
	t := m.home.Load()
	if own || t == nil {
		msg.Release()
		return nil
	}
	return t.link.Send(msg)
}

// forgetRoots ends the links that were told the client's roots, which are no
// longer so; one that is in use, when it comes back.
func (m *member) forgetRoots() {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	m.rootsChanged = time.Now()
	for _, t := range slices.Clone(g.idle) {
		if t.told == m.owner {
			g.end(t, refusal.SessionEnd)
		}
	}
}

// Leave implements Place.
func (m *member) Leave(calls []*link.Call, why *refusal.Refusal) {
	g := m.group
	m.gone.Store(true)
	var waiting []*link.Call
	g.mu.Lock()
	m.left = why
	for c, w := range m.waits {
		w.giveUp(why)
		waiting = append(waiting, c)
	}
	g.mu.Unlock()
	for _, c := range waiting {
		c.Refuse(why)
	}
	for _, c := range calls {
		if l := c.Link(); !m.leaveLists(c, why) && l != nil {
			l.Drop(c, why)
		}
	}
	if s := m.seat.Load(); s != nil {
		s.depart(m)
	}
}

// depart takes a member out of the group, and ends the subscriptions that only
// it had. Links that were told of its session alone end.
func (s *slot) depart(m *member) {
	s.subscribing.Lock() // another's new subscription goes before or after, not between
	defer s.subscribing.Unlock()
	g := m.group
	g.mu.Lock()
	delete(g.members, m)
	delete(s.members, m)
	s.kind.members--
	alone := s.unsubscribe(m)
	home := s.tenant
	if home != nil {
		home.since = time.Now()
		if len(s.members) == 0 && g.wanted() {
			g.end(home, refusal.SessionEnd)
			home = nil
		}
	}
	if m.owner.session != "" {
		for _, t := range slices.Clone(g.idle) {
			if t.told == m.owner {
				g.end(t, refusal.SessionEnd)
			}
		}
	}
	g.mu.Unlock()
	if home == nil {
		return
	}
	for _, uri := range alone {
		home.ask(mcp.MethodUnsubscribe, "uri", uri)
	}
}
