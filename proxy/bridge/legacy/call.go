package legacy

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A kind is what a call's result is read for.
type kind uint8

const (
	plain   kind = iota
	opening      // server/discover, for an initialize
	tool         // tools/call
	fetch        // prompts/get, resources/read
	listing      // tools/list
	waiting      // resources/subscribe: it waits for a listen, and sends nothing itself
)

func kindOf(method []byte) kind {
	switch string(method) {
	case mcp.MethodCallTool:
		return tool
	case mcp.MethodGetPrompt, mcp.MethodReadResource:
		return fetch
	case mcp.MethodListTools:
		return listing
	}
	return plain
}

// asks tells whether the answer may be that the server wants to know something
// first (2026-07-28, basic/patterns/mrtr, "Supported Requests").
func (k kind) asks() bool { return k == tool || k == fetch }

// mostRounds is how often a call is made for one of a client's.
const mostRounds = 16

// A call serves a client's: by one round, or by several with questions between
// them. The place's lock guards it.
type call struct {
	place  *place
	client *link.Call
	kind   kind

	over    bool
	request request // its msg is nil where there is no further round
	rounds  int
	round   *round      // that the server is at work on, nil for none
	asking  *asking     // the questions that are open, nil for none
	timer   *time.Timer // of the pause or of the questions, nil before there was one
	uri     string      // of a call that waits
	one     round       // memory for the first round, which is mostly the only one
}

// A round is a call as the server sees it, and its leg. It has the id and the
// progress token of the client's.
type round struct {
	link.Call
	of    *call
	reply *backend.Reply // the HTTP response that is no success; only the reader's
}

// envelopes are for scans whose findings go on to others.
var envelopes = sync.Pool{New: func() any { return new(wire.Envelope) }}

// forward makes a call for a client's. It takes msg over. Where it fails the
// client's call has no answer.
func (p *place) forward(client *link.Call, k kind, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	c := &call{place: p, client: client, kind: k}
	c.request = request{msg, env.Params, env.Meta}
	if refused := p.admit(c); refused != nil {
		msg.Release()
		return refused
	}
	refused := c.send("")
	if refused != nil && !p.take(c) {
		return nil // it was cancelled or left meanwhile, and has its answer
	}
	return refused
}

// admit takes a call among those in flight.
func (p *place) admit(c *call) *refusal.Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == nil {
		p.calls = append(p.calls, c)
	}
	return p.left
}

// take takes a call out of those in flight. Who gets it answers the client's.
func (p *place) take(c *call) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.takeLocked(c)
}

// takeLocked is take; p.mu is held.
func (p *place) takeLocked(c *call) bool {
	if c.over {
		return false
	}
	c.over = true
	if i := slices.Index(p.calls, c); i >= 0 {
		p.calls = slices.Delete(p.calls, i, i+1)
	}
	c.forgetRequest()
	if c.timer != nil {
		c.timer.Stop()
	}
	return true
}

// forgetRequest lets go of the client's request. The place's lock is held.
func (c *call) forgetRequest() {
	c.request.msg.Release()
	c.request.msg = nil
}

// leave ends what a call that was taken still has with the server and with the
// client.
func (c *call) leave() {
	p := c.place
	p.mu.Lock()
	r, a := c.round, c.asking
	c.round, c.asking = nil, nil
	if a != nil {
		a.release()
	}
	p.mu.Unlock()
	if r != nil {
		p.sharer.options.Desk.Leave(&r.Call)
	}
	if a != nil {
		p.settle(a)
	}
}

// send makes the next round. extra is what the server has asked for, as members
// of params. Where it fails the call is as it was.
func (c *call) send(extra string) *refusal.Refusal {
	p := c.place
	p.mu.Lock()
	if c.over {
		p.mu.Unlock()
		return nil
	}
	msg := c.request.write(p.sharer.options.Budget, p.meta, extra)
	if msg == nil {
		p.mu.Unlock()
		return refusal.Budget
	}
	if !c.kind.asks() {
		c.forgetRequest()
	}
	r := &c.one
	if c.rounds++; c.rounds > 1 {
		r = new(round)
	}
	r.of, r.ID, r.Progress, r.Leg, r.Modern = c, c.client.ID, c.client.Progress, r, true
	c.round = r
	p.mu.Unlock()

	env := envelopes.Get().(*wire.Envelope)
	defer envelopes.Put(env)
	defer env.Reset()
	if err := env.Scan(msg.B); err != nil {
		msg.Release()
		return refusal.Envelope.With("this request cannot be passed on to the tool server: %v", err)
	}
	if refused := p.sharer.options.Desk.Call(&r.Call, p.from, msg, env); refused != nil {
		return refused
	}
	p.mu.Lock()
	over := c.over
	p.mu.Unlock()
	if over { // before the desk knew the round
		p.sharer.options.Desk.Leave(&r.Call)
	}
	return nil
}

