package cache

import (
	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A waiter is a call that waits in the store. The store's lock guards what
// changes.
type waiter struct {
	call   *link.Call // nil once it has left
	msg    *wire.Buffer
	way    Way
	flight *flight          // that it waits for; nil while it is being sent on its own
	why    *refusal.Refusal // it has left while it was being sent
}

// A flight is one call for many: the leg of a call of the store's own. The
// store's lock guards what changes.
type flight struct {
	store *Store
	key   Key
	judge Judge
	way   Way // the first caller's
	call  *link.Call
	first *waiter // whose request it is

	waiters []*waiter // the first caller among them, all that ever joined
	left    int       // those that still wait
	stale   bool      // detached: what comes is not kept
	sent    bool      // the way has taken the call
	over    bool      // it has its answer
	why     *refusal.Refusal
}

// detach takes a flight out of those that can be joined. The store's lock is
// held.
func (f *flight) detach() {
	f.stale = true
	if f.store.flights[f.key] == f {
		delete(f.store.flights, f.key)
	}
}

// fetch sends the first caller's request as the store's own.
func (f *flight) fetch(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	refused := f.way.Call(f.call, msg, env)
	s := f.store
	s.mu.Lock()
	f.sent = refused == nil
	given := f.left == 0 && !f.over // the last one left while it was being sent
	s.mu.Unlock()
	switch {
	case refused == nil && given:
		f.way.Leave(f.call, f.why)
	case refused != nil:
		first, others := f.land(nil)
		f.onTheirOwn(others)
		if first == nil { // it has left, and was answered
			return nil
		}
	}
	return refused
}

// Send passes on what comes before the answer to the caller whose request it
// is: it may be for nobody else.
func (f *flight) Send(msg *wire.Buffer) {
	if c := f.firstCall(); c != nil {
		c.Leg.Send(msg)
		return
	}
	msg.Release()
}

// Reply likewise: headers of a response are for one.
func (f *flight) Reply(r *backend.Reply) {
	if c := f.firstCall(); c != nil {
		c.Leg.Reply(r)
	}
}

// firstCall is the first caller's call, nil once it has left.
func (f *flight) firstCall() *link.Call {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	return f.first.call
}

// Answer gives the answer to who waits, if it may be shared, and keeps it while
// it is fresh. Otherwise the first caller gets it, and the others ask by
// themselves.
func (f *flight) Answer(msg *wire.Buffer, how metrics.Outcome) {
	e := f.judged(msg, how)
	first, others := f.land(func(now bool) {
		switch {
		case e == nil && (how == metrics.OK || how == metrics.Failed):
			f.store.alone.note(f.key, f.store.options.Entries)
		case e != nil && now:
			f.store.kept.put(e)
		}
	})
	if len(others) > 0 {
		f.share(e, others)
	}
	if first == nil {
		msg.Release()
		return
	}
	first.Leg.Answer(msg, how)
}

// judged is the answer as it can be kept and shared, nil where it may not be.
func (f *flight) judged(msg *wire.Buffer, how metrics.Outcome) *entry {
	var env wire.Envelope
	if how != metrics.OK || len(msg.B) > f.store.options.EntryBytes || env.Scan(msg.B) != nil || env.Kind != wire.Result {
		return nil
	}
	ttl, at := f.judge(msg.B, &env)
	if ttl <= 0 {
		return nil
	}
	return newEntry(f.key, msg.B, env.ID, ttl, at)
}

// land ends a flight, once: then runs under the store's lock and is told
// whether the flight's answer may be kept. It returns the first caller's call,
// nil where it has left, and the others that wait, which are on their way out
// from here on.
func (f *flight) land(then func(now bool)) (first *link.Call, others []*waiter) {
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	f.over = true
	now := !f.stale && !s.closed
	f.detach()
	if then != nil {
		then(now)
	}
	for _, w := range f.waiters {
		switch {
		case w.call == nil:
		case w == f.first:
			first = w.call
			delete(s.waiting, w.call)
			w.call = nil
		default:
			w.flight = nil
			others = append(others, w)
		}
	}
	f.waiters, f.left = nil, 0
	return first, others
}

// share gives those who wait a copy each, or sends them on their own, on a
// goroutine of the store's: it can be much, and the caller is a link's one
// reader.
func (f *flight) share(e *entry, others []*waiter) {
	give := func() {
		if e == nil {
			f.onTheirOwn(others)
			return
		}
		for _, w := range others {
			f.store.give(w, e)
		}
	}
	s := f.store
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.work.Go(give)
	}
	s.mu.Unlock()
	if closed {
		give()
	}
}

// give answers a call that has waited with an answer that may be shared.
func (s *Store) give(w *waiter, e *entry) {
	s.mu.Lock()
	why := w.why
	delete(s.waiting, w.call)
	s.mu.Unlock()
	w.msg.Release()
	msg := (*wire.Buffer)(nil)
	if why == nil {
		why = refusal.Budget
		msg = e.copyFor(w.call, e.born, s.options.Budget)
	}
	if msg == nil {
		refuse(w.call, why)
		return
	}
	w.call.Leg.Answer(msg, metrics.OK)
}

// onTheirOwn sends calls that have waited for an answer that is not for them.
func (f *flight) onTheirOwn(others []*waiter) {
	for _, w := range others {
		f.store.sendOn(w)
	}
}

// sendOn sends a call on its own. It can leave meanwhile.
func (s *Store) sendOn(w *waiter) {
	s.mu.Lock()
	why := w.why
	if why == nil && s.closed {
		why = refusal.Draining
	}
	if why != nil {
		delete(s.waiting, w.call)
	}
	s.mu.Unlock()
	if why != nil {
		w.msg.Release()
		refuse(w.call, why)
		return
	}
	s.options.Count(Alone)
	var env wire.Envelope
	if err := env.Scan(w.msg.B); err != nil {
		panic("BUG: " + err.Error()) // it was scanned when it came
	}
	refused := w.way.Call(w.call, w.msg, &env)
	s.mu.Lock()
	delete(s.waiting, w.call)
	why = w.why
	s.mu.Unlock()
	switch {
	case refused != nil:
		refuse(w.call, refused)
	case why != nil:
		w.way.Leave(w.call, why)
	}
}
