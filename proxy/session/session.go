// Package session is what a legacy client opens with initialize: a link to
// the tool server, the streams towards the client, the calls in flight between
// the two, and the server's questions that the client has not answered.
//
// It decides on which stream a message goes out. It knows messages by what the
// scan found, and it may not know HTTP: frontends do.
package session

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
	"sidegate/registry"
)

// maxQuestions bounds what a server may ask one client without an answer.
const maxQuestions = 256

// A Session is the owner of its link. Its methods may be called from any
// goroutine.
type Session struct {
	manager *Manager
	entry   *registry.Entry
	box     *stream.Outbox
	link    *link.Link // set before the session is given out

	mu        sync.Mutex
	ended     bool
	revision  string // negotiated; before that, what the client asked for
	calls     []*call
	questions map[string][]byte // the server's open questions: their raw ids, by the ids in plain spelling
}

// ID is what the client names the session by.
func (s *Session) ID() string { return string(s.entry.ID()) }

// Outbox is what is on its way to the client.
func (s *Session) Outbox() *stream.Outbox { return s.box }

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
	s.box.SetPriming(revision == mcp.Revision20251125)
}

// Initialize sends the client's initialize, as the client wrote it: the server
// sees this client's revision and capabilities. It takes msg over.
func (s *Session) Initialize(st *stream.Stream, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	s.setRevision(string(env.Revision))
	return s.call(st, msg, env, true)
}

// Call sends a request whose answer, and all that comes for it before, goes to
// st. It takes msg over. Where it fails nothing has been sent and st is unused.
func (s *Session) Call(st *stream.Stream, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if string(env.Method) == mcp.MethodInitialize {
		msg.Release()
		return refusal.Initialized
	}
	return s.call(st, msg, env, false)
}

func (s *Session) call(st *stream.Stream, msg *wire.Buffer, env *wire.Envelope, opens bool) *refusal.Refusal {
	c := &call{session: s, stream: st, method: metrics.Method(env.Method), start: time.Now()}
	c.Opens = opens
	c.ID = append(c.id[:0], env.ID.Of(msg.B)...)
	c.Progress = bytes.Clone(env.ProgressToken.Of(msg.B))
	c.Leg = c
	if refused := s.admit(c); refused != nil {
		msg.Release()
		return refused
	}
	if refused := s.link.Call(&c.Call, msg, env); refused != nil {
		s.remove(c)
		return refused
	}
	return nil
}

// admit takes a call among those in flight.
func (s *Session) admit(c *call) *refusal.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(c.ID) != nil {
		return refusal.DuplicateID
	}
	if limit := s.manager.options.MaxCalls; len(s.calls) >= limit {
		return refusal.Calls.With("this session has %d of %d calls in flight (--max-calls); wait for one to end", len(s.calls), limit)
	}
	if !s.manager.callStarts() {
		return refusal.Draining
	}
	s.calls = append(s.calls, c)
	s.entry.Hold()
	return nil
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
	}
	return s.link.Send(msg)
}

// reply passes on the client's answer to a question, under the id as the
// server has spelt it. A question whose answer the server does not take is open
// again: the client may say it once more.
func (s *Session) reply(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	id, open := s.answered(env.ID.Of(msg.B))
	if !open {
		s.manager.options.Dropped("late_response")
		msg.Release()
		return nil
	}
	msg.Splice(env.ID, id)
	refused := s.link.Send(msg)
	if refused != nil {
		s.asked(id)
	}
	return refused
}

// answered closes a question, if it is open, and returns its id as the server
// has spelt it.
func (s *Session) answered(id []byte) (raw []byte, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := string(wire.AppendPlainID(nil, id))
	raw, open = s.questions[key]
	delete(s.questions, key)
	return raw, open
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
	return s.link.Cancel(&c.Call, msg, env)
}

// A call is a call of this session, and its leg.
type call struct {
	link.Call
	session *Session
	stream  *stream.Stream
	method  int // for the metrics
	start   time.Time
	id      [24]byte // memory for the id, which is nearly always short
}

// Send hands over what belongs to the call.
func (c *call) Send(msg *wire.Buffer) {
	if !c.stream.Send(msg) {
		c.session.manager.options.Dropped("undelivered")
		msg.Release()
	}
}

// Answer hands over the answer. The call is no longer in flight when its
// client can see the answer: it may use the id again at once.
func (c *call) Answer(msg *wire.Buffer, how metrics.Outcome) {
	s := c.session
	if c.Opens && how == metrics.OK {
		s.negotiated(msg.B)
	}
	s.manager.options.Ended(c.method, how, time.Since(c.start))
	s.remove(c)
	c.stream.Answer(msg)
	if c.Opens && how != metrics.OK {
		s.manager.End(s, refusal.SessionEnd) // an initialize that failed opens nothing
	}
}

// negotiated reads the revision that the server has chosen.
func (s *Session) negotiated(answer []byte) {
	var env wire.Envelope
	if env.Scan(answer) == nil && len(env.Revision) > 0 {
		s.setRevision(string(env.Revision))
	}
}
