package run

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sidegate/test/load/drive"
	"sidegate/test/load/measure"
	"sidegate/test/load/subject"
)

// big is a tool's result, and what its message is larger.
const (
	big      = 16 << 20
	overhead = 200
)

// bigResult fetches results of 16 MiB as events, one and then ten at once,
// beside a client that has a server of its own and should notice nothing.
func bigResult(ctx context.Context, b *Bench) error {
	for round := range min(b.Rounds, 3) {
		if err := b.bigRound(ctx, round); err != nil {
			return err
		}
	}
	b.atMost("peak above idle to the message, one at a time", median(b.values("sidegate", peakOf(1))), 2.5)
	b.atMost("peak above idle to the budget of bytes in flight, ten at once", median(b.values("sidegate", peakOf(10)))*big/(256<<20), 1)
	b.atMost("median of others with ten at once to without", median(ratios(
		b.values("sidegate", othersOf(10)+", median"), b.values("sidegate", othersOf(0)+", median"))), 1.1)
	return nil
}

func peakOf(n int) string   { return fmt.Sprintf("peak above idle, %d at once", n) }
func othersOf(n int) string { return fmt.Sprintf("others' calls, %d at once", n) }

func (b *Bench) bigRound(ctx context.Context, round int) error {
	gate, err := subject.Gate([]string{"--warm", "0", "--max-message", "17MiB"}, subject.Stdio()...)
	if err != nil {
		return err
	}
	defer gate.Stop()
	others, err := crew(gate, 4, drive.Work{Size: small})
	if err != nil {
		return err
	}
	defer dismiss(others)
	work := drive.Work{Tool: "big", Args: fmt.Sprintf(`{"bytes":%d}`, big-overhead), Want: big - overhead}
	callers, err := crew(gate, 10, work)
	if err != nil {
		return err
	}
	defer dismiss(callers)
	for _, n := range []int{0, 1, 10} {
		if err := b.fetchBig(ctx, round, gate, callers[:n], others); err != nil {
			return err
		}
	}
	time.Sleep(b.settle() / 4)
	b.note(gate, round, "resident afterwards", "MiB", float64(gate.Resident())/(1<<20))
	return nil
}

// fetchBig has each caller fetch a result while the others call at an even
// rate, and looks at the gate's peak.
func (b *Bench) fetchBig(ctx context.Context, round int, gate *subject.Subject, callers, others []*drive.Caller) error {
	pid := gate.PIDs()[0]
	if err := measure.ResetPeak(pid); err != nil {
		return err
	}
	idle := gate.Resident()
	start := time.Now()
	var longest time.Duration
	var fetching sync.WaitGroup
	fetching.Go(func() {
		report := drive.Load{Callers: others, For: max(b.For/2, time.Second), Rate: 400}.Run(ctx)
		b.judge(gate, &report.Balance)
		b.note(gate, round, othersOf(len(callers))+", median", "ms", report.Millis(50))
		b.note(gate, round, othersOf(len(callers))+", p99", "ms", report.Millis(99))
	})
	report := drive.Once(callers)
	longest = time.Since(start)
	fetching.Wait()
	if len(callers) == 0 {
		return nil
	}
	b.judge(gate, &report.Balance)
	b.note(gate, round, peakOf(len(callers)), "messages", float64(measure.Peak(pid)-idle)/big)
	b.note(gate, round, fmt.Sprintf("until all have theirs, %d at once", len(callers)), "ms", float64(longest.Microseconds())/1000)
	return nil
}
