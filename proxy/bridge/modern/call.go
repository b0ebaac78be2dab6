package modern

import (
	"container/list"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/bridge/seal"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A call is a client's call with the one that the server gets in its place. It
// is the server's leg, and outlives the client's if it is parked. The desk's
// lock guards what changes.
type call struct {
	link.Call // towards the server; its leg is the call itself
	desk      *Desk
	seat      *seat
	method    string
	binding   seal.Binding // of its requestState, where its client can be asked
	env       wire.Envelope

	client    *link.Call  // that waits; nil while the call is parked, and after its end
	sent      bool        // the place has it
	over      bool        // answered, or nobody wants the answer
	questions []*question // open, in the order in which they were asked
	asking    *time.Timer // ends the window for further questions, nil without one

	id    [16]byte      // under which a retry finds it, once it was parked
	step  uint32        // which requestState is good
	due   *time.Timer   // ends its time in the park
	place *list.Element // in the park, nil outside
	kept  *answer       // that came while it was parked
	reply *backend.Reply

	missing bool // the server does not know the method, and has said so by an HTTP status
}

// An answer is what the server says in the end.
type answer struct {
	msg *wire.Buffer
	how metrics.Outcome
}

// call sends a request to the server. It takes msg over.
func (d *Desk) call(client *link.Call, who who, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	c := &call{desk: d, client: client, method: string(env.Method)}
	if mayAsk(env.Method) && who.asks {
		c.binding = who.binding(msg.B, env)
	}
	apart := who.apart(env.Method, d.options.Everybody)
	toLegacy(msg, env)
	if err := c.env.Scan(msg.B); err != nil {
		msg.Release()
		return refusal.Envelope
	}
	var refused *refusal.Refusal
	if apart {
		c.seat, refused = d.own(who.identity, nil)
	} else {
		c.seat, refused = d.residence(who.identity)
	}
	if refused != nil {
		msg.Release()
		return refused
	}
	c.ID, c.Progress, c.Leg = client.ID, client.Progress, c
	d.mu.Lock()
	refused = d.admit(client, c)
	if refused == nil {
		c.seat.calls[&c.Call] = c
	}
	d.mu.Unlock()
	if refused != nil {
		msg.Release()
		c.seat.release()
		return refused
	}
	c.seat.whenOpen(func(failed *link.Failure) { c.send(msg, failed) })
	return nil
}

// send sends the call when its place is open.
func (c *call) send(msg *wire.Buffer, failed *link.Failure) {
	d := c.desk
	d.mu.Lock()
	over := c.over
	c.sent = !over && failed == nil
	d.mu.Unlock()
	switch {
	case over: // nobody waits any more
		msg.Release()
		c.depart()
	case failed != nil:
		msg.Release()
		failed.Tell(&c.Call)
	default:
		if refused := c.seat.place.Call(&c.Call, msg, &c.env); refused != nil {
			c.Refuse(refused)
		}
	}
}

// depart says that the call needs its seat no longer.
func (c *call) depart() {
	d := c.desk
	d.mu.Lock()
	delete(c.seat.calls, &c.Call)
	d.mu.Unlock()
	c.seat.release()
}

// Send implements link.Leg: progress goes to the client that waits at present,
// under the token that it has given.
func (c *call) Send(msg *wire.Buffer) {
	c.desk.mu.Lock()
	client := c.client
	c.desk.mu.Unlock()
	if client == nil || client.Progress == nil {
		c.desk.options.Dropped("late_progress")
		msg.Release()
		return
	}
	if string(client.Progress) != string(c.Progress) {
		var env wire.Envelope
		if env.Scan(msg.B) != nil || env.ProgressToken.Empty() {
			msg.Release()
			return
		}
		msg.Splice(env.ProgressToken, client.Progress)
	}
	client.Leg.Send(msg)
}

// Reply implements link.Leg.
func (c *call) Reply(r *backend.Reply) {
	c.desk.mu.Lock()
	client := c.client
	c.missing = unknown(c.method, r)
	missing := c.missing
	if client == nil && !c.over {
		c.reply = copyReply(r)
	}
	c.desk.mu.Unlock()
	if client != nil && !missing {
		client.Leg.Reply(r)
	}
}

// Answer implements link.Leg. The place is free before the client can see the
// answer. One that nobody waits for at present is kept.
func (c *call) Answer(msg *wire.Buffer, how metrics.Outcome) {
	d := c.desk
	d.mu.Lock()
	unwanted, client := c.over, c.client
	questions := c.finish()
	switch {
	case unwanted:
	case client == nil:
		c.kept, c.over = &answer{msg.Fit(), how}, false
	case !d.detach(client): // it is leaving at this moment, or the desk ends
		unwanted = true
		client = nil
	}
	if c.over {
		delete(d.sealed, c.id)
	}
	d.mu.Unlock()
	unanswered(questions)
	c.depart()
	switch {
	case unwanted:
		msg.Release()
	case client != nil:
		c.tell(client, msg, how)
	}
}

// finish marks the call as over and returns the questions that are open. The
// desk's lock is held.
func (c *call) finish() []*question {
	c.over, c.client = true, nil
	if c.asking != nil {
		c.asking.Stop()
		c.asking = nil
	}
	questions := c.questions
	c.questions = nil
	return questions
}

// tell gives a client the server's answer as a modern one.
func (c *call) tell(client *link.Call, msg *wire.Buffer, how metrics.Outcome) {
	c.desk.mu.Lock()
	about, missing := c.seat.about, c.missing
	c.desk.mu.Unlock()
	if missing {
		msg.Release()
		client.Refuse(refusal.NoMethod.With("the tool server does not know the method %.100q", c.method))
		return
	}
	url := how == metrics.Failed && c.seat.id.elicits("url") // matters to an error alone
	msg, how = toModern(msg, how, client.ID, c.method, about, url)
	client.Leg.Answer(msg, how)
}

// leave implements leaver. A call that was parked has another client by now, or
// none.
func (c *call) leave(client *link.Call) {
	c.abandon()
	client.Cancelled()
}

// end implements leaver.
func (c *call) end(client *link.Call) {
	c.abandon()
	client.Refuse(refusal.Draining)
}

// fail ends the call with a refusal.
func (c *call) fail(why *refusal.Refusal) {
	d := c.desk
	d.mu.Lock()
	client := c.client
	waits := client != nil && d.detach(client)
	d.mu.Unlock()
	if waits {
		c.abandon()
		client.Refuse(why)
	}
}

// abandon gives the call up: its client does not wait for it, and the server is
// told.
func (c *call) abandon() {
	d := c.desk
	d.mu.Lock()
	if c.over {
		d.mu.Unlock()
		return
	}
	questions := c.finish()
	c.unpark()
	delete(d.sealed, c.id)
	sent, kept := c.sent, c.kept
	c.kept = nil
	d.mu.Unlock()
	switch {
	case kept != nil:
		kept.msg.Release() // the server is done with it
	case sent:
		msg, env := cancellation()
		_ = c.seat.place.Cancel(&c.Call, msg, env) // where it waits for a link, or for the client, it is over now
		c.GiveUp(refusal.Cancelled)
	}
	unanswered(questions) // last: a call that waits for its client must not go on
}

// cancellation is a notifications/cancelled; a link puts in its own number.
func cancellation() (*wire.Buffer, *wire.Envelope) {
	const text = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0,"reason":"nobody waits for it any more"}}`
	msg, env := wire.Acquire(len(text)+32), new(wire.Envelope)
	msg.B = append(msg.B, text...)
	if err := env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error())
	}
	return msg, env
}
