package streamable

import (
	"github.com/valyala/fasthttp"

	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
	"sidegate/proxy/stream"
)

// batch serves an array of messages. Where there is something to answer, the
// answer is an event stream: the revision asks clients to understand it, and
// nothing has to be held back until the last call is done. (2025-03-26,
// basic/transports, "Sending Messages to the Server")
func (f *Frontend) batch(r *Request, s *session.Session) *refusal.Refusal {
	defer r.Body.Release()
	b, refused := s.Batch(r.Body, session.BatchRules{Budget: f.options.Budget, Check: f.options.Check, Refused: f.options.Refused})
	if refused != nil {
		return refused
	}
	if b.Answers == 0 {
		if refused := b.Serve(nil); refused != nil {
			return refused
		}
		r.HTTP.SetStatusCode(fasthttp.StatusAccepted)
		return nil
	}
	st := s.Outbox().OpenEvents(b.Answers)
	_ = b.Serve(st) // what is refused is answered on st
	f.options.Keeper.Hold(r.HTTP, st, stream.Opening{Head: r.Head})
	return nil
}
