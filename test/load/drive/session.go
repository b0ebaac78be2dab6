package drive

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Starts opens sessions at an even rate, one after the other, each on a
// connection of its own, and ends them. A latency is the time from the
// connection's first packet to the answer to initialize.
func Starts(ctx context.Context, d Door, rate float64, while time.Duration) *Report {
	ctx, cancel := context.WithTimeout(ctx, while)
	defer cancel()
	start := time.Now()
	report := &Report{Latency: histogram()}
	for range pace(ctx, rate, while) {
		report.Balance.Sent++
		latency, err := startOnce(d)
		if err != nil {
			report.Balance.count(Refused, err.Error())
			continue
		}
		report.Balance.count(Right, "")
		report.record(latency)
	}
	report.Elapsed = time.Since(start)
	return report
}

func startOnce(d Door) (time.Duration, error) {
	c := &Caller{door: d}
	start := time.Now()
	if err := c.connect(); err != nil {
		return 0, err
	}
	defer c.End()
	resp, err := c.exchange(d.post("", "", opening))
	latency := time.Since(start)
	if err == nil && resp.status != 200 {
		err = fmt.Errorf("status %d: %.200s", resp.status, resp.body)
	}
	if err != nil {
		return 0, err
	}
	c.session = string(resp.session)
	_, err = c.exchange(d.post(c.session, "", opened))
	return latency, err
}

// Sessions opens n sessions and leaves them, over a few connections.
func Sessions(ctx context.Context, d Door, n int) error {
	const openers = 8
	errs := make([]error, openers)
	var next atomic.Int64
	var opening sync.WaitGroup
	for o := range openers {
		opening.Go(func() {
			c := &Caller{door: d}
			if errs[o] = c.connect(); errs[o] != nil {
				return
			}
			defer c.Leave()
			for errs[o] == nil && ctx.Err() == nil && next.Add(1) <= int64(n) {
				errs[o] = c.open()
			}
		})
	}
	opening.Wait()
	return errors.Join(errors.Join(errs...), ctx.Err())
}
