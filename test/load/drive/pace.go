package drive

import (
	"context"
	"time"
)

// pace sends the time at which each call is due, at an even rate for a while,
// and never waits for who receives: the schedule is the same whatever becomes
// of the calls.
func pace(ctx context.Context, rate float64, while time.Duration) <-chan time.Time {
	total := int(rate * while.Seconds())
	due := make(chan time.Time, total)
	interval := time.Duration(float64(time.Second) / rate)
	go func() {
		defer close(due)
		clock, err := newClock(interval)
		if err != nil {
			panic(err) // no timers, no measurement
		}
		defer clock.stop()
		start := time.Now()
		for sent := 0; sent < total && ctx.Err() == nil; {
			clock.wait()
			for now := int(time.Since(start).Seconds() * rate); sent < min(now, total); sent++ {
				due <- start.Add(time.Duration(float64(sent+1) / rate * float64(time.Second)))
			}
		}
	}()
	return due
}
