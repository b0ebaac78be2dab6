// Package cache holds answers that may be given to many, and lets many callers
// who ask the same thing at the same time wait for one answer.
//
// What may be shared is not decided here but by a Judge: what a modern server
// marks as public (2026-07-28, server/utilities/caching), and the lists of a
// legacy server until it says that they have changed. An answer that may not be
// shared reaches the one caller whose request brought it, and nobody else.
//
// The package knows calls and messages. It may know neither sessions nor which
// link a call uses: a Way does.
package cache

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// Options of a store never change. What is 0 has the default.
type Options struct {
	Entries    int         // answers that are kept; 1024
	Bytes      int64       // of all answers that are kept; 16 MiB
	EntryBytes int         // of one; 1 MiB. A longer answer is not shared
	Waiters    int         // calls that wait for another one's answer, over all; 4096
	Budget     wire.Budget // of bytes in flight, for what is given out; what is kept is bounded by itself. nil: none
	Count      func(what string)
}

// What Count is told.
const (
	Hit     = "hit"     // answered from what is kept
	Joined  = "joined"  // waits for another call's answer
	Fetched = "fetched" // asked the server for many
	Alone   = "alone"   // asked the server for itself: its answers are not shareable, or too many wait
	Changed = "changed" // an answer was forgotten because the server said that it has changed
)

// A Way is how a caller's request reaches the server. Its methods are called
// from any goroutine, without a lock of the store's.
type Way interface {
	// Call sends a request: the caller's own call, or one that the store makes in
	// its place and that outlives it. It takes msg over; where it fails the leg
	// is not called.
	Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal
	// Leave says that nobody waits any more for a call that Call was given.
	Leave(c *link.Call, why *refusal.Refusal)
}

// A Store keeps answers. Its methods may be called from any goroutine.
type Store struct {
	options Options
	spaces  atomic.Uint64
	work    sync.WaitGroup // what is given to many at a time

	mu      sync.Mutex
	closed  bool
	kept    kept
	flights map[Key]*flight        // answers that are being fetched, and that new callers may wait for
	waiting map[*link.Call]*waiter // calls that wait in the store
	alone   alone
}

// New makes an empty store. It has no goroutine of its own before it is used.
func New(o Options) *Store {
	setDefault(&o.Entries, 1024)
	setDefault(&o.Bytes, 16<<20)
	setDefault(&o.EntryBytes, 1<<20)
	setDefault(&o.Waiters, 4096)
	if o.Count == nil {
		o.Count = func(string) {}
	}
	s := &Store{options: o, flights: make(map[Key]*flight), waiting: make(map[*link.Call]*waiter)}
	s.kept.init(&s.options)
	s.alone.until = make(map[Key]time.Time)
	return s
}

func setDefault[N int | int64](n *N, value N) {
	if *n == 0 {
		*n = value
	}
}

// Call answers c: from what is kept, with the answer that is being fetched for
// another caller, or with one that is fetched now. It takes msg over; env is
// valid until Call returns. Where Call fails the leg is not called; it may be
// called before Call returns.
func (s *Store) Call(k Key, judge Judge, way Way, c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	now := time.Now()
	s.mu.Lock()
	if e := s.kept.get(k, now); e != nil && !s.closed {
		s.mu.Unlock()
		s.options.Count(Hit)
		msg.Release()
		return s.hit(c, e, now)
	}
	f := s.flights[k]
	if s.closed || s.alone.has(k, now) || f != nil && len(s.waiting) >= s.options.Waiters {
		s.mu.Unlock()
		s.options.Count(Alone)
		return way.Call(c, msg, env)
	}
	w := &waiter{call: c, way: way}
	s.waiting[c] = w
	if f != nil {
		w.msg, w.flight = msg, f
		f.waiters = append(f.waiters, w)
		f.left++
		s.mu.Unlock()
		s.options.Count(Joined)
		return nil
	}
	f = &flight{store: s, key: k, judge: judge, way: way, first: w, waiters: []*waiter{w}, left: 1}
	f.call = &link.Call{ID: bytes.Clone(c.ID), Leg: f} // the caller may have gone when the answer comes
	w.flight = f
	s.flights[k] = f
	s.mu.Unlock()
	s.options.Count(Fetched)
	return f.fetch(msg, env)
}

// hit answers a call with an answer that is kept.
func (s *Store) hit(c *link.Call, e *entry, now time.Time) *refusal.Refusal {
	msg := e.copyFor(c, now, s.options.Budget)
	if msg == nil {
		return refusal.Budget
	}
	c.Leg.Answer(msg, metrics.OK)
	return nil
}

// Leave answers a call with why, if it waits here, and tells whether it does.
// When nobody is left who waits for an answer it is given up.
func (s *Store) Leave(c *link.Call, why *refusal.Refusal) bool {
	s.mu.Lock()
	w := s.waiting[c]
	if w == nil {
		s.mu.Unlock()
		return false
	}
	if w.flight == nil { // on its way out: whoever sends it sees to it
		w.why = why
		s.mu.Unlock()
		return true
	}
	f := w.flight
	delete(s.waiting, c)
	w.call = nil
	f.left--
	over := f.left == 0
	if over {
		f.detach()
		f.why = why
	}
	over = over && f.sent
	s.mu.Unlock()
	w.msg.Release()
	refuse(c, why)
	if over {
		f.way.Leave(f.call, why)
	}
	return true
}

// refuse answers a call that has not reached a link.
func refuse(c *link.Call, why *refusal.Refusal) {
	if why == refusal.Cancelled {
		c.Cancelled()
		return
	}
	c.Refuse(why)
}

// Kept is the bytes of all answers that are kept.
func (s *Store) Kept() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.bytes
}

// Space returns a number that no other part of the store has: keys made with it
// are forgotten together. It is never 0.
func (s *Store) Space() uint64 { return s.spaces.Add(1) }

// Forget forgets what was asked in a space.
func (s *Store) Forget(space uint64) {
	s.forget(func(k Key) bool { return k.space == space })
}

// forget drops the answers that stale is true for. Those that are being fetched
// are given to who waits for them already, and neither kept nor given to who
// comes later: the server may have made them before the change.
func (s *Store) forget(stale func(Key) bool) {
	s.mu.Lock()
	n := s.kept.remove(stale)
	for k, f := range s.flights {
		if stale(k) {
			f.detach()
		}
	}
	s.mu.Unlock()
	for range n {
		s.options.Count(Changed)
	}
}

// Close answers every call that waits, forgets what is kept, and returns when
// nothing of the store is at work. From then on each call goes on by itself.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.kept.remove(func(Key) bool { return true })
	var waiting []*link.Call
	for c := range s.waiting {
		waiting = append(waiting, c)
	}
	s.mu.Unlock()
	for _, c := range waiting {
		s.Leave(c, refusal.Draining)
	}
	s.work.Wait()
}
