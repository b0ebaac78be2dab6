package session

import (
	"bytes"
	"strconv"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// maxQuestions bounds what servers may ask one client without an answer.
const maxQuestions = 256

// A question is a server's request that the client has not answered. Towards
// the client its id and its progress token are a number of the session's own:
// two links may use the same.
type question struct {
	from  share.Asker
	roots bool   // it is roots/list
	id    []byte // as the server has spelt it
	token []byte // likewise, nil without one
}

func newQuestion(l share.Asker, msg *wire.Buffer, env *wire.Envelope) *question {
	return &question{from: l, roots: string(env.Method) == mcp.MethodRoots, id: bytes.Clone(env.ID.Of(msg.B)), token: bytes.Clone(env.ProgressToken.Of(msg.B))}
}

// note gives a question its number. on is the call that it belongs to, nil for
// none; with the call the reason for the question is gone.
func (s *Session) note(q *question, on *link.Call) (uint64, *refusal.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended != nil:
		return 0, s.ended
	case on != nil && !s.inFlight(on):
		return 0, refusal.Unattended
	case len(s.questions) >= maxQuestions:
		return 0, refusal.Questions
	}
	if s.questions == nil {
		s.questions = make(map[uint64]*question)
	}
	s.asked++
	s.questions[s.asked] = q
	return s.asked, nil
}

// inFlight tells whether a call is. s.mu is held.
func (s *Session) inFlight(on *link.Call) bool {
	for _, c := range s.calls {
		if &c.Call == on {
			return true
		}
	}
	return false
}

// number reads a name that the session gave to a question; 0 is none.
func number(token []byte) uint64 {
	n, err := strconv.ParseUint(string(token), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// take closes a question, nil if it is not open.
func (s *Session) take(number uint64) *question {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.questions[number]
	delete(s.questions, number)
	return q
}

// reply passes on the client's answer to a question, under the id as the
// server has spelt it. A question whose answer the server does not take is open
// again: the client may say it once more.
func (s *Session) reply(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	n := number(env.ID.Of(msg.B))
	q := s.take(n)
	if q == nil {
		s.manager.options.Dropped("late_response")
		msg.Release()
		return nil
	}
	msg.Splice(env.ID, q.id)
	refused := q.from.Send(msg)
	if refused != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.ended == nil {
			s.questions[n] = q
		}
	}
	return refused
}

// progress passes on how far the client is with a question.
func (s *Session) progress(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	s.mu.Lock()
	q := s.questions[number(env.ProgressToken.Of(msg.B))]
	s.mu.Unlock()
	if q == nil || q.token == nil {
		s.manager.options.Dropped("late_progress")
		msg.Release()
		return nil
	}
	msg.Splice(env.ProgressToken, q.token)
	return q.from.Send(msg)
}

// withdraw closes a question that its server no longer asks, and puts the
// client's name for it in the server's notification. It is false where no such
// question is open.
func (s *Session) withdraw(l share.Asker, msg *wire.Buffer, env *wire.Envelope) bool {
	id := env.RequestID.Of(msg.B)
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, q := range s.questions {
		if q.from == l && wire.SameID(q.id, id) {
			delete(s.questions, n)
			msg.Splice(env.RequestID, strconv.AppendUint(nil, n, 10))
			return true
		}
	}
	return false
}

// Settle forgets what the client was asked on a link that it has to do with no
// more; see share.Client.
func (s *Session) Settle(l share.Asker) (open []share.Open) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, q := range s.questions {
		if q.from == l {
			delete(s.questions, n)
			open = append(open, share.Open{ID: q.id, Roots: q.roots})
		}
	}
	return open
}
