package run

import (
	"context"
	"sync"
	"time"

	"sidegate/test/load/drive"
	"sidegate/test/load/subject"
)

// How the WebSockets of the run are used.
const (
	sockets = 4
	window  = 64 // calls under way on each
)

// socketEcho keeps many calls under way on a few WebSockets, in front of one
// stdio server.
func socketEcho(ctx context.Context, b *Bench) error {
	list, err := b.start(func() (*subject.Subject, error) {
		return subject.Gate(shared("--max-calls", "1000"), subject.Stdio()...)
	})
	if err != nil {
		return err
	}
	defer stop(list)
	gate := list[0]
	door := gate.Door
	door.Path = "/ws"
	crew := make([]*drive.Socket, sockets)
	for i := range crew {
		if crew[i], err = drive.OpenSocket(door, small); err != nil {
			return err
		}
		defer crew[i].Close()
	}
	for round := range b.Rounds {
		end := b.profile(gate)
		before := gate.CPU()
		report := together(ctx, crew, b.For)
		used := gate.CPU() - before
		end()
		b.judge(gate, &report.Balance)
		b.note(gate, round, "messages per second, both ways", "1/s", 2*report.PerSecond())
		b.note(gate, round, "CPU per call", "µs", perCall(used, report))
	}
	b.atLeast("messages per second, both ways", median(b.values("sidegate", "messages per second, both ways")), 150_000)
	return nil
}

// together runs all sockets at once. Its time is that of the slowest.
func together(ctx context.Context, crew []*drive.Socket, while time.Duration) *drive.Report {
	reports := make([]*drive.Report, len(crew))
	start := time.Now()
	var running sync.WaitGroup
	for i, s := range crew {
		running.Go(func() { reports[i] = s.Run(ctx, window, while) })
	}
	running.Wait()
	for _, r := range reports[1:] {
		reports[0].Add(r)
	}
	reports[0].Elapsed = time.Since(start)
	return reports[0]
}

// largeEcho passes arguments of a megabyte to a stdio server and back.
func largeEcho(ctx context.Context, b *Bench) error {
	list, err := b.start(
		func() (*subject.Subject, error) { return subject.Serve("plain") },
		func() (*subject.Subject, error) { return subject.Gate(shared(), subject.Stdio()...) },
	)
	if err != nil {
		return err
	}
	defer stop(list)
	const callers = 32
	all, err := crews(list, callers, drive.Work{Size: 1_000_000})
	if err != nil {
		return err
	}
	b.warm(ctx, list, all)
	err = b.turns(list, func(round int, s *subject.Subject) error {
		report, used := b.load(ctx, s, drive.Load{Callers: all[s]})
		b.note(s, round, "CPU per 1,000 calls", "s", perCall(used, report)/1000)
		b.note(s, round, "calls per second", "1/s", report.PerSecond())
		b.note(s, round, "median", "ms", report.Millis(50))
		b.note(s, round, "resident afterwards", "MiB", float64(s.Resident())/(1<<20))
		return nil
	})
	for _, callers := range all {
		dismiss(callers)
	}
	b.atMost("CPU per 1,000 calls in s", median(b.values("sidegate", "CPU per 1,000 calls")), 6)
	return err
}
