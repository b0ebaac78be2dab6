package session

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/stream"
	"sidegate/registry"
)

// Links gives out links; link.Pool is one.
type Links interface {
	// Take leases a link that nobody has used, waiting for one as long as the
	// pool's own bound or ctx allows.
	Take(ctx context.Context) (*link.Link, error)
	// End ends a link that Take has given out, in the background, and frees
	// its place when nothing is left of it. Calling it again does nothing.
	End(l *link.Link, why *refusal.Refusal)
}

// Options of a manager never change.
type Options struct {
	MaxSessions int
	MaxCalls    int           // in flight in one session
	Idle        time.Duration // without a call in flight and without an open stream
	Lifetime    time.Duration
	Stream      *stream.Options

	Ended   func(method int, how metrics.Outcome, lasted time.Duration) // a call was answered
	Dropped func(what string)
}

// A Manager keeps the sessions of one backend.
type Manager struct {
	options  Options
	links    Links
	registry *registry.Registry[*Session]
	inFlight atomic.Int64
	draining atomic.Bool
}

// NewManager makes a manager without sessions. Run must be running for
// sessions to expire.
func NewManager(o Options, links Links) *Manager {
	m := &Manager{options: o, links: links}
	m.registry = registry.New(registry.Options[*Session]{
		Max: o.MaxSessions, Idle: o.Idle, Lifetime: o.Lifetime,
		OnExpire: func(s *Session, _ registry.Reason) { s.end(refusal.SessionEnd) },
	})
	return m
}

// Run lets sessions expire until ctx is done.
func (m *Manager) Run(ctx context.Context) { m.registry.Run(ctx) }

// Len is the number of sessions.
func (m *Manager) Len() int { return m.registry.Len() }

// InFlight is the number of calls that wait for their answer.
func (m *Manager) InFlight() int { return int(m.inFlight.Load()) }

// Open makes a session for a caller and leases a link for it.
func (m *Manager) Open(ctx context.Context, principal string) (*Session, *refusal.Refusal) {
	if m.draining.Load() {
		return nil, refusal.Draining
	}
	s, err := m.registry.Add(principal, func(e *registry.Entry) (*Session, error) {
		s := &Session{manager: m, entry: e}
		s.box = stream.NewOutbox(m.options.Stream, e)
		return s, nil
	})
	if errors.Is(err, registry.ErrClosed) {
		return nil, refusal.Draining
	}
	if err != nil {
		return nil, refusal.Sessions.With("the gate has %d of %d sessions (--max-sessions); end one or try again later", m.Len(), m.options.MaxSessions)
	}
	s.entry.Hold()
	defer s.entry.Release()
	l, err := m.links.Take(ctx)
	if err != nil {
		m.registry.Remove(s.entry)
		return nil, notTaken(err)
	}
	if refused := s.lease(l); refused != nil {
		m.registry.Remove(s.entry)
		m.links.End(l, refused)
		return nil, refused
	}
	return s, nil
}

// lease gives a session its link. Either may have ended in the meantime.
func (s *Session) lease(l *link.Link) *refusal.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return refusal.Draining
	}
	if l.Lease(s) != nil {
		return refusal.Start
	}
	s.link = l
	return nil
}

// notTaken says why there is no link.
func notTaken(err error) *refusal.Refusal {
	switch {
	case errors.Is(err, link.ErrNoLinks):
		return refusal.Links.With("%v", err)
	case errors.Is(err, link.ErrClosed):
		return refusal.Draining
	}
	return refusal.Start // err is for the operator, and in the log already
}

// Find finds a caller's session. Whatever is wrong with the id, the refusal is
// the same.
func (m *Manager) Find(id []byte, principal string) (*Session, *refusal.Refusal) {
	if len(id) == 0 {
		return nil, refusal.NoSession
	}
	s, ok := m.registry.Get(id, principal)
	if !ok {
		return nil, refusal.Session
	}
	return s, nil
}

// End ends a session: calls in flight are answered with why, streams end in
// good order, the link ends in the background. Calling it again does nothing.
func (m *Manager) End(s *Session, why *refusal.Refusal) {
	if m.registry.Remove(s.entry) {
		s.end(why)
	}
}

// end ends what the session holds. It is called once, by whoever took the
// session out of the registry.
func (s *Session) end(why *refusal.Refusal) {
	s.mu.Lock()
	s.ended = true
	l := s.link
	s.mu.Unlock()
	if l != nil { // nil while Open waits for one
		l.Abort(why)
		s.manager.links.End(l, why)
	}
	s.box.Close()
}

func (m *Manager) callStarts() bool {
	m.inFlight.Add(1)
	if m.draining.Load() {
		m.inFlight.Add(-1)
		return false
	}
	return true
}

func (m *Manager) callEnds() { m.inFlight.Add(-1) }

// Drain takes no new sessions and no new calls from here on, and waits until
// the calls in flight are answered or ctx is done. It tells whether all were.
func (m *Manager) Drain(ctx context.Context) bool {
	m.draining.Store(true)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for m.InFlight() > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// closeBound is how many sessions end at a time.
const closeBound = 128

// Close ends all sessions. Their links end in the background.
func (m *Manager) Close(ctx context.Context) {
	m.draining.Store(true)
	m.registry.Close(ctx, closeBound, func(_ context.Context, s *Session) { s.end(refusal.Draining) })
}
