package registry

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An ending is what OnExpire was told.
type ending struct {
	v   *thing
	why Reason
	at  time.Duration // since the test began
}

// endings collects them.
type endings struct {
	mu    sync.Mutex
	start time.Time
	all   []ending
}

func (e *endings) add(v *thing, why Reason) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ending{v, why, time.Since(e.start)})
}

// of is how v ended, nil while it lives.
func (e *endings) of(v *thing) *ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.all {
		if e.all[i].v == v {
			return &e.all[i]
		}
	}
	return nil
}

// sweeping runs f in a bubble of time of its own, with a registry whose sweeper
// is at work.
func sweeping(t *testing.T, idle, lifetime time.Duration, f func(r *Registry[*thing], e *endings)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &endings{start: time.Now()}
		r := New(Options[*thing]{Idle: idle, Lifetime: lifetime, OnExpire: e.add})
		ctx, cancel := context.WithCancel(context.Background())
		var sweeper sync.WaitGroup
		sweeper.Go(func() { r.Run(ctx) })
		f(r, e)
		cancel()
		sweeper.Wait()
	})
}

// wait lets d pass, and everything that was due by then happen.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestIdle(t *testing.T) {
	sweeping(t, 30*time.Minute, 24*time.Hour, func(r *Registry[*thing], e *endings) {
		v, asked := add(t, r, "ann"), add(t, r, "ann")
		for range 3 {
			wait(29 * time.Minute)
			if _, ok := r.Get(asked.id(), "ann"); !ok {
				t.Fatal("a value that is asked for now and then was lost")
			}
			r.Get(asked.id(), "bob") // a stranger's question is none
		}
		if end := e.of(v); end == nil || end.why != Idle || end.at < 30*time.Minute || end.at > 31*time.Minute {
			t.Errorf("the idle value ended as %+v", end)
		}
		if r.Len() != 1 {
			t.Errorf("Len is %d", r.Len())
		}
		wait(time.Hour)
		if end := e.of(asked); end == nil || end.why != Idle || r.Len() != 0 || len(e.all) != 2 {
			t.Errorf("the other ended as %+v, Len %d, %d endings", end, r.Len(), len(e.all))
		}
	})
}

// TestExpiredBeforeSwept: to the client a value ends on time, whenever the
// sweeper gets there.
func TestExpiredBeforeSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options[*thing]{Idle: time.Minute}) // nobody sweeps
		v := add(t, r, "")
		time.Sleep(time.Minute - 1)
		if _, ok := r.Get(v.id(), ""); !ok {
			t.Error("a value ended too early")
		}
		time.Sleep(time.Minute)
		if _, ok := r.Get(v.id(), ""); ok {
			t.Error("an expired value was found")
		}
		if r.Len() != 1 {
			t.Errorf("Len is %d, though nothing was swept", r.Len())
		}
	})
}

func TestHeldIsNotIdle(t *testing.T) {
	sweeping(t, time.Minute, 0, func(r *Registry[*thing], e *endings) {
		v := add(t, r, "")
		v.entry.Hold() // a stream
		v.entry.Hold() // a call
		wait(time.Hour)
		v.entry.Release()
		wait(time.Hour)
		if _, ok := r.Get(v.id(), ""); !ok || e.of(v) != nil {
			t.Fatal("a value that is held was idle")
		}
		v.entry.Release()
		wait(59 * time.Second)
		if e.of(v) != nil {
			t.Fatal("Release did not restart the idle clock")
		}
		wait(5 * time.Second)
		if end := e.of(v); end == nil || end.why != Idle {
			t.Errorf("it ended as %+v", end)
		}
	})
}

func TestLifetime(t *testing.T) {
	sweeping(t, time.Minute, time.Hour, func(r *Registry[*thing], e *endings) {
		held, asked := add(t, r, ""), add(t, r, "")
		held.entry.Hold()
		for range 119 {
			wait(30 * time.Second)
			if _, ok := r.Get(asked.id(), ""); !ok {
				t.Fatal("a value that is asked for ended before its lifetime")
			}
		}
		wait(30 * time.Second)
		for _, v := range []*thing{held, asked} {
			if _, ok := r.Get(v.id(), ""); ok {
				t.Error("a value was found after its lifetime")
			}
		}
		wait(5 * time.Second)
		for _, v := range []*thing{held, asked} {
			if end := e.of(v); end == nil || end.why != Lifetime || end.at < time.Hour {
				t.Errorf("it ended as %+v", end)
			}
		}
	})
}

func TestNothingExpiresWithoutLimits(t *testing.T) {
	sweeping(t, 0, 0, func(r *Registry[*thing], e *endings) {
		v := add(t, r, "")
		wait(100 * time.Hour)
		if _, ok := r.Get(v.id(), ""); !ok || e.of(v) != nil {
			t.Error("a value expired without a limit")
		}
	})
}

// TestRescue: what was found, held or removed between the sweeper's look and
// its deed is left alone.
func TestRescue(t *testing.T) {
	now := time.Now()
	r := New(Options[*thing]{Idle: time.Minute, Now: func() time.Time { return now }})
	rescues := map[string]func(v *thing){
		"removed":  func(v *thing) { r.Remove(v.entry) },
		"held":     func(v *thing) { v.entry.Hold() },
		"released": func(v *thing) { v.entry.Hold(); v.entry.Release() },
	}
	for name, rescue := range rescues {
		v := add(t, r, "")
		k := v.entry.id.key()
		h := r.shard(&k)
		now = now.Add(time.Minute)
		s := h.slots[k]
		found := r.stale(h)
		if len(found) == 0 || found[len(found)-1] != s && found[0] != s {
			t.Fatalf("%s: not among the %d stale", name, len(found))
		}
		rescue(v)
		if _, ended := r.expire(h, s); ended {
			t.Errorf("%s: expired all the same", name)
		}
		now = now.Add(time.Hour)
		r.Remove(v.entry)
	}
}

func TestRound(t *testing.T) {
	for _, c := range []struct{ idle, lifetime, want time.Duration }{
		{0, 0, longestRound},
		{30 * time.Minute, 24 * time.Hour, longestRound},
		{320 * time.Second, 24 * time.Hour, 10 * time.Second},
		{0, 320 * time.Second, 10 * time.Second},
		{time.Nanosecond, 0, shortestRound},
	} {
		if got := New(Options[int]{Idle: c.idle, Lifetime: c.lifetime}).round(); got != c.want {
			t.Errorf("idle %s, lifetime %s: a round of %s, want %s", c.idle, c.lifetime, got, c.want)
		}
	}
}

func TestReasonString(t *testing.T) {
	if Idle.String() != "idle" || Lifetime.String() != "lifetime" {
		t.Errorf("%s, %s", Idle, Lifetime)
	}
}
