//go:build !linux

package drive

import "time"

// A clock ticks as finely as the runtime's timers do.
type clock struct{ ticker *time.Ticker }

func newClock(interval time.Duration) (*clock, error) { return &clock{time.NewTicker(interval)}, nil }

// wait waits for the next tick.
func (c *clock) wait() { <-c.ticker.C }

func (c *clock) stop() { c.ticker.Stop() }
