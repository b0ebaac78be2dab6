package streamable

import (
	"github.com/valyala/fasthttp"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// batch serves an array of messages, which only revision 2025-03-26 knows. Its
// elements go to the server one by one, and an element that is refused harms
// no other. Where there is something to answer, the answer is an event stream:
// the revision asks clients to understand it, and nothing has to be held back
// until the last call is done. (2025-03-26, basic/transports, "Sending
// Messages to the Server")
func (f *Frontend) batch(r *Request, s *session.Session) *refusal.Refusal {
	defer r.Body.Release()
	if !mcp.Batches(s.Revision()) {
		return refusal.Envelope.With("batches are for sessions of revision %s; send one message at a time", mcp.Revision20250326)
	}
	elements, answers, refused := f.elements(r.Body.B)
	if refused != nil {
		return refused
	}
	if answers == 0 {
		return f.tell(r, s, elements)
	}
	st := s.Outbox().OpenEvents(answers)
	for _, e := range elements {
		f.element(s, st, e)
	}
	f.hold(r, st, 0, r.Head)
	return nil
}

// An element is one message of a batch, or what was wrong with it.
type element struct {
	msg     []byte // part of the body
	env     wire.Envelope
	refused *refusal.Refusal
}

// elements checks each element and counts those that are to be answered.
func (f *Frontend) elements(body []byte) (elements []element, answers int, refused *refusal.Refusal) {
	err := wire.Elements(body, mostElements, func(msg []byte) bool {
		e := element{msg: msg}
		e.refused = f.options.Check(msg, &e.env)
		if e.refused == nil && (e.env.Kind == wire.Batch || string(e.env.Method) == mcp.MethodInitialize) {
			e.refused = refusal.Envelope.With("neither initialize nor another batch may stand in a batch")
		}
		if e.refused != nil || e.env.Kind == wire.Request {
			answers++
		}
		elements = append(elements, e)
		return true
	})
	if err != nil {
		return nil, 0, refusal.Envelope.With("this batch cannot be served: %v", err)
	}
	return elements, answers, nil
}

// tell serves a batch that is to have no answer.
func (f *Frontend) tell(r *Request, s *session.Session, elements []element) *refusal.Refusal {
	for _, e := range elements {
		if refused := s.Tell(e.copy(), &e.env); refused != nil {
			return refused
		}
	}
	r.HTTP.SetStatusCode(fasthttp.StatusAccepted)
	return nil
}

// element serves one element of a batch that has an answer.
func (f *Frontend) element(s *session.Session, st *stream.Stream, e element) {
	id := e.env.ID.Of(e.msg)
	switch {
	case e.refused != nil:
	case e.env.Kind == wire.Request:
		e.refused = s.Call(st, e.copy(), &e.env)
	default:
		e.refused = s.Tell(e.copy(), &e.env)
		if e.refused != nil {
			f.options.Refused(e.refused)
		}
		return // a notification has no answer, also when it is refused
	}
	if e.refused != nil {
		f.options.Refused(e.refused)
		answer := wire.Acquire(256)
		answer.B = e.refused.AppendJSON(answer.B, id)
		st.Answer(answer)
	}
}

// copy is the element in a buffer of its own, on one line.
func (e *element) copy() *wire.Buffer {
	msg := wire.Acquire(len(e.msg) + 64)
	msg.B = append(msg.B, e.msg...)
	return flat(msg, &e.env)
}