// again makes a further round.
func (c *call) again(extra string) {
	if refused := c.send(extra); refused != nil {
		c.refuse(refused, metrics.Lost)
	}
}

// finish answers the client's call, unless it has been. It takes msg over.
func (c *call) finish(msg *wire.Buffer, how metrics.Outcome) {
	if !c.place.take(c) {
		msg.Release()
		return
	}
	c.leave()
	c.client.Leg.Answer(msg, how)
}

// refuse answers the client's call with what is no answer of the server.
func (c *call) refuse(why *refusal.Refusal, how metrics.Outcome) {
	if !c.place.take(c) {
		return
	}
	c.leave()
	failWith(c.client, why, how)
}

// fail ends a call whose server has said what cannot be served.
func (c *call) fail(says string) {
	c.refuse(&refusal.Refusal{Code: mcp.CodeInternal, Text: says}, metrics.Failed)
}

// live tells whether the call waits for this round.
func (r *round) live() bool {
	p := r.of.place
	p.mu.Lock()
	defer p.mu.Unlock()
	return !r.of.over && r.of.round == r
}

// Send passes on what comes before the answer: progress, and what is logged.
func (r *round) Send(msg *wire.Buffer) {
	if r.of.kind == opening || !r.live() {
		r.of.place.sharer.options.Dropped("undelivered")
		msg.Release()
		return
	}
	r.of.client.Leg.Send(msg)
}

// Reply passes on in which HTTP response the first round's answer comes, so
// that its header lines go to the client once. A response that is no success
// waits for its answer.
func (r *round) Reply(reply *backend.Reply) {
	switch {
	case reply.Status != backend.StatusOK:
		kept := *reply
		kept.Header, kept.Body, kept.Release = bytes.Clone(reply.Header), bytes.Clone(reply.Body), nil
		r.reply = &kept
	case r == &r.of.one && r.live():
		r.of.client.Leg.Reply(reply)
	}
}

// Answer takes a round's answer: the call's, or what the server wants to know
// first.
func (r *round) Answer(msg *wire.Buffer, how metrics.Outcome) {
	c := r.of
	p := c.place
	p.mu.Lock()
	mine := !c.over && c.round == r
	if mine {
		c.round = nil
	}
	p.mu.Unlock()
	switch {
	case !mine:
		msg.Release()
	case how == metrics.OK:
		c.result(msg)
	default:
		c.failed(r.reply, msg, how)
	}
}

// statusGone would tell a legacy client that its session has ended, which a
// modern server knows nothing about.
const statusGone = 404

// failed passes an error on, with the status of its HTTP response.
func (c *call) failed(reply *backend.Reply, msg *wire.Buffer, how metrics.Outcome) {
	if !c.place.take(c) {
		msg.Release()
		return
	}
	if reply != nil && (c.kind == opening || reply.Status != statusGone) {
		c.client.Leg.Reply(reply)
	}
	c.client.Leg.Answer(msg, how)
}

// result reads a round's result.
func (c *call) result(msg *wire.Buffer) {
	env := envelopes.Get().(*wire.Envelope)
	defer envelopes.Put(env)
	defer env.Reset()
	if env.Scan(msg.B) != nil {
		msg.Release()
		c.refuse(refusal.ServerJSON, metrics.Lost)
		return
	}
	found := read(msg.B, env.Result)
	switch kind := text(msg.B, found.resultType); {
	case kind == "input_required" && c.kind.asks():
		c.ask(msg, found)
	case kind != "complete" && !found.resultType.Empty():
		msg.Release()
		c.fail("the tool server answered with a result of a kind that cannot be served to a client of this revision")
	case c.kind == opening:
		c.open(msg, env)
	default:
		c.complete(msg, env.Result, found)
	}
}
