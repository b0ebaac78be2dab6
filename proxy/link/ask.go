package link

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// GateID is the raw id of the gate's own requests, before a link gives them
// their numbers.
var GateID = []byte("0")

// NewRequest makes a request of the gate's own, with GateID. params must be
// encodable as a JSON object.
func NewRequest(method string, params any) (*wire.Buffer, *wire.Envelope) {
	text, err := json.Marshal(struct {
		JSONRPC string `json:"jsonrpc"`
		ID      int    `json:"id"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{"2.0", 0, method, params})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	msg, env := wire.Acquire(len(text)+32), new(wire.Envelope)
	msg.B = append(msg.B, text...)
	if err := env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error())
	}
	return msg, env
}

// Mute is a leg that leads nowhere.
type Mute struct{}

// Send implements Leg.
func (Mute) Send(msg *wire.Buffer) { msg.Release() }

// Answer implements Leg.
func (Mute) Answer(msg *wire.Buffer, _ metrics.Outcome) { msg.Release() }

// Reply implements Leg.
func (Mute) Reply(*backend.Reply) {}

// A Failure is why a request of the gate's own has no result: a refusal of the
// gate, or what the server has answered.
type Failure struct {
	Refused *refusal.Refusal // nil where the server has answered
	Reply   *backend.Reply   // the HTTP response in which the answer came, nil for one with status 200
	Answer  []byte           // a JSON-RPC error
	ID      wire.Span        // of Answer
	How     metrics.Outcome
}

// Tell answers a client's call with the failure.
func (f *Failure) Tell(c *Call) {
	if f.Refused != nil {
		c.Refuse(f.Refused)
		return
	}
	if f.Reply != nil {
		c.Leg.Reply(f.Reply)
	}
	msg := wire.Acquire(len(f.Answer) + len(c.ID))
	if f.ID.Empty() {
		msg.B = append(msg.B, f.Answer...)
	} else {
		msg.B = wire.AppendSplice(msg.B, f.Answer, f.ID, c.ID)
	}
	c.Leg.Answer(msg, f.How)
}

// An Inquiry is a request of the gate's own that was sent.
type Inquiry struct {
	call Call
	leg  inquiring
}

// inquiring is the leg of an inquiry.
type inquiring struct {
	Mute
	reply  *backend.Reply
	answer []byte
	how    metrics.Outcome
	done   chan struct{}
}

func (a *inquiring) Reply(r *backend.Reply) {
	if r.Status != backend.StatusOK {
		c := *r
		c.Header, c.Body = bytes.Clone(r.Header), bytes.Clone(r.Body)
		a.reply = &c
	}
}

func (a *inquiring) Answer(msg *wire.Buffer, how metrics.Outcome) {
	a.answer, a.how = bytes.Clone(msg.B), how
	msg.Release()
	close(a.done)
}

// A Sort says what a request of the gate's own is; see the fields of Call of
// these names.
type Sort struct{ Opens, Modern bool }

// Inquire sends a request of the gate's own, and takes msg over in every case.
func (l *Link) Inquire(msg *wire.Buffer, env *wire.Envelope, s Sort) (*Inquiry, *refusal.Refusal) {
	a := new(Inquiry)
	a.leg.done = make(chan struct{})
	a.call.ID, a.call.Leg, a.call.Opens, a.call.Modern = GateID, &a.leg, s.Opens, s.Modern
	if refused := l.Call(&a.call, msg, env); refused != nil {
		return nil, refused
	}
	return a, nil
}

// Done is closed when the answer is there.
func (a *Inquiry) Done() <-chan struct{} { return a.leg.done }

// Drop gives the request up: it is answered with why, unless its answer came
// first, before Drop returns.
func (a *Inquiry) Drop(why *refusal.Refusal) {
	a.call.Link().Drop(&a.call, why)
	<-a.leg.done
}

// Outcome is what came of the request: the whole message that holds the
// result, with where its parts stand; or why there is none. It waits for Done.
func (a *Inquiry) Outcome() ([]byte, *wire.Envelope, *Failure) {
	<-a.leg.done
	at := new(wire.Envelope)
	if err := at.Scan(a.leg.answer); err != nil {
		return nil, nil, &Failure{Refused: refusal.ServerJSON}
	}
	if a.leg.how != metrics.OK {
		return nil, nil, &Failure{Reply: a.leg.reply, Answer: a.leg.answer, ID: at.ID, How: a.leg.how}
	}
	return a.leg.answer, at, nil
}

// Ask sends a request of the gate's own, takes msg over, and waits for the
// answer: at most limit, and as long as ctx lives. It returns the whole message
// that holds the result, with where its parts stand; or why there is none.
// opens says that it is the initialize.
func (l *Link) Ask(ctx context.Context, msg *wire.Buffer, env *wire.Envelope, limit time.Duration, opens bool) ([]byte, *wire.Envelope, *Failure) {
	a, refused := l.Inquire(msg, env, Sort{Opens: opens})
	if refused != nil {
		return nil, nil, &Failure{Refused: refused}
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-a.leg.done:
	case <-late.C:
		a.Drop(refusal.CallTimeout)
	case <-ctx.Done():
		a.Drop(refusal.Cancelled)
	}
	return a.Outcome()
}
