package mirror

import (
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

const (
	rest      = 10 * time.Second // after a list before the next is asked for because a tool is unknown or its headers do not fit
	shortRest = time.Second      // the same after a list that could not be had, and slowness times as long as it was waited for
	slowness  = 5
)

// A wait is a call that waits for a list of tools. Whoever takes it out of
// Desk.waits, or makes it busy, ends it.
type wait struct {
	call *link.Call
	from share.Caller
	msg  *wire.Buffer
	list uint64  // the number of the list that it waits for
	new  bool    // a list out of a cache will not do
	told *filled // of a second try: the leg, with the server's answer to the first; else nil
	busy bool    // it is on its way to the desk behind
	left bool    // Leave came meanwhile
}

// drop lets go of what a call has waited with.
func (w *wait) drop() {
	w.msg.Release()
	if w.told != nil {
		w.told.forget()
	}
}

// park lets a call wait for a list, and asks for one where none is under way.
// again says that the schema is known, and only a new list will do. Where a list
// has come a moment ago the call need not wait. park takes msg over if the call
// is parked or refused.
func (d *Desk) park(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope, again bool) (parked bool, refused *refusal.Refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := time.Now().Before(d.due) && d.age == d.index.Age()
	if d.closed || fresh && (again || !d.fetching) {
		return false, nil
	}
	w := &wait{call: c, from: from, msg: msg, list: d.next(again), new: again}
	if !d.wait(w, env) {
		msg.Release()
		return false, refusal.Busy.With("as many calls as may be wait for the tool server's list of tools; try again shortly")
	}
	return true, nil
}

// next is the number of the list that a call is to wait for: the one under way
// will do, unless it may be as old as what is known. d.mu is held.
func (d *Desk) next(again bool) uint64 {
	if d.fetching && !again {
		return d.asked
	}
	return d.asked + 1
}

// wait notes a wait, unless there are too many. env is what the scan found in
// its message. d.mu is held.
func (d *Desk) wait(w *wait, env *wire.Envelope) bool {
	if len(d.waits) >= mostWaiting {
		return false
	}
	d.waits[w.call] = w
	if !d.fetching {
		d.start(newQuestion(w, env))
	}
	return true
}

// start asks for a list. d.mu is held, and the desk is not closed.
func (d *Desk) start(q *question) {
	d.fetching = true
	d.asked++
	n := d.asked
	d.work.Go(func() { d.fetch(q, n) })
}

// fetch asks for list n, lets the calls go on that wait for it, and asks for the
// next where others wait for that.
func (d *Desk) fetch(q *question, n uint64) {
	began, pause := time.Now(), rest
	if !d.list(q) {
		pause = shortRest + slowness*time.Since(began) // a server that is busy must not hold every call up
	}
	d.mu.Lock()
	d.fetching = false
	d.due, d.age = time.Now().Add(pause), d.index.Age()
	var ready []*wait
	for _, w := range d.waits {
		switch {
		case w.busy:
		case w.list <= n:
			w.busy = true
			ready = append(ready, w)
		case !d.fetching && !d.closed:
			env := new(wire.Envelope)
			_ = env.Scan(w.msg.B) // it has passed before
			d.start(newQuestion(w, env))
		}
	}
	d.mu.Unlock()
	for _, w := range ready {
		d.resume(w)
	}
}

// resume lets one call go on.
func (d *Desk) resume(w *wait) {
	env := new(wire.Envelope)
	_ = env.Scan(w.msg.B) // it has passed before
	var refused *refusal.Refusal
	if w.told != nil {
		d.repeat(w, env)
	} else {
		refused = d.tool(w.call, w.from, w.msg, env, true)
	}
	d.mu.Lock()
	if d.waits[w.call] == w { // not, where it waits for a second try already
		delete(d.waits, w.call)
	}
	left := w.left
	d.mu.Unlock()
	switch {
	case refused != nil:
		w.call.Refuse(refused)
	case left:
		d.Leave(w.call)
	}
}

// repeat sends a call anew whose headers the server did not like, with those
// that the new list asks for. Where that is not possible the client gets the
// server's first answer.
func (d *Desk) repeat(w *wait, env *wire.Envelope) {
	params, known := d.index.Params(env.Name)
	if !known {
		w.msg.Release()
		w.told.tell()
		return
	}
	second := &link.Call{ID: w.call.ID, Progress: w.call.Progress, Leg: w.told}
	d.mu.Lock()
	w.told.second = second
	d.mu.Unlock()
	if d.pass(second, w.from, w.msg, env, params) != nil {
		w.told.tell()
	}
}

// ended says that a call with the desk's headers is over.
func (d *Desk) ended(c *link.Call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tries, c)
}
