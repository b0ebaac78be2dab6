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

// A member is a session's place in a group.
type member struct {
	group  *Group
	client Client
	owner  owner
	kind   *kind // set by Open
	slot   *slot // set by Open

	home atomic.Pointer[tenant] // the slot's link, nil while there is none

	// Guarded by the group's lock.
	waits map[*link.Call]*wait
	left  *refusal.Refusal
	level string // the log level that the client has set, "" for none
}

// Join makes a place that has no links yet.
func (g *Group) Join(c Client, principal, id string) Place {
	m := &member{group: g, client: c, owner: owner{principal: principal}, waits: make(map[*link.Call]*wait)}
	if principal == "" { // nobody can tell such callers apart
		m.owner.session = id
	}
	return m
}

// Open answers the client's initialize from a link of its kind.
func (m *member) Open(c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	refused := m.settle(msg.B, env)
	msg.Release()
	if refused != nil {
		c.Refuse(refused)
		return
	}
	m.group.ensure(m.slot, func(t *tenant, failed *failure) {
		if failed != nil {
			failed.tell(c)
			return
		}
		t.answer(c)
	})
}

// settle finds the kind of the client and a slot for it.
func (m *member) settle(msg []byte, env *wire.Envelope) *refusal.Refusal {
	g := m.group
	principal := ""
	if g.options.Principal {
		principal = m.owner.principal
	}
	k, refused := newKey(principal, msg, env)
	if refused != nil {
		return refused
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.left != nil {
		return m.left
	}
	if g.kinds[k] == nil {
		g.kinds[k] = newKind(k)
	}
	m.kind = g.kinds[k]
	m.kind.members++
	m.slot = g.slot(m.kind)
	m.slot.members[m] = struct{}{}
	g.members[m] = struct{}{}
	if t := m.slot.tenant; t != nil {
		m.settleIn(t)
	}
	return nil
}

// settleIn makes a link the member's home. The group's lock is held.
func (m *member) settleIn(t *tenant) {
	if t.only != nil && t.only != m {
		t.mixed = true
	}
	t.only = m
	m.home.Store(t)
}

// Call sends a request: on a link that others share, unless it may be asked
// something back.
func (m *member) Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if m.slot == nil {
		msg.Release()
		return refusal.Uninitialized
	}
	if mayAsk(env.Method) && (m.kind.asks || m.hasLevel()) {
		return m.lease(c, msg, env)
	}
	switch string(env.Method) {
	case mcp.MethodSubscribe, mcp.MethodUnsubscribe:
		return m.subscription(c, msg, env)
	case mcp.MethodSetLevel:
		if done, refused := m.setLevel(c, msg); done {
			return refused
		}
	default:
		if !m.group.options.Principal && isTask(env.Method) {
			msg.Release()
			return refusal.Unshared
		}
	}
	return m.share(c, msg, env)
}

// share sends a request on the slot's link, as soon as there is one.
func (m *member) share(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if t := m.home.Load(); t != nil {
		refused := t.link.Call(c, msg, env)
		if refused == nil && m.group.options.Principal {
			t.attend(m, c)
		}
		return refused
	}
	w, refused := m.park(c, msg, env)
	if refused != nil {
		return refused
	}
	m.group.ensure(m.slot, func(t *tenant, failed *failure) {
		switch {
		case !w.unpark():
		case failed != nil:
			w.msg.Release()
			failed.tell(c)
		default:
			if refused := t.link.Call(c, w.msg, &w.env); refused != nil {
				c.Refuse(refused)
			}
			m.dropIfLeft(c)
		}
	})
	return nil
}

// dropIfLeft gives up a call whose session has ended while it was being sent.
func (m *member) dropIfLeft(c *link.Call) {
	m.group.mu.Lock()
	left := m.left
	m.group.mu.Unlock()
	if l := c.Link(); left != nil && l != nil {
		l.Drop(c, left)
	}
}

// Cancel implements Place. A call that waits for a link is over at once.
func (m *member) Cancel(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	g := m.group
	g.mu.Lock()
	w := m.waits[c]
	if w != nil {
		w.why = refusal.Cancelled
		w.cancel()
	}
	g.mu.Unlock()
	if l := c.Link(); w == nil && l != nil {
		return l.Cancel(c, msg, env)
	}
	msg.Release()
	return nil
}

// Tell passes a notification on. What belongs to the link and not to a client
// stays here: it was initialized by the gate, and has no roots that could
// change.
func (m *member) Tell(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	own := string(env.Method) == mcp.MethodInitialized || !m.group.options.Principal && string(env.Method) == mcp.MethodRootsChanged
	t := m.home.Load()
	if own || t == nil {
		msg.Release()
		return nil
	}
	return t.link.Send(msg)
}

// Leave implements Place.
func (m *member) Leave(calls []*link.Call, why *refusal.Refusal) {
	g := m.group
	g.mu.Lock()
	m.left = why
	for _, w := range m.waits {
		w.why = why
		w.cancel()
	}
	home, alone := m.depart()
	g.mu.Unlock()
	for _, c := range calls {
		if l := c.Link(); l != nil {
			l.Drop(c, why)
		}
	}
	if home == nil {
		return
	}
	for _, uri := range alone {
		home.ask(mcp.MethodUnsubscribe, "uri", uri)
	}
}

// depart takes the member out of the group. It returns the link that it shared
// and the resources that only it had subscribed to. Links that were told of its
// session alone end. g.mu is held.
func (m *member) depart() (home *tenant, alone []string) {
	g := m.group
	if m.slot == nil {
		return nil, nil
	}
	delete(g.members, m)
	delete(m.slot.members, m)
	m.kind.members--
	alone = m.slot.unsubscribe(m)
	if home = m.slot.tenant; home != nil {
		home.since = time.Now()
	}
	if m.owner.session != "" {
		for _, t := range slices.Clone(g.idle) {
			if t.told == m.owner {
				g.end(t, refusal.SessionEnd)
			}
		}
	}
	return home, alone
}
