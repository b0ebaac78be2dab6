package share

import (
	"sync"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
)

// A slot is the place of one shared link: links come and go in it, and the
// sessions that share it stay. The group's lock guards it, but for subscribing.
type slot struct {
	kind        *kind
	tenant      *tenant // nil while there is no link
	starting    bool
	waiting     []func(*tenant, *link.Failure) // run when the start is over
	members     map[*member]struct{}
	subscribers map[string]map[*member]struct{} // by the URI

	subscribing sync.Mutex // what is noted and what is sent go in one order
}

// used tells whether there is anything in the slot.
func (s *slot) used() bool { return s.tenant != nil || s.starting || len(s.members) > 0 }

// slot finds the one of the kind's slots that has the fewest sessions. g.mu is
// held.
func (g *Group) slot(k *kind) *slot {
	if len(k.slots) == 0 || len(k.slots) < g.options.Links && g.mayStart() {
		s := &slot{kind: k, members: make(map[*member]struct{}), subscribers: make(map[string]map[*member]struct{})}
		k.slots = append(k.slots, s)
		return s
	}
	fewest := k.slots[0]
	for _, s := range k.slots[1:] {
		if len(s.members) < len(fewest.members) {
			fewest = s
		}
	}
	return fewest
}

// mayStart tells whether there is a place for another link, or one that can be
// made. g.mu is held.
func (g *Group) mayStart() bool {
	if !g.pool.Full() {
		return true
	}
	unused := false
	g.eachUnused(func(*tenant) { unused = true })
	return unused
}

// ensure calls then with the slot's link, or with why there is none: at once
// where there is one, else when it has been started.
func (g *Group) ensure(s *slot, then func(*tenant, *link.Failure)) {
	g.mu.Lock()
	t := s.tenant
	switch {
	case t != nil:
	case g.closed:
		g.mu.Unlock()
		then(nil, &link.Failure{Refused: refusal.Draining})
		return
	default:
		s.waiting = append(s.waiting, then)
		if !s.starting {
			s.starting = true
			g.work.Go(func() { g.start(s) })
		}
	}
	g.mu.Unlock()
	if t != nil {
		then(t, nil)
	}
}

// start starts a link for the slot.
func (g *Group) start(s *slot) {
	g.makeRoom()
	t, failed := g.initialize(g.open, s.kind, s)
	s.subscribing.Lock() // what is asked anew goes before what comes now
	g.mu.Lock()
	s.starting = false
	waiting := s.waiting
	s.waiting = nil
	if t != nil && t.dead {
		t, failed = nil, &link.Failure{Refused: refusal.Start}
	}
	var uris []string
	if t != nil {
		s.tenant = t
		for m := range s.members {
			m.settleIn(t)
		}
		for uri := range s.subscribers {
			uris = append(uris, uri)
		}
	}
	g.mu.Unlock()
	for _, uri := range uris { // the link before this one had been asked to
		t.ask(mcp.MethodSubscribe, "uri", uri)
	}
	s.subscribing.Unlock()
	for _, then := range waiting {
		then(t, failed)
	}
}

// vacate takes the link out of the slot. The group's lock is held.
func (s *slot) vacate() {
	s.tenant = nil
	for m := range s.members {
		m.home.Store(nil)
	}
}

// replace starts another link for sessions whose link has died. One that died
// young is started again by the next call: a server that does not live must
// not be started without end.
func (g *Group) replace(s *slot, born time.Time) {
	if time.Since(born) >= soundAge {
		g.ensure(s, func(*tenant, *link.Failure) {})
	}
}
