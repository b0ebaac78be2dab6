package session

import (
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// mostElements bounds a batch.
const mostElements = 1000

// BatchRules are what the elements of a batch are held to.
type BatchRules struct {
	Budget wire.Budget // of bytes in flight, for the copies of the elements
	// Check is the guard's second part: what every message passes.
	Check func(msg []byte, env *wire.Envelope) *refusal.Refusal
	// Refused counts an element that was refused.
	Refused func(*refusal.Refusal)
}

// A Batch is an array of messages, which only revision 2025-03-26 knows. Its
// elements go to the server one by one, and an element that is refused harms
// no other.
type Batch struct {
	Answers int // how many of its elements are to be answered

	session  *Session
	rules    BatchRules
	header   []byte // of the body
	elements []element
}

// An element is one message of a batch, or what was wrong with it.
type element struct {
	msg     []byte // part of the body
	env     wire.Envelope
	refused *refusal.Refusal
}

// Batch reads a body that is an array. The body stays the caller's, and stays
// as it is until Serve has returned. A refusal is one of the whole batch.
func (s *Session) Batch(body *wire.Buffer, rules BatchRules) (*Batch, *refusal.Refusal) {
	if !mcp.Batches(s.Revision()) {
		return nil, refusal.Envelope.With("batches are for sessions of revision %s; send one message at a time", mcp.Revision20250326)
	}
	b := &Batch{session: s, rules: rules, header: body.Header}
	if err := wire.Elements(body.B, mostElements, b.take); err != nil {
		return nil, refusal.Envelope.With("this batch cannot be served: %v", err)
	}
	return b, nil
}

// take checks one element.
func (b *Batch) take(msg []byte) bool {
	e := element{msg: msg}
	e.refused = b.rules.Check(msg, &e.env)
	if e.refused == nil && (e.env.Kind == wire.Batch || string(e.env.Method) == mcp.MethodInitialize) {
		e.refused = refusal.Envelope.With("neither initialize nor another batch may stand in a batch")
	}
	if e.answered() {
		b.Answers++
	}
	b.elements = append(b.elements, e)
	return true
}

// answered tells whether the element has an answer: also what was no message,
// but not a notification that cannot be passed on.
func (e *element) answered() bool { return e.refused != nil || e.env.Kind == wire.Request }

// Serve hands the elements over; what answers them goes to st, which is to be
// open for that many answers. Where there are none st may be nil, and the first
// refusal is returned instead.
func (b *Batch) Serve(st *stream.Stream) *refusal.Refusal {
	for i := range b.elements {
		e := &b.elements[i]
		refused := e.refused
		if refused == nil {
			refused = b.pass(st, e)
		}
		if refused == nil {
			continue
		}
		if b.Answers == 0 {
			return refused
		}
		b.refuse(st, e, refused)
	}
	return nil
}

// refuse answers an element that was refused. A notification has no answer.
func (b *Batch) refuse(st *stream.Stream, e *element, refused *refusal.Refusal) {
	b.rules.Refused(refused)
	if !e.answered() {
		return
	}
	answer := wire.Acquire(256)
	answer.B = refused.AppendJSON(answer.B, e.env.ID.Of(e.msg))
	st.Answer(answer)
}

// pass hands an element on, in a buffer of its own that is paid for: the body's
// ends with the request, and a server that does not read may leave the element
// waiting for long.
func (b *Batch) pass(st *stream.Stream, e *element) *refusal.Refusal {
	msg := wire.Acquire(len(e.msg) + 64)
	if !msg.Charge(b.rules.Budget, int64(len(e.msg))) {
		msg.Release()
		return refusal.Budget
	}
	msg.B, msg.Header = append(msg.B, e.msg...), b.header
	if e.env.HasNewline {
		wire.Flatten(msg.B)
	}
	if e.env.Kind == wire.Request {
		return b.session.Call(st, msg, &e.env)
	}
	return b.session.Tell(msg, &e.env)
}
