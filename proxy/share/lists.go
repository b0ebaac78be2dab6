package share

import (
	"encoding/json"

	"sidegate/proxy/cache"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// The lists of a legacy server are the same for all who use a link, and good
// until the server says that they have changed, if it has declared that it
// will. They are kept for each link by itself: a cursor may be good on the link
// only that gave it out, and the list of another link, or of a server that was
// started again, may be another one. That all who share a link are given the
// same list is what sharing means (--isolation): links of a kind count as alike.
// While a server has no stream on which it could tell of a change, as over HTTP
// many have none, nothing is kept: it would stay for an hour.

// lists is the key of a request for a list that may be kept; ok is false where
// the server has to be asked for this caller alone.
func (m *member) lists(t *tenant, msg *wire.Buffer, env *wire.Envelope) (key cache.Key, ok bool) {
	method := cache.List(env.Method)
	if m.group.options.Cache == nil || !t.tells[method] || m.hasLevel() {
		return key, false
	}
	space, ok := t.keeps()
	if !ok {
		return key, false
	}
	return cache.NewKey(space, method, msg, env)
}

// keeps is the space of what is kept of a link's lists. There is none while the
// server could not say that they have changed, and another one after that.
func (t *tenant) keeps() (space uint64, ok bool) {
	hears, g := t.link.Hears(), t.group
	if hears == 0 {
		return 0, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.hears != hears {
		g.options.Cache.Forget(t.space)
		t.space, t.hears = g.options.Cache.Space(), hears
	}
	return t.space, true
}

// list answers a request for a list from what is kept, or from what is fetched
// for many. Its session may have ended at the same time, and would not have
// found it there.
func (m *member) list(key cache.Key, t *tenant, c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	g := m.group
	refused := g.options.Cache.Call(key, cache.UntilChanged, lister{m, t, c}, c, msg, env)
	if refused != nil || !m.gone.Load() {
		return refused
	}
	g.mu.Lock()
	left := m.left
	g.mu.Unlock()
	if left != nil {
		m.leaveLists(c, left)
	}
	return nil
}

// tells are the lists of which the answer to initialize declares that the
// server tells when they change (2025-11-25, server/tools, "Capabilities").
func tells(answer []byte) map[string]bool {
	type declared struct {
		ListChanged bool `json:"listChanged"`
	}
	var a struct {
		Result struct {
			Capabilities struct {
				Tools, Prompts, Resources declared
			} `json:"capabilities"`
		} `json:"result"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return nil
	}
	c := &a.Result.Capabilities
	return map[string]bool{
		mcp.MethodListTools:     c.Tools.ListChanged,
		mcp.MethodListPrompts:   c.Prompts.ListChanged,
		mcp.MethodListResources: c.Resources.ListChanged,
		mcp.MethodListTemplates: c.Resources.ListChanged,
	}
}

// A lister is a member's way to a list past the store. It is a cache.Way.
type lister struct {
	member *member
	tenant *tenant
	call   *link.Call // the client's own
}

// Call sends the client's own call as any other. The store's stays when the
// client leaves; while it is there it is the one to be asked.
func (l lister) Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	m := l.member
	if c == l.call {
		return m.share(m.seat.Load(), c, msg, env)
	}
	refused := l.tenant.link.Call(c, msg, env)
	if refused == nil && m.group.options.Principal {
		l.tenant.attend(m, l.call)
	}
	return refused
}

// Leave gives a call up.
func (l lister) Leave(c *link.Call, why *refusal.Refusal) {
	g := l.member.group
	g.mu.Lock()
	w := l.member.waits[c]
	if w != nil {
		w.giveUp(why)
	}
	g.mu.Unlock()
	switch to := c.Link(); {
	case w != nil:
		c.Refuse(why)
	case to != nil:
		to.Drop(c, why)
	}
}

// leaveLists answers a call that waits for a list with why, and tells whether
// it does.
func (m *member) leaveLists(c *link.Call, why *refusal.Refusal) bool {
	kept := m.group.options.Cache
	return kept != nil && kept.Leave(c, why)
}
