// Package session is what a legacy client opens with initialize: a place at
// the tool server, the streams towards the client, the calls in flight between
// the two, and the server's questions that the client has not answered.
//
// It decides on which stream a message goes out. It knows messages by what the
// scan found, and it may not know HTTP: frontends do.
package session

import (
	"slices"
	"sync"
	"sync/atomic"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
	"sidegate/registry"
)

// A Session is the client of its place. Its methods may be called from any
// goroutine.
type Session struct {
	manager *Manager
	entry   *registry.Entry
	door    Door
	box     *stream.Outbox
	place   share.Place
	busy    atomic.Int32 // uses that are not over: see Use

	mu        sync.Mutex
	ended     *refusal.Refusal // why, nil while it lives
	opened    bool             // initialize has come
	revision  string           // negotiated; before that, what the client asked for
	calls     []*call
	questions map[uint64]*question // the server's, by the number that stands for the id
	asked     uint64               // the last such number
}

// ID is what the client names the session by.
func (s *Session) ID() string { return string(s.entry.ID()) }

// Outbox is what is on its way to the client.
func (s *Session) Outbox() *stream.Outbox { return s.box }

// Opened tells whether the client has sent initialize.
func (s *Session) Opened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// Revision is the negotiated protocol revision.
func (s *Session) Revision() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// setRevision notes the revision in force. Only legacy revisions are known
// here; whatever else a server may answer is its client's to judge.
func (s *Session) setRevision(revision string) {
	s.mu.Lock()
	s.revision = revision
	s.mu.Unlock()
	s.box.SetPriming(s.door == Streamable && revision == mcp.Revision20251125)
}

// Initialize takes the client's initialize, which is answered on st. It takes
// msg over. Where it fails st is unused; where the answer is no result the
// session ends with it.
func (s *Session) Initialize(st *stream.Stream, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	c := newCall(s, st, msg, env)
	c.Opens = true
	refused := s.begin()
	if refused == nil {
		refused = s.admit(c)
	}
	if refused != nil {
		msg.Release()
		return refused
	}
	s.setRevision(string(env.Revision))
	s.place.Open(&c.Call, msg, env)
	return nil
}

// begin notes that initialize has come.
func (s *Session) begin() *refusal.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return refusal.Initialized
	}
	s.opened = true
	return nil
}

// Call sends a request whose answer, and all that comes for it before, goes to
// st. It takes msg over. Where it fails nothing has been sent and st is unused.
func (s *Session) Call(st *stream.Stream, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if string(env.Method) == mcp.MethodInitialize {
		msg.Release()
		return refusal.Initialized
	}
	c := newCall(s, st, msg, env)
	if refused := s.admit(c); refused != nil {
		msg.Release()
		return refused
	}
	if refused := s.place.Call(&c.Call, msg, env); refused != nil {
		s.remove(c)
		s.Done()
		return refused
	}
	return nil
}

// admit takes a call among those in flight.
func (s *Session) admit(c *call) *refusal.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch limit := s.manager.options.MaxCalls; {
	case s.ended != nil:
		return s.ended
	case !s.opened:
		return refusal.Uninitialized
	case s.find(c.ID) != nil:
		return refusal.DuplicateID
	case len(s.calls) >= limit:
		return refusal.Calls.With("this session has %d of %d calls in flight (--max-calls); wait for one to end", len(s.calls), limit)
	case !s.manager.callStarts():
		return refusal.Draining
	}
	s.calls = append(s.calls, c)
	s.use()
	s.entry.Hold()
	return nil
}

// Use says that an answer is to come on a stream of the session for what is no
// call of it, so that the gate does not end it before: until Done it is not at
// rest.
func (s *Session) Use() *refusal.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.use()
	}
	return s.ended
}

// use is Use with s.mu held, of a session that has not ended.
func (s *Session) use() {
	s.busy.Add(1)
	s.manager.busy.Add(1)
}

// Done ends what Use began.
func (s *Session) Done() {
	last := s.busy.Add(-1) == 0
	s.manager.busy.Add(-1)
	if last && s.manager.leaving.Load() {
		s.manager.rests(s)
	}
}

// retire takes no more calls if the session is at rest, and tells whether it
// is. Its caller ends it.
func (s *Session) retire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil || s.busy.Load() > 0 {
		return false
	}
	s.ended = s.late(refusal.Draining)
	return true
}

// late is what a call gets that comes when the session has ended for why. A
// client of HTTP that has found its session just before that is told what it
// would be told just after.
func (s *Session) late(why *refusal.Refusal) *refusal.Refusal {
	if why == refusal.Draining && s.door != WebSocket {
		return refusal.Session
	}
	return why
}

// find finds the call in flight with the client's id. s.mu is held.
func (s *Session) find(id []byte) *call {
	for _, c := range s.calls {
		if wire.SameID(c.ID, id) {
			return c
		}
	}
	return nil
}

// remove takes a call out of those in flight.
func (s *Session) remove(c *call) {
	s.mu.Lock()
	if i := slices.Index(s.calls, c); i >= 0 {
		s.calls = slices.Delete(s.calls, i, i+1)
	}
	s.mu.Unlock()
	s.entry.Release()
	s.manager.callEnds()
}

// Tell passes on what needs no answer: a notification, or the client's answer
// to a question. It takes msg over.
func (s *Session) Tell(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	switch {
	case env.Kind != wire.Notification:
		return s.reply(msg, env)
	case string(env.Method) == mcp.MethodCancelled:
		return s.cancel(msg, env)
	case string(env.Method) == mcp.MethodProgress:
		return s.progress(msg, env)
	}
	return s.place.Tell(msg, env)
}

func (s *Session) cancel(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	s.mu.Lock()
	c := s.find(env.RequestID.Of(msg.B))
	s.mu.Unlock()
	if c == nil || env.RequestID.Empty() {
		s.manager.options.Dropped("late_cancel")
		msg.Release()
		return nil
	}
	return s.place.Cancel(&c.Call, msg, env)
}

// end ends what the session holds. It is called once, by whoever took the
// session out of the registry.
func (s *Session) end(why *refusal.Refusal) {
	s.mu.Lock()
	s.ended = s.late(why)
	questions := s.questions
	s.questions = nil
	calls := make([]*link.Call, len(s.calls))
	for i, c := range s.calls {
		calls[i] = &c.Call
	}
	s.mu.Unlock()
	for _, q := range questions {
		share.Answer(q.from, refusal.Unattended, q.id)
	}
	s.place.Leave(calls, why)
	s.box.Close(why)
}

// Lost ends the session with its link: its calls are answered already.
func (s *Session) Lost() { s.manager.End(s, refusal.Ended) }
