package lines

import (
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// Throttle lets some events into the log and counts the others. One goroutine
// uses it.
type Throttle struct {
	limiter *rate.Limiter
	dropped int64 // since the last that passed
}

// NewThrottle lets limit events a second pass, and burst of them at once.
func NewThrottle(limit rate.Limit, burst int) *Throttle {
	return &Throttle{limiter: rate.NewLimiter(limit, burst)}
}

// Pass tells whether this event may pass, and how many did not since the last
// that did.
func (t *Throttle) Pass() (dropped int64, ok bool) {
	if !t.limiter.Allow() {
		t.dropped++
		return 0, false
	}
	dropped, t.dropped = t.dropped, 0
	return dropped, true
}

// Rest says what has not been said about what was dropped.
func (t *Throttle) Rest(log *zap.Logger) {
	if t.dropped > 0 {
		log.Info("more lines like these were dropped", zap.Int64("dropped_lines", t.dropped))
	}
}
