package modern

import (
	"slices"
	"time"

	"sidegate/proxy/bridge/seal"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// ask parks a call: its client gets the open questions, and a requestState with
// which it comes back. It runs when the window for further questions is over.
func (c *call) ask() {
	d := c.desk
	d.mu.Lock()
	c.asking = nil
	client := c.client
	if c.over || client == nil || len(c.questions) == 0 || !d.detach(client) {
		d.mu.Unlock()
		return
	}
	if c.id == ([16]byte{}) {
		c.id = seal.NewID()
	}
	until := time.Now().Add(d.options.ParkTimeout)
	oldest := c.park(until)
	msg := c.inputRequired(client.ID, d.sealer.Seal(seal.State{Call: c.id, Step: c.step, Expires: until}, c.binding))
	d.mu.Unlock()
	if oldest != nil {
		oldest.giveUp()
	}
	if l := c.Link(); l != nil {
		l.Extend(&c.Call, until.Add(time.Second))
	}
	client.Leg.Answer(msg, metrics.OK)
}

// park puts the call among those that wait for their client, and returns the
// one that gives way for it, nil for none. The desk's lock is held.
func (c *call) park(until time.Time) (oldest *call) {
	d := c.desk
	c.client = nil
	c.step++
	d.sealed[c.id] = c
	if d.parked.Len() >= d.options.MaxParked {
		oldest = d.parked.Front().Value.(*call)
		oldest.unpark()
		delete(d.sealed, oldest.id)
		d.options.Dropped("parked")
	}
	c.place = d.parked.PushBack(c)
	step := c.step
	c.due = time.AfterFunc(time.Until(until), func() { c.expire(step) })
	return oldest
}

// unpark takes the call out of those that wait for their client. The desk's
// lock is held.
func (c *call) unpark() {
	if c.place == nil {
		return
	}
	c.desk.parked.Remove(c.place)
	c.place = nil
	c.due.Stop()
}

// expire ends a call whose client has not come back.
func (c *call) expire(step uint32) {
	c.desk.mu.Lock()
	late := c.place != nil && c.step == step
	if late {
		c.unpark()
		delete(c.desk.sealed, c.id)
	}
	c.desk.mu.Unlock()
	if late {
		c.giveUp()
	}
}

// Parked is the number of calls that wait for their client to come back.
func (d *Desk) Parked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.parked.Len()
}

// giveUp abandons a call that nobody comes back for.
func (c *call) giveUp() { c.abandon() }

// retry joins a client that has come back with its parked call. msg stays the
// caller's.
func (d *Desk) retry(client *link.Call, who who, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	text := env.RequestState.Of(msg.B)
	if len(text) < 2 || text[0] != '"' || len(text) > mostState {
		return refusal.RequestState
	}
	state, ok := d.sealer.Open(text[1:len(text)-1], who.binding(msg.B, env))
	if !ok {
		return refusal.RequestState
	}
	if responses := env.InputResponses; !responses.Empty() && msg.B[responses.Start] != '{' {
		return badResponses
	}
	c, taken, refused := d.rejoin(client, &state, msg, env)
	if refused != nil {
		return refused
	}
	if l := c.Link(); l != nil {
		l.Extend(&c.Call, time.Time{}) // before the server can go on, and ask again
	}
	for _, q := range taken {
		if refused := q.from.Send(q.answer); refused != nil {
			c.fail(refused) // its server would wait for ever
		}
	}
	return nil
}

// mostState bounds what is looked at as a requestState, in bytes with its
// quotes. The gate's own are shorter.
const mostState = 256

// rejoin makes a client the one that its parked call waits for no longer, and
// takes the questions that it has answered.
func (d *Desk) rejoin(client *link.Call, state *seal.State, msg *wire.Buffer, env *wire.Envelope) (*call, []*question, *refusal.Refusal) {
	d.mu.Lock()
	// The call's own timer says when it is over, and not the state's expiry,
	// which is wall-clock time: the clock may have been set meanwhile.
	c := d.sealed[state.Call]
	switch {
	case c == nil:
		d.mu.Unlock()
		return nil, nil, refusal.Parked
	case c.place == nil || c.step != state.Step:
		d.mu.Unlock()
		return nil, nil, refusal.RequestState
	}
	taken, rest, refused := c.answered(msg, env)
	if refused == nil {
		refused = d.admit(client, c)
	}
	if refused != nil {
		d.mu.Unlock()
		for _, q := range taken {
			q.answer.Release()
			q.answer = nil
		}
		return nil, nil, refused
	}
	c.unpark()
	kept, reply := c.kept, c.reply
	c.kept, c.reply = nil, nil
	if kept != nil {
		c.over = true
		d.detach(client)
		delete(d.sealed, c.id)
	} else {
		c.client, c.questions = client, rest
		if len(rest) > 0 {
			c.asking = time.AfterFunc(window, c.ask)
		}
	}
	for _, q := range taken {
		q.msg.Release()
	}
	d.mu.Unlock()
	if kept != nil {
		if reply != nil {
			client.Leg.Reply(reply)
		}
		c.tell(client, kept.msg, kept.how)
	}
	return c, taken, nil
}

var badResponses = refusal.RequestState.With("inputResponses must be an object whose members are objects, each the result of the request under the same key; send the request again with such")

// answered sorts the open questions: those to which a retry brings the answer,
// with the message for the server, and the rest. An answer is an object
// (2026-07-28, schema, "InputResponses"); what answers no open question is
// ignored, whatever it is. Where it fails the questions stay as they are, and the
// answers of those that it returns are of no use. The desk's lock is held.
func (c *call) answered(msg *wire.Buffer, env *wire.Envelope) (taken, rest []*question, refused *refusal.Refusal) {
	rest = slices.Clone(c.questions)
	for m := range wire.Members(msg.B, env.InputResponses) {
		i := slices.IndexFunc(rest, func(q *question) bool { return string(m.Key) == q.key })
		if i < 0 {
			continue // unknown, or answered already
		}
		if msg.B[m.Value.Start] != '{' {
			return taken, nil, badResponses
		}
		q := rest[i]
		q.answer = q.result(m.Value.Of(msg.B))
		q.answer.Header = legacyHeader(msg.Header)
		taken = append(taken, q)
		rest = slices.Delete(rest, i, i+1)
		if !q.answer.Charge(c.desk.options.Budget, int64(len(q.answer.B))) {
			return taken, nil, refusal.Budget
		}
	}
	return taken, rest, nil
}
