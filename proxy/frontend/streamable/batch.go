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
	for i := range elements {
		f.element(s, st, &elements[i])
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
	for i := range elements {
		if refused := f.pass(s, nil, &elements[i]); refused != nil {
			return refused
		}
	}
	r.HTTP.SetStatusCode(fasthttp.StatusAccepted)
	return nil
}

// element serves one element of a batch that has an answer. A notification has
// none, also when it is refused.
func (f *Frontend) element(s *session.Session, st *stream.Stream, e *element) {
	refused := e.refused
	if refused == nil {
		refused = f.pass(s, st, e)
	}
	if refused == nil {
		return
	}
	f.options.Refused(refused)
	if e.refused != nil || e.env.Kind == wire.Request {
		answer := wire.Acquire(256)
		answer.B = refused.AppendJSON(answer.B, e.env.ID.Of(e.msg))
		st.Answer(answer)
	}
}

// pass hands an element on, in a buffer of its own that is paid for: the body's
// ends with the request, and a server that does not read may leave the element
// waiting for long.
func (f *Frontend) pass(s *session.Session, st *stream.Stream, e *element) *refusal.Refusal {
	msg := wire.Acquire(len(e.msg) + 64)
	if !msg.Charge(f.options.Budget, int64(len(e.msg))) {
		msg.Release()
		return refusal.Budget
	}
	msg.B = append(msg.B, e.msg...)
	if e.env.Kind == wire.Request {
		return s.Call(st, flat(msg, &e.env), &e.env)
	}
	return s.Tell(flat(msg, &e.env), &e.env)
}
