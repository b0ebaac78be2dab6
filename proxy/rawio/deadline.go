package rawio

import (
	"errors"
	"math"
	"os"
	"sync"
	"time"
)

// deadline is that of one way of a descriptor. The runtime is given it only where
// a call has to wait, and one that it has already may come too soon: then the
// call waits on. To set the runtime's timer costs as much as a short call, and
// often wakes its poller or its monitor as well, while an HTTP server moves the
// deadline several times a request and hardly ever meets it.
//
// A call that does not have to wait looks at no clock, but for one in 64: who
// sends faster than is read must not outrun the deadline. It fails at once where
// the deadline is older than the process, as one is that is to stop all reading.
type deadline struct {
	give func(time.Time) error // to the runtime

	mu      sync.Mutex
	wanted  time.Duration // since epoch; never: there is none
	given   time.Duration // what the runtime has
	waiting bool          // what is wanted from here on is given at once
	exact   bool          // so that it may not come too soon, either
}

// epoch is what deadlines are counted from.
var epoch = time.Now()

const never = time.Duration(math.MaxInt64)

func (d *deadline) init(give func(time.Time) error) {
	d.give, d.wanted, d.given = give, never, never
}

// set is SetReadDeadline, or SetWriteDeadline. That the descriptor is closed shows
// in the next call.
func (d *deadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = never
	if !t.IsZero() {
		d.wanted = t.Sub(epoch)
	}
	if !d.waiting && d.wanted > 0 {
		return nil
	}
	return d.hand(d.exact)
}

// wait is called before a call waits. An exact deadline is for a call that returns
// when the runtime's is over.
func (d *deadline) wait(exactly bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting, d.exact = true, exactly
	_ = d.hand(exactly) // fails where the call will
}

// rest is called after it.
func (d *deadline) rest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = false
}

// recall gives the runtime a deadline that is over: the next call fails by it.
func (d *deadline) recall() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wanted <= time.Since(epoch) {
		_ = d.hand(true)
	}
}

// early tells whether err is the runtime's deadline and not the one that is
// wanted; then the runtime has that, from here on.
func (d *deadline) early(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wanted > time.Since(epoch) && d.hand(true) == nil
}

// hand gives the runtime what is wanted, if it does not have it; or sooner, and
// that will do. d.mu is held.
func (d *deadline) hand(exactly bool) error {
	if d.given == d.wanted || !exactly && d.given < d.wanted {
		return nil
	}
	d.given = d.wanted
	if d.wanted == never {
		return d.give(time.Time{})
	}
	return d.give(epoch.Add(d.wanted))
}
