// Package stateless is what modern clients have in place of a session: their
// calls in flight, each of which stands alone. (2026-07-28, basic,
// "Statelessness")
//
// It joins a call with the stream of its answer and with the desk that serves
// it, and ends it when its client leaves. It knows messages by what the scan
// found, and it may not know HTTP: frontends do.
package stateless

import (
	"context"
	"sync"
	"time"

	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// Options never change.
type Options struct {
	Desk share.Desk
	Most int // calls in flight at once, listens among them

	Ended   func(method int, how metrics.Outcome, lasted time.Duration) // a call was answered
	Dropped func(what string)
}

// Calls are the modern calls in flight of one door to one backend. Its methods
// may be called from any goroutine.
type Calls struct {
	options Options

	mu       sync.Mutex
	open     map[*Call]struct{}
	leaving  bool // no listens are taken
	draining bool // no calls are
}

// New makes the calls of a door: none.
func New(o Options) *Calls { return &Calls{options: o, open: make(map[*Call]struct{})} }

// InFlight is the number of calls that wait for their answer. A listen, which
// has no end of its own, is none of them.
func (cs *Calls) InFlight() (n int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.open {
		if !c.Listen {
			n++
		}
	}
	return n
}

// admit takes a call among those in flight.
func (cs *Calls) admit(c *Call) *refusal.Refusal {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case cs.draining, cs.leaving && c.Listen:
		return refusal.Draining
	case len(cs.open) >= cs.options.Most:
		return refusal.Calls.With("there are %d of %d calls in flight without a session (--max-sessions); wait for one to end", len(cs.open), cs.options.Most)
	}
	cs.open[c] = struct{}{}
	return nil
}

func (cs *Calls) remove(c *Call) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c)
}

// TurnAway takes no new listens from here on, and ends those there are in good
// order. All other calls are served. (2026-07-28, basic/patterns/subscriptions,
// "Graceful Closure")
func (cs *Calls) TurnAway() {
	cs.mu.Lock()
	cs.leaving = true
	cs.mu.Unlock()
	cs.each(func(c *Call) {
		if c.Listen {
			c.close()
		}
	})
}

// Drain is TurnAway, takes no new calls of any kind from here on, and waits
// until those in flight are answered or ctx is done. It tells whether all were.
func (cs *Calls) Drain(ctx context.Context) bool {
	cs.mu.Lock()
	cs.draining = true
	cs.mu.Unlock()
	cs.TurnAway()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for cs.InFlight() > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// Close ends all calls: each is answered with a refusal.
func (cs *Calls) Close() {
	cs.mu.Lock()
	cs.draining = true
	cs.mu.Unlock()
	cs.each(func(c *Call) {
		c.refuse(refusal.Draining)
	})
}

// each does the same with all calls in flight, without the lock.
func (cs *Calls) each(do func(*Call)) {
	cs.mu.Lock()
	open := make([]*Call, 0, len(cs.open))
	for c := range cs.open {
		open = append(open, c)
	}
	cs.mu.Unlock()
	for _, c := range open {
		do(c)
	}
}

// ended notes the end of a call.
func (cs *Calls) ended(c *Call, how metrics.Outcome) {
	cs.remove(c)
	cs.options.Ended(c.method, how, time.Since(c.start))
}

// drop counts what nobody waits for.
func (cs *Calls) drop(msg *wire.Buffer) {
	cs.options.Dropped("undelivered")
	msg.Release()
}
