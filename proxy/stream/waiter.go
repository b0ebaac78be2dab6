package stream

import (
	"sync"
	"sync/atomic"
	"time"
)

// A waiter is a channel and a timer that are used again and again: a call
// should not have to make them. Nor is the timer stopped and set for each wait,
// which is over long before: it rings when it may, too soon for most, and the
// wait goes on.
type waiter struct {
	woken atomic.Bool
	ready chan struct{} // of a wake, or of the timer
	timer *time.Timer
	rings time.Time // when the timer does; only who waits touches it
}

var waiters = sync.Pool{New: func() any { return &waiter{ready: make(chan struct{}, 1)} }}

// wake ends a wait, or lets the next one end at once.
func (w *waiter) wake() {
	w.woken.Store(true)
	w.ring()
}

func (w *waiter) ring() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// wait returns when it was woken, or after d.
func (w *waiter) wait(d time.Duration) {
	now := time.Now()
	for due := now.Add(d); !w.woken.Load() && now.Before(due); now = time.Now() {
		if !w.rings.After(now) || w.rings.After(due) {
			w.set(due.Sub(now))
			w.rings = due
		}
		<-w.ready
	}
}

func (w *waiter) set(d time.Duration) {
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.ring)
		return
	}
	w.timer.Reset(d)
}

// reset forgets a wake that came after the wait.
func (w *waiter) reset() {
	w.woken.Store(false)
	select {
	case <-w.ready:
	default:
	}
}
