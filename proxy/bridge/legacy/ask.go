package legacy

import (
	"crypto/rand"
	"strconv"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

const (
	// mostQuestions is how many questions a server may ask in one round.
	mostQuestions = 64
	// A server that only wants to be called again is called after a pause that
	// doubles.
	shortPause = 50 * time.Millisecond
	longPause  = time.Second
)

// An asking is the questions of one round. It is the share.Asker to which the
// client's answers go, by the numbers of the entries. The place's lock guards
// it.
type asking struct {
	call    *call
	result  *wire.Buffer // that asks; state stands in it
	state   wire.Span    // raw token, empty for none
	entries []entry
	open    int
}

// An entry is one question.
type entry struct {
	key    string // raw, as the server has spelt it
	method string
	msg    *wire.Buffer // the question; later the answer, nil where it is dismissed
	answer wire.Span    // in msg
	done   bool
}

// dismissed is how a client says that a person did not answer; it stands for
// an elicitation that ended in an error.
const dismissed = `{"action":"cancel"}`

func (e *entry) text() []byte {
	if e.msg == nil {
		return []byte(dismissed)
	}
	return e.answer.Of(e.msg.B)
}

// release lets go of what the questions and answers stand in.
func (a *asking) release() {
	a.result.Release()
	a.result = nil
	for i := range a.entries {
		a.entries[i].msg.Release()
		a.entries[i].msg = nil
	}
}

// ask puts the server's questions to the client, all of them at once, and makes
// the next round when all are answered (2026-07-28, basic/patterns/mrtr). It
// takes msg over.
func (c *call) ask(msg *wire.Buffer, found found) {
	if c.rounds >= mostRounds {
		msg.Release()
		c.fail("the tool server has asked for input in " + strconv.Itoa(mostRounds) + " rounds of this call, which is as many as there may be; call again")
		return
	}
	a := &asking{call: c, result: msg, state: found.requestState}
	wrong := a.read(found.inputRequests)
	switch {
	case wrong != "":
		a.release()
		c.fail(wrong)
	case len(a.entries) == 0:
		c.pause(a)
	default:
		a.put()
	}
}

// read reads the requests and writes the questions. It returns what is wrong
// with them, "" for nothing.
func (a *asking) read(requests wire.Span) (wrong string) {
	msg := a.result.B
	keys := make(map[string]bool)
	for m := range wire.Members(msg, requests) {
		if len(a.entries) >= mostQuestions || keys[string(m.Key)] {
			return "the tool server asks for more at once than it may, or for the same twice"
		}
		keys[string(m.Key)] = true
		end := m.Value.Start - 1
		for msg[end] != '"' {
			end--
		}
		e := entry{key: string(msg[m.Whole.Start : end+1])}
		if wrong = a.write(&e, m.Value); wrong != "" {
			return wrong
		}
		a.entries = append(a.entries, e)
	}
	a.open = len(a.entries)
	return ""
}

// write writes a question as a legacy request.
func (a *asking) write(e *entry, request wire.Span) (wrong string) {
	msg, w := a.result.B, &a.call.place.who
	e.method = text(msg, wire.Find(msg, request, "method"))
	params := wire.Find(msg, request, "params")
	needs := e.method
	if e.method == mcp.MethodElicit {
		needs = mayForm
		if text(msg, wire.Find(msg, params, "mode")) == "url" {
			needs = mayURL
		}
	}
	switch e.method {
	case mcp.MethodElicit, mcp.MethodSample, mcp.MethodRoots:
	default:
		return "the tool server asks for something that no client of a legacy revision knows"
	}
	if !w.may[needs] {
		return "the tool server needs " + needs + ", a capability that this client did not declare or that its revision does not have"
	}
	size := params.End - params.Start + 256
	e.msg = wire.Acquire(size)
	if !e.msg.Charge(a.call.place.sharer.options.Budget, int64(size)) {
		e.msg.Release()
		return refusal.Budget.Text
	}
	e.msg.B = append(strconv.AppendInt(append(e.msg.B, `{"jsonrpc":"2.0","id":`...), int64(len(a.entries)+1), 10), `,"method":"`...)
	e.msg.B = append(append(e.msg.B, e.method...), '"')
	if !params.Empty() {
		e.msg.B = append(e.msg.B, `,"params":`...)
		e.msg.B = appendParams(e.msg.B, msg, params, needs, w.revision)
	}
	e.msg.B = append(e.msg.B, '}')
	return ""
}

// appendParams appends a question's params: as they came, but for what the
// client's revision has otherwise. An elicitation by URL has an id there, which
// is ours and cannot be guessed (2025-11-25, client/elicitation), and before
// that revision elicitation had no modes.
func appendParams(dst, msg []byte, params wire.Span, needs, revision string) []byte {
	switch {
	case needs == mayURL:
		id := `"elicitationId":"` + rand.Text() + `"`
		return wire.AppendObject(dst, msg, params, without(msg, "elicitationId"), id)
	case needs == mayForm && revision < mcp.Revision20251125:
		return wire.AppendObject(dst, msg, params, without(msg, "mode"), "")
	}
	return append(dst, params.Of(msg)...)
}

// without leaves out one member.
func without(msg []byte, key string) func(wire.Member) []byte {
	return func(m wire.Member) []byte {
		if string(m.Key) == key {
			return nil
		}
		return m.Value.Of(msg)
	}
}

// pause makes the next round a little later: the server has asked nothing.
func (c *call) pause(a *asking) {
	extra := a.inputs()
	a.release()
	p := c.place
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.over {
		c.timer = time.AfterFunc(min(shortPause<<(c.rounds-1), longPause), func() { c.again(extra) })
	}
}

// put asks the client. The call may end meanwhile: then the client is asked no
// more, and what it was asked is settled.
func (a *asking) put() {
	c, p := a.call, a.call.place
	questions := make([]*wire.Buffer, len(a.entries))
	for i := range a.entries {
		questions[i], a.entries[i].msg = a.entries[i].msg, nil
	}
	p.mu.Lock()
	over := c.over
	if over {
		a.release()
	} else {
		c.asking = a
		if d := p.sharer.options.Answers; d > 0 {
			c.timer = time.AfterFunc(d, a.expire)
		}
	}
	p.mu.Unlock()
	env := new(wire.Envelope)
	for _, q := range questions {
		over = over || a.over()
		if over {
			q.Release()
			continue
		}
		if env.Scan(q.B) != nil {
			q.Release()
			c.fail("the tool server asks for input in a way that no client of a legacy revision knows")
			over = true
			continue
		}
		p.client.Unasked(a, c.client, q, env)
	}
	if a.over() {
		p.settle(a)
	}
}

// settle answers for the client what it was asked and has not answered.
func (p *place) settle(a *asking) {
	for _, q := range p.client.Settle(a) {
		share.Answer(a, refusal.Unattended, q.ID)
	}
}

// over tells whether the call has ended.
func (a *asking) over() bool {
	p := a.call.place
	p.mu.Lock()
	defer p.mu.Unlock()
	return a.call.over
}

// expire ends a call whose client does not answer.
func (a *asking) expire() {
	c, p := a.call, a.call.place
	p.mu.Lock()
	late := c.asking == a && p.takeLocked(c)
	p.mu.Unlock()
	if !late {
		return
	}
	c.leave()
	failWith(c.client, refusal.CallTimeout.With("the client did not answer the tool server's question in time (--call-timeout)"), metrics.Timeout)
}

// Send takes the client's answer to a question, or its progress with it, which
// nobody waits for. It implements share.Asker.
func (a *asking) Send(msg *wire.Buffer) *refusal.Refusal {
	var env wire.Envelope
	_ = env.Scan(msg.B) // what is no message is no answer
	if env.Kind != wire.Result && env.Kind != wire.Error {
		msg.Release()
		return nil
	}
	n, _ := strconv.Atoi(string(env.ID.Of(msg.B))) // 0, which is no question's, for what is no number
	c, p := a.call, a.call.place
	p.mu.Lock()
	e := a.waiting(n - 1)
	switch {
	case e == nil:
	case env.Kind == wire.Error && e.method != mcp.MethodElicit:
		// A modern server cannot be told of it.
		mine := p.takeLocked(c)
		p.mu.Unlock()
		if mine {
			c.leave()
			passError(c.client, env.Error.Of(msg.B))
		}
		msg.Release()
		return nil
	case env.Kind == wire.Result:
		e.msg, e.answer = msg, env.Result
		msg = nil
	}
	all, extra := false, ""
	if e != nil {
		e.done = true
		if a.open--; a.open == 0 {
			all, extra = true, a.inputs()
			a.end()
		}
	}
	p.mu.Unlock()
	msg.Release()
	if all {
		c.again(extra)
	}
	return nil
}

// waiting is the entry that waits for an answer, nil for none. The place's lock
// is held.
func (a *asking) waiting(i int) *entry {
	if a.call.over || a.call.asking != a || i < 0 || i >= len(a.entries) || a.entries[i].done {
		return nil
	}
	return &a.entries[i]
}

// end closes the questions when all are answered. The place's lock is held.
func (a *asking) end() {
	a.call.asking = nil
	a.release()
	if a.call.timer != nil {
		a.call.timer.Stop()
	}
}

// passError answers a client with an error object as it came.
func passError(client *link.Call, text []byte) {
	answer := wire.Acquire(len(text) + len(client.ID) + 32)
	answer.B = append(append(append(answer.B, `{"jsonrpc":"2.0","id":`...), client.ID...), `,"error":`...)
	answer.B = append(append(answer.B, text...), '}')
	client.Leg.Answer(answer, metrics.Failed)
}
