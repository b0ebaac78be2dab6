package share

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// An owner is whom a link belongs to that knows something of one client: the
// caller where it has a name, else the one session.
type owner struct{ principal, session string }

// A tenant is a link that the gate has initialized, with what is known of its
// use. It is the link's owner. The group's lock guards what changes.
type tenant struct {
	group   *Group
	kind    *kind
	slot    *slot // nil for a link that is leased
	link    *link.Link
	born    time.Time
	result  []byte // the server's answer to initialize
	id      wire.Span
	logging bool            // the server has declared it
	tells   map[string]bool // the methods of lists, where the server says when they change

	space   uint64 // of what is kept of this link's answers
	hears   uint64 // what the link said it heard when the space was begun
	dead    bool
	client  *member    // whose call has the link to itself
	call    *link.Call // that call
	since   time.Time  // when it was last used
	told    owner      // who has told it roots or a log level: only they may have it
	toldAt  time.Time
	level   string  // the log level that it was told
	only    *member // the session that used it last
	mixed   bool    // others have used it before
	waiting []*question

	beginning sync.Mutex              // held by who begins a telling
	telling   atomic.Pointer[telling] // what many are being told, nil for nothing

	prelude  *prelude // of the call that has the link to itself, nil without one
	reopened []byte   // the id of the question that was taken back last
}

// Unasked sorts what the server says and what is neither an answer nor
// progress.
func (t *tenant) Unasked(_ *link.Link, msg *wire.Buffer, env *wire.Envelope) {
	if env.Kind == wire.Request {
		t.question(msg, env)
		return
	}
	if kept := t.group.options.Cache; kept != nil {
		kept.Heard(env) // before a client can ask again
	}
	switch string(env.Method) {
	case mcp.MethodCancelled:
		t.withdrawn(msg, env)
	case mcp.MethodToolsChanged, mcp.MethodPromptsChanged, mcp.MethodResourcesChanged:
		t.give(t.everybody(), msg, env)
	case mcp.MethodResourceUpdated:
		t.give(t.subscribers(string(env.URI)), msg, env)
	default:
		t.give(t.private(), msg, env)
	}
}

// everybody is who hears that a list has changed: a link that nobody uses has
// nobody to tell.
func (t *tenant) everybody() []*member {
	g := t.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.slot == nil && t.client == nil {
		return nil
	}
	var all []*member
	for m := range g.members {
		if m.kind().principal == t.kind.principal {
			all = append(all, m)
		}
	}
	return all
}

// subscribers are those who have subscribed to a resource, or to one that it
// is a part of (2025-11-25, server/resources, "Subscriptions"). What a call that
// has a link to itself has changed concerns those of its kind.
func (t *tenant) subscribers(uri string) (all []*member) {
	g := t.group
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case t.slot != nil:
		return t.slot.appendSubscribers(nil, uri)
	case t.client != nil:
		for _, s := range t.kind.slots {
			all = s.appendSubscribers(all, uri)
		}
	}
	return all
}

// private is who may hear what can tell of one client: the one session that has
// ever used the link, while it does.
func (t *tenant) private() []*member {
	g := t.group
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case t.mixed || t.only == nil:
	case t.slot == nil && t.client == nil:
	default:
		return []*member{t.only}
	}
	return nil
}

// users is who may have been asked something on the link.
func (t *tenant) users() []*member {
	g := t.group
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case t.client != nil:
		return []*member{t.client}
	case t.slot != nil:
		return slices.Collect(maps.Keys(t.slot.members))
	}
	return nil
}

// LinkClosed replaces a link that has ended. Its calls have been answered.
func (t *tenant) LinkClosed(*link.Link, error) {
	g := t.group
	g.mu.Lock()
	s, missed := t.slot, false
	if !t.dead {
		missed = s != nil && s.tenant == t && len(s.members) > 0
		g.end(t, refusal.Ended)
	}
	p := t.prelude
	g.mu.Unlock()
	if p != nil {
		t.begin(p) // the call finds that there is no link
	}
	if missed {
		g.replace(s, t.born)
	}
}

// ask sends a request of the gate's own whose answer nobody waits for. Where
// the link does not take it, its end is near.
func (t *tenant) ask(method, name, value string) {
	msg, env := link.NewRequest(method, map[string]string{name: value})
	msg.Header = t.kind.header()
	if t.link.Call(&link.Call{ID: link.GateID, Leg: link.Mute{}}, msg, env) != nil {
		t.group.options.Dropped("unsaid")
	}
}

// answer answers a client's initialize with the server's own result.
func (t *tenant) answer(c *link.Call) {
	msg := wire.Acquire(len(t.result) + len(c.ID))
	msg.B = wire.AppendSplice(msg.B, t.result, t.id, c.ID)
	c.Leg.Answer(msg, metrics.OK)
}

// covers tells whether a resource is the one that was subscribed to, or a part
// of it.
func covers(subscribed, uri string) bool {
	rest, ok := strings.CutPrefix(uri, subscribed)
	return ok && subscribed != "" && (rest == "" || strings.HasSuffix(subscribed, "/") || strings.ContainsRune("/?#", rune(rest[0])))
}
