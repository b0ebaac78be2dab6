package session

import (
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// Unasked takes what the server says and what is no answer: a notification, or
// a question; see share.Client.
func (s *Session) Unasked(l share.Asker, on *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	if env.Kind == wire.Request {
		s.ask(l, on, msg, env)
		return
	}
	if string(env.Method) == mcp.MethodCancelled && !s.withdraw(l, msg, env) {
		msg.Release() // the client has answered already, or was never asked
		return
	}
	if !s.send(on, msg) {
		s.manager.options.Dropped("undelivered") // the session is ending
		msg.Release()
	}
}

// send puts a message on the one stream that it belongs to.
func (s *Session) send(on *link.Call, msg *wire.Buffer) bool {
	return s.route(on).Send(msg) || s.box.Main().Send(msg)
}

// route chooses the one stream for a message: the stream of the call that it
// belongs to. Where it names none, that of the only call in flight; with
// several, the GET stream if one is open, else the oldest call's; with none,
// the GET stream, where it waits for one. A call's client may have left while
// the GET stream is open: then that.
func (s *Session) route(on *link.Call) *stream.Stream {
	main := s.box.Main()
	open := s.box.HasMain()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if &c.Call == on && !(open && c.stream.Left()) {
			return c.stream
		}
	}
	switch {
	case len(s.calls) == 0:
		return main
	case open && (len(s.calls) > 1 || s.calls[0].stream.Left()):
		return main
	}
	return s.calls[0].stream
}

// ask puts a server's question to the client. Who cannot be asked has not been
// asked: the server gets an answer from the gate.
func (s *Session) ask(l share.Asker, on *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	q := newQuestion(l, msg, env)
	number, refused := s.note(q, on)
	if refused == nil {
		link.Rename(msg, env, number)
		if s.send(on, msg) {
			return
		}
		s.take(number)
		refused = refusal.SessionEnd
	}
	s.manager.options.Dropped("question")
	msg.Release()
	share.Answer(l, refused, q.id)
}
