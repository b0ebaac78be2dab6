package mirror

import (
	"bytes"
	"strconv"
	"sync"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// reading is the leg of a client's tools/list.
type reading struct {
	link.Leg
	desk *Desk
	age  uint64 // the index's, when the list was asked for
}

// Answer implements link.Leg.
func (r *reading) Answer(msg *wire.Buffer, how metrics.Outcome) {
	if how == metrics.OK {
		r.desk.learn(r.age, msg.B)
	}
	r.Leg.Answer(msg, how)
}

// hearing is the leg of a client's subscriptions/listen.
type hearing struct {
	link.Leg
	desk *Desk
}

// Send implements link.Leg.
func (h *hearing) Send(msg *wire.Buffer) {
	if changed(msg.B) {
		h.desk.index.Forget()
	}
	h.Leg.Send(msg)
}

// mismatch is the error by which a server says that headers are wrong.
var mismatch = strconv.Itoa(mcp.CodeHeaderMismatch)

// filled is the leg of a call that the desk has given its headers. Where the
// server says that they are wrong, the client does not hear of it until the call
// was tried once more. Until the first message it is not known which response is
// the client's, so it is told only then.
type filled struct {
	desk *Desk
	leg  link.Leg
	call *link.Call
	from share.Caller

	second *link.Call // the second try; guarded by Desk.mu
	left   bool       // the client has left; guarded by Desk.mu

	mu    sync.Mutex     // Answer may come while Send is under way
	spare *wire.Buffer   // the call as it was, for a second try; nil where there is none
	reply *backend.Reply // that the client was not told of yet
	first *failure       // why there is a second try
}

// failure is the answer to the first try, held back.
type failure struct {
	msg   *wire.Buffer
	how   metrics.Outcome
	reply *backend.Reply
}

// Send implements link.Leg.
func (f *filled) Send(msg *wire.Buffer) {
	f.flush()
	f.leg.Send(msg)
}

// Reply implements link.Leg.
func (f *filled) Reply(r *backend.Reply) {
	held := *r
	held.Header, held.Body = bytes.Clone(r.Header), bytes.Clone(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reply = &held
}

// flush tells the client which response it is.
func (f *filled) flush() {
	f.mu.Lock()
	r := f.reply
	f.reply = nil
	f.mu.Unlock()
	if r != nil {
		f.leg.Reply(r)
	}
}

// Answer implements link.Leg.
func (f *filled) Answer(msg *wire.Buffer, how metrics.Outcome) {
	f.mu.Lock()
	spare, reply := f.spare, f.reply
	f.spare = nil
	f.mu.Unlock()
	if spare != nil {
		if how != metrics.OK && (isMismatch(msg.B) || reply != nil && isMismatch(reply.Body)) && f.again(spare, &failure{msg, how, reply}) {
			return
		}
		spare.Release()
	}
	f.forget()
	f.desk.ended(f.call)
	f.flush()
	f.leg.Answer(msg, how)
}

// again lets the call wait for a new list and a second try. It takes spare over
// unless it fails.
func (f *filled) again(spare *wire.Buffer, first *failure) bool {
	d := f.desk
	env := new(wire.Envelope)
	if env.Scan(spare.B) != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || f.left || len(d.waits) >= mostWaiting {
		return false
	}
	f.mu.Lock()
	f.first, f.reply = first, nil
	f.mu.Unlock()
	return d.wait(&wait{call: f.call, from: f.from, msg: spare, list: d.next(true), new: true, told: f}, env)
}

// tell gives the client the answer to the first try.
func (f *filled) tell() {
	f.mu.Lock()
	first := f.first
	f.first, f.reply = nil, first.reply
	f.mu.Unlock()
	f.desk.ended(f.call)
	f.flush()
	f.leg.Answer(first.msg, first.how)
}

// forget lets go of the answer to the first try, if there was one.
func (f *filled) forget() {
	f.mu.Lock()
	first := f.first
	f.first = nil
	f.mu.Unlock()
	if first != nil {
		first.msg.Release()
	}
}

// isMismatch tells whether msg is the error that says so.
func isMismatch(msg []byte) bool {
	if !bytes.Contains(msg, []byte(mismatch)) {
		return false
	}
	env := new(wire.Envelope)
	return env.Scan(msg) == nil && env.Kind == wire.Error && string(env.Code.Of(msg)) == mismatch
}
