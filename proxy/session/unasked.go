package session

import (
	"bytes"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// Unasked takes what the server says and what names no call: a notification,
// or a question.
func (s *Session) Unasked(msg *wire.Buffer, env *wire.Envelope) {
	switch {
	case env.Kind == wire.Request:
		if !s.asked(env.ID.Of(msg.B)) {
			s.refuseQuestion(msg, env)
			return
		}
	case string(env.Method) == mcp.MethodCancelled:
		s.answered(env.RequestID.Of(msg.B)) // the server no longer waits
	}
	if !s.route().Send(msg) && !s.box.Main().Send(msg) {
		s.manager.options.Dropped("undelivered") // the session is ending
		msg.Release()
	}
}

// route chooses the one stream for a message that names no call: the stream of
// the only call in flight; with several, the GET stream if one is open, else
// the oldest call's; with none, the GET stream, where it waits for one. The
// only call's client may have left while the GET stream is open: then that.
func (s *Session) route() *stream.Stream {
	main := s.box.Main()
	open := s.box.HasMain()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.calls) == 0:
		return main
	case open && (len(s.calls) > 1 || s.calls[0].stream.Left()):
		return main
	}
	return s.calls[0].stream
}

// asked notes an open question.
func (s *Session) asked(id []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.questions) >= maxQuestions {
		return false
	}
	if s.questions == nil {
		s.questions = make(map[string][]byte)
	}
	s.questions[string(wire.AppendPlainID(nil, id))] = bytes.Clone(id)
	return true
}

// refuseQuestion answers a server that asks more than it may.
func (s *Session) refuseQuestion(msg *wire.Buffer, env *wire.Envelope) {
	s.manager.options.Dropped("question")
	answer := wire.Acquire(256)
	answer.B = refusal.Questions.AppendJSON(answer.B, env.ID.Of(msg.B))
	msg.Release()
	_ = s.link.Send(answer) // a server that does not read cannot be told
}

// LinkClosed ends the session with its link: its calls are answered already.
func (s *Session) LinkClosed(error) { s.manager.End(s, refusal.Ended) }
