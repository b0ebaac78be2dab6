// Package legacy serves legacy clients, which open a session with initialize,
// of a tool server that speaks modern revisions only. For each session it is
// what the server no longer is: it knows the client, says so in every request,
// puts the server's questions to it, and listens for it.
//
// It reaches the server through a share.Desk and the client through a
// share.Client. It may know neither links' connections nor streams nor HTTP.
// (2026-07-28, basic/versioning; basic/patterns/mrtr, subscriptions)
package legacy

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// Options of a sharer never change.
type Options struct {
	Desk     share.Desk
	Name     string        // of the backend, for a server that does not say its own
	Sessions bool          // requests say which session they are for, so that each has links of its own
	Answers  time.Duration // that a client may take to answer the questions of one round; 0: as long as its session lives
	Budget   wire.Budget   // of bytes in flight, for what is written anew
	Log      *zap.Logger   // of tools that are left out
	Dropped  func(what string)
}

// A Sharer gives out places at a modern server.
type Sharer struct {
	options Options

	mu     sync.Mutex
	closed bool
	places map[*place]struct{}
	logged map[string]struct{} // tools that were left out; what is in here was logged
}

// New makes a sharer without places. The desk is run by somebody else.
func New(o Options) *Sharer {
	return &Sharer{options: o, places: make(map[*place]struct{}), logged: make(map[string]struct{})}
}

// Run waits for ctx; then every place is left, and no call waits any more. See
// share.Sharer.
func (s *Sharer) Run(ctx context.Context) {
	<-ctx.Done()
	s.mu.Lock()
	s.closed = true
	places := s.places
	s.places = nil
	s.mu.Unlock()
	for p := range places {
		p.end(refusal.Draining)
	}
}

// Join makes a place for a session.
func (s *Sharer) Join(c share.Client, principal, id string) share.Place {
	p := &place{sharer: s, client: c, from: share.Caller{Principal: principal}}
	p.uris = make(map[string]bool)
	if s.options.Sessions {
		p.from.Session = id
	}
	return p
}

// enter takes a place among those that live.
func (s *Sharer) enter(p *place) *refusal.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return refusal.Draining
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == nil {
		s.places[p] = struct{}{}
	}
	return p.left
}

func (s *Sharer) forget(p *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.places, p)
}

// mostLogged bounds the names of tools that are remembered.
const mostLogged = 1000

// leftOut logs, once for each name, that a tool is left out of a list.
func (s *Sharer) leftOut(tool []byte, why error) {
	at := wire.Find(tool, wire.Span{End: len(tool)}, "name")
	name := string(at.Of(tool)[:min(len(at.Of(tool)), 256)])
	s.mu.Lock()
	_, known := s.logged[name]
	full := len(s.logged) >= mostLogged
	if !known && !full {
		s.logged[name] = struct{}{}
	}
	s.mu.Unlock()
	if !known && !full {
		s.options.Log.Warn("a tool of the server is left out of the list, because its x-mcp-header is not valid",
			zap.String("tool", name), zap.Error(why))
	}
}

var _ share.Sharer = (*Sharer)(nil)
