package e2e

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// A crowd is clients of all kinds that call at a fixed rate, whether calls
// before are answered or not: one that is late catches up.
type crowd struct {
	rollers  []roller
	restarts *atomic.Int64
	calling  sync.WaitGroup
	begun    time.Time
	over     atomic.Pointer[time.Time] // no call is due after that
	once     sync.Once
	took     time.Duration // from begun until the last answer

	mu     sync.Mutex
	losses []error
	late   []time.Duration // how long after it was due each call was sent
}

// startCrowd has rate calls a second made. restarts is counted up when a gate is
// told to go.
func startCrowd(at string, rate int, restarts *atomic.Int64) *crowd {
	c := &crowd{begun: time.Now(), restarts: restarts}
	for i := range rate / callsEach {
		c.rollers = append(c.rollers, newRoller(i, at, restarts))
	}
	every := time.Second / callsEach
	for i, r := range c.rollers {
		first := every * time.Duration(i) / time.Duration(len(c.rollers))
		c.calling.Go(func() { c.drive(r, c.begun.Add(first), every) })
	}
	return c
}

// newRoller makes the i-th client: of ten, five are modern, of which one
// listens, and of the others two have a stream, one is on a WebSocket, and one
// could be asked something: its calls have a link to themselves.
func newRoller(i int, at string, restarts *atomic.Int64) roller {
	switch kind := i % 10; {
	case kind < 5:
		m := &modernRoller{}
		m.init("modern", i, at, restarts)
		if kind == 4 {
			m.listen()
		}
		return m
	case kind == 9:
		s := &socketRoller{}
		s.init("websocket", i, at, restarts)
		return s
	default:
		l := &legacyRoller{asked: "{}"}
		l.init("legacy", i, at, restarts)
		if kind == 5 {
			l.asked = able
		}
		if kind > 6 {
			l.listen()
		}
		return l
	}
}

func (c *crowd) drive(r roller, due time.Time, every time.Duration) {
	var late []time.Duration
	for n := 1; ; n++ {
		time.Sleep(time.Until(due))
		if over := c.over.Load(); over != nil && due.After(*over) {
			break
		}
		late = append(late, time.Since(due))
		r.self().sent.Add(1)
		if err := r.call(n); err != nil {
			c.lose(err)
		} else {
			r.self().answered.Add(1)
		}
		due = due.Add(every)
	}
	if err := r.close(); err != nil {
		c.lose(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = append(c.late, late...)
}

// lose notes what went wrong, of the first few.
func (c *crowd) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.losses) < 10 {
		c.losses = append(c.losses, err)
	}
}

// settle waits until all who listen do, as a rollout waits between two pods. Who
// is on the way from one gate to another when that goes away too may open a
// session at the one that goes, and another one soon after.
func (c *crowd) settle(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "streams and listens are open again", func() bool {
		for _, r := range c.rollers {
			if !r.settled() {
				return false
			}
		}
		return true
	})
}

// stop lets the calls that are due be made, and waits for their answers.
func (c *crowd) stop() {
	c.once.Do(func() {
		now := time.Now()
		c.over.Store(&now)
		c.calling.Wait()
		c.took = time.Since(c.begun)
	})
}

// total is the sum of what has become of all clients' calls.
func (c *crowd) total() *tally {
	all := &tally{}
	for _, r := range c.rollers {
		for i, n := range r.self().each() {
			all.each()[i].Add(n.Load())
		}
	}
	return all
}

// carried is how many calls a second were answered.
func (c *crowd) carried() float64 { return float64(c.total().answered.Load()) / c.took.Seconds() }

// judge strikes the balance.
func (c *crowd) judge(t *testing.T) {
	t.Helper()
	all := c.total()
	slices.Sort(c.late)
	at := func(percent int) time.Duration { return c.late[(len(c.late)-1)*percent/100].Round(time.Millisecond) }
	t.Logf("%d restarts in %v, %d clients: %d calls sent, %d answered, %d of them by streams; %.0f a second, half of them sent %v late or less, 99%% %v, all %v",
		c.restarts.Load(), c.took.Round(time.Second), len(c.rollers), all.sent.Load(), all.answered.Load(), all.streamed.Load(), c.carried(), at(50), at(99), at(100))
	t.Logf("%d calls met a session that was unknown, %d were opened anew; %d streams ended, %d of them met a session that was unknown; %d listens ended; %d calls were sent again by net/http, %d crossed a goodbye",
		all.unknown.Load(), all.reopened.Load(), all.streams.Load(), all.unresumed.Load(), all.listens.Load(), all.repeated.Load(), all.crossed.Load())
	if all.sent.Load() != all.answered.Load() || all.streamed.Load() == 0 {
		t.Errorf("of %d calls %d were answered", all.sent.Load(), all.answered.Load())
	}
	for _, err := range c.losses {
		t.Errorf("lost: %v", err)
	}
	for _, r := range c.rollers {
		wantMoved(t, r)
	}
}

// wantMoved: a client has noticed that gates were replaced, as its kind does; one
// that listens each time, but for the first if that was the other gate. That
// none has more often is seen to while it calls.
func wantMoved(t *testing.T, r roller) {
	t.Helper()
	p := r.self()
	each := max(1, p.restarts.Load()-1)
	reopened, streams, listens := p.reopened.Load() > 0, p.streams.Load() >= each, p.listens.Load() >= each
	want := [3]bool{true, false, false}
	switch r := r.(type) {
	case *modernRoller:
		want = [3]bool{false, false, r.stop != nil}
	case *legacyRoller:
		want[1] = r.stop != nil
	}
	if got := [3]bool{reopened, streams, listens}; got != want {
		t.Errorf("%s: sessions opened anew, streams and listens that ended: %v, want %v", p.name, got, want)
	}
}
