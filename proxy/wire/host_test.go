package wire

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestHost(t *testing.T) {
	var none *Host
	if none.Take(func() { t.Error("done by nobody") }) {
		t.Error("nobody took work")
	}
	var h Host
	done := 0
	if !h.Take(func() { done++ }) {
		t.Fatal("work was not taken")
	}
	if h.Take(func() { done += 10 }) {
		t.Error("two were taken")
	}
	if done != 0 {
		t.Error("it was done at once")
	}
	h.Serve()
	h.Serve()
	if done != 1 || h.Take(func() {}) {
		t.Errorf("done %d times; or a host that has served took more", done)
	}
}

// TestHostRace: what was taken is done, once, and what was not is not.
func TestHostRace(t *testing.T) {
	for range 1000 {
		var h Host
		var taken, done atomic.Int32
		var running sync.WaitGroup
		for range 2 {
			running.Go(func() {
				if h.Take(func() { done.Add(1) }) {
					taken.Add(1)
				}
			})
		}
		running.Go(h.Serve)
		running.Wait()
		if taken.Load() != done.Load() {
			t.Fatalf("%d taken, %d done", taken.Load(), done.Load())
		}
	}
}
