package drive

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Load is callers that are driven for a while.
type Load struct {
	Callers []*Caller
	For     time.Duration
	Rate    float64 // calls a second of all together; 0: each caller calls as soon as it has its answer
}

// A Report is what came of a load.
type Report struct {
	Balance Balance
	Elapsed time.Duration
	Latency *hdrhistogram.Histogram // of all calls, in nanoseconds; at a fixed rate from when a call was due
}

// PerSecond is how many calls had their answer.
func (r *Report) PerSecond() float64 {
	return float64(r.Balance.Ended[Right]) / r.Elapsed.Seconds()
}

// Millis is a quantile of the latency in milliseconds.
func (r *Report) Millis(quantile float64) float64 {
	return float64(r.Latency.ValueAtQuantile(quantile)) / 1e6
}

// histogram has room for latencies from a microsecond to a few minutes.
func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1000, 300e9, 3) }

// Run drives the callers. A caller finishes the call it is at when the time is
// over.
func (l Load) Run(ctx context.Context) *Report {
	ctx, cancel := context.WithTimeout(ctx, l.For)
	defer cancel()
	var due <-chan time.Time
	if l.Rate > 0 {
		due = pace(ctx, l.Rate, l.For)
	}
	before := l.balance()
	start := time.Now()
	latencies := make([][]time.Duration, len(l.Callers))
	var running sync.WaitGroup
	for i, c := range l.Callers {
		running.Go(func() {
			if due == nil {
				latencies[i] = c.closed(ctx)
			} else {
				latencies[i] = c.scheduled(due)
			}
		})
	}
	running.Wait()
	report := &Report{Balance: l.since(before), Elapsed: time.Since(start), Latency: histogram()}
	for _, list := range latencies {
		for _, latency := range list {
			report.record(latency)
		}
	}
	return report
}

// record notes a latency; what is beyond the histogram's range counts as its
// end.
func (r *Report) record(latency time.Duration) {
	h := r.Latency
	h.RecordValue(min(max(int64(latency), h.LowestTrackableValue()), h.HighestTrackableValue()))
}

// Add joins two reports.
func (r *Report) Add(other *Report) {
	r.Balance.Add(other.Balance)
	r.Elapsed += other.Elapsed
	r.Latency.Merge(other.Latency)
}

// balance adds up what the callers have done so far.
func (l Load) balance() Balance {
	var sum Balance
	for _, c := range l.Callers {
		sum.Add(c.balance)
	}
	return sum
}

func (l Load) since(before Balance) Balance {
	now := l.balance()
	now.Sent -= before.Sent
	now.Twice -= before.Twice
	now.Late -= before.Late
	for v := range now.Ended {
		now.Ended[v] -= before.Ended[v]
	}
	return now
}

// closed calls as soon as there is an answer, and returns how long each call
// took.
func (c *Caller) closed(ctx context.Context) []time.Duration {
	var list []time.Duration
	for start := time.Now(); ctx.Err() == nil; {
		if c.Call() == Lost {
			time.Sleep(time.Millisecond) // a server that is gone is not asked a million times
		}
		now := time.Now()
		list = append(list, now.Sub(start))
		start = now
	}
	return list
}

// scheduled calls when it is due, or as soon afterwards as this caller is
// free: the wait counts, else a server that stalls would look good by being
// asked less.
func (c *Caller) scheduled(due <-chan time.Time) []time.Duration {
	var list []time.Duration
	for at := range due {
		if time.Since(at) > patience {
			c.balance.Late++
			continue
		}
		c.Call()
		list = append(list, time.Since(at))
	}
	return list
}

// Once has each caller make one call, all at the same time.
func Once(list []*Caller) *Report {
	l := Load{Callers: list}
	before := l.balance()
	start := time.Now()
	latencies := make([]time.Duration, len(list))
	var running sync.WaitGroup
	for i, c := range list {
		running.Go(func() {
			c.Call()
			latencies[i] = time.Since(start)
		})
	}
	running.Wait()
	report := &Report{Balance: l.since(before), Elapsed: time.Since(start), Latency: histogram()}
	for _, latency := range latencies {
		report.record(latency)
	}
	return report
}
