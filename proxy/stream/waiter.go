package stream

import (
	"sync"
	"time"
)

// A waiter is a channel and a timer that are used again and again: a call
// should not have to make them.
type waiter struct {
	ready chan struct{}
	timer *time.Timer
}

var waiters = sync.Pool{New: func() any {
	return &waiter{ready: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
}}

// wake ends a wait, or lets the next one end at once.
func (w *waiter) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// wait returns when it was woken, or after d.
func (w *waiter) wait(d time.Duration) {
	w.timer.Reset(d)
	select {
	case <-w.ready:
	case <-w.timer.C:
	}
	w.timer.Stop()
}

// reset forgets a wake that came after the wait.
func (w *waiter) reset() {
	select {
	case <-w.ready:
	default:
	}
}
