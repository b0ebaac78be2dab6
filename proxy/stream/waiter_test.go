package stream

import (
	"sync"
	"testing"
	"time"
)

// TestWaiter: a wait lasts until it is woken, or as long as it may, whatever the
// timer was set to for the ones before.
func TestWaiter(t *testing.T) {
	w := waiters.New().(*waiter)
	const short, long = 10 * time.Millisecond, 40 * time.Millisecond
	lasts := func(d time.Duration) {
		t.Helper()
		began := time.Now()
		w.wait(d)
		if took := time.Since(began); took < d {
			t.Errorf("it waited for %v and not for %v", took, d)
		}
		w.reset()
	}
	lasts(short)
	lasts(long)
	w.wake()
	w.reset()
	lasts(short) // the wake was for the wait before
	wokenOnce(w, time.Hour)
	lasts(short) // though the timer is set for later
	wokenOnce(w, short)
	lasts(long) // and the timer rings meanwhile
}

// wokenOnce has w wait for d, or until it is woken in a moment.
func wokenOnce(w *waiter, d time.Duration) {
	var waking sync.WaitGroup
	waking.Go(func() { time.Sleep(time.Millisecond); w.wake() })
	w.wait(d)
	waking.Wait()
	w.reset()
}

// TestWaiterKeepsItsTimer: waits that are woken do not set the timer each time.
func TestWaiterKeepsItsTimer(t *testing.T) {
	w := waiters.New().(*waiter)
	wokenOnce(w, time.Minute)
	rings := w.rings
	for range 100 {
		wokenOnce(w, time.Minute)
	}
	if rings.IsZero() || !w.rings.Equal(rings) {
		t.Errorf("the timer was set again: it was to ring at %v, and now at %v", rings, w.rings)
	}
}
