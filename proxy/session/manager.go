package session

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/stream"
	"sidegate/registry"
)

// A Door is the frontend through which a session was opened. It goes on there
// and nowhere else.
type Door uint8

// The doors.
const (
	Streamable Door = iota
	SSE
	WebSocket
	Doors // how many there are
)

// String is the door's name, as in the metrics.
func (d Door) String() string { return [Doors]string{"streamable", "sse", "websocket"}[d] }

// Options of a manager never change.
type Options struct {
	MaxSessions int
	MaxCalls    int           // in flight in one session
	Idle        time.Duration // without a call in flight and without an open stream
	Lifetime    time.Duration
	Stream      [Doors]*stream.Options

	Ended   func(door Door, method int, how metrics.Outcome, lasted time.Duration) // a call was answered
	Dropped func(what string)
}

// A Manager keeps the sessions of one backend.
type Manager struct {
	options  Options
	sharer   share.Sharer
	registry *registry.Registry[*Session]
	inFlight atomic.Int64
	busy     atomic.Int64 // uses of sessions: calls in flight and answers that are not on their stream yet
	leaving  atomic.Bool  // no sessions are opened, and those at rest end
	draining atomic.Bool  // no calls are taken
	rested   chan *Session
}

// restedAtOnce is how many sessions may come to rest before one of them ends.
const restedAtOnce = 1024

// NewManager makes a manager without sessions. Run must be running for
// sessions to expire.
func NewManager(o Options, s share.Sharer) *Manager {
	m := &Manager{options: o, sharer: s, rested: make(chan *Session, restedAtOnce)}
	m.registry = registry.New(registry.Options[*Session]{
		Max: o.MaxSessions, Idle: o.Idle, Lifetime: o.Lifetime,
		OnExpire: func(s *Session, why registry.Reason) { s.end(expired(why)) },
	})
	return m
}

// expired is what a session ends with that has expired.
func expired(why registry.Reason) *refusal.Refusal {
	if why == registry.Lifetime {
		return refusal.SessionOld
	}
	return refusal.SessionIdle
}

// Run lets sessions expire until ctx is done.
func (m *Manager) Run(ctx context.Context) { m.registry.Run(ctx) }

// Len is the number of sessions.
func (m *Manager) Len() int { return m.registry.Len() }

// InFlight is the number of calls that wait for their answer.
func (m *Manager) InFlight() int { return int(m.inFlight.Load()) }

// Open makes a session for a caller. It has no link before Initialize.
func (m *Manager) Open(principal string, door Door) (*Session, *refusal.Refusal) {
	if m.leaving.Load() {
		return nil, refusal.Draining
	}
	s, err := m.registry.Add(principal, func(e *registry.Entry) (*Session, error) {
		s := &Session{manager: m, entry: e, door: door}
		s.box = stream.NewOutbox(m.options.Stream[door], e)
		s.place = m.sharer.Join(s, principal, string(e.ID()))
		return s, nil
	})
	if errors.Is(err, registry.ErrClosed) {
		return nil, refusal.Draining
	}
	if err != nil {
		return nil, refusal.Sessions.With("the gate has %d of %d sessions (--max-sessions); end one or try again later", m.Len(), m.options.MaxSessions)
	}
	return s, nil
}

// Find finds a caller's session at the door where it was opened. Whatever is
// wrong with the id, the refusal is the same.
func (m *Manager) Find(id []byte, principal string, door Door) (*Session, *refusal.Refusal) {
	if len(id) == 0 {
		return nil, refusal.NoSession
	}
	s, ok := m.registry.Get(id, principal)
	if !ok || s.door != door {
		return nil, refusal.Session
	}
	return s, nil
}

// End ends a session: calls in flight are answered with why, streams end in
// good order, a link of its own ends in the background. Calling it again does
// nothing.
func (m *Manager) End(s *Session, why *refusal.Refusal) {
	if m.registry.Remove(s.entry) {
		s.end(why)
	}
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

// TurnAway opens no sessions from here on, and ends those there are, one by one,
// until ctx is done: their clients go on elsewhere. What is in flight is finished
// first, and calls that come before it is are served.
//
// A client of HTTP hears of the end with its next call, in any case. One of
// WebSocket may call at the moment when the gate says goodbye, and must take the
// call for lost: so it hears goodbye right after an answer, or when it has not
// called for as long as patience.
func (m *Manager) TurnAway(ctx context.Context, patience time.Duration) {
	m.leaving.Store(true)
	m.registry.Each(func(s *Session) {
		if s.door != WebSocket {
			m.dismiss(s)
		}
	})
	patient := time.NewTimer(patience)
	defer patient.Stop()
	for {
		select {
		case s := <-m.rested:
			m.dismiss(s)
		case <-patient.C:
			m.registry.Each(m.dismiss)
		case <-ctx.Done():
			return
		}
	}
}

// rests hands over a session that may have come to rest. Where there are too
// many at once it ends with those that are left.
func (m *Manager) rests(s *Session) {
	select {
	case m.rested <- s:
	default:
	}
}

// dismiss ends a session that is at rest.
func (m *Manager) dismiss(s *Session) {
	if s.retire() {
		m.End(s, refusal.Draining)
	}
}

// Drain opens no sessions and takes no calls from here on, and waits until those
// in flight are answered or ctx is done. It tells whether all were.
func (m *Manager) Drain(ctx context.Context) bool {
	m.leaving.Store(true)
	m.draining.Store(true)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for m.busy.Load() > 0 {
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
	m.leaving.Store(true)
	m.draining.Store(true)
	m.registry.Close(ctx, closeBound, func(_ context.Context, s *Session) { s.end(refusal.Draining) })
}
