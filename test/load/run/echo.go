package run

import (
	"context"
	"fmt"

	"sidegate/test/load/drive"
	"sidegate/test/load/subject"
)

// small is the size of an ordinary call.
const small = 200

// inFront starts everything that can stand in front of an HTTP server.
func (b *Bench) inFront(addr string) ([]*subject.Subject, error) {
	return b.start(
		func() (*subject.Subject, error) { return subject.Direct(addr), nil },
		func() (*subject.Subject, error) { return subject.Relay(addr) },
		func() (*subject.Subject, error) { return subject.Nginx(addr) },
		func() (*subject.Subject, error) { return subject.HAProxy(addr) },
		func() (*subject.Subject, error) {
			return subject.Gate([]string{"--backend", "http://" + addr + "/mcp"})
		},
	)
}

// httpEcho compares what stands in front of an HTTP server.
func httpEcho(ctx context.Context, b *Bench) error {
	server, err := subject.Serve("fast")
	if err != nil {
		return err
	}
	defer server.Stop()
	list, err := b.inFront(server.Door.Addr)
	if err != nil {
		return err
	}
	defer stop(list)
	if err := b.throughput(ctx, list, 32); err != nil {
		return err
	}
	if err := b.throughput(ctx, list, 1); err != nil {
		return err
	}
	if err := b.halfLoad(ctx, list); err != nil {
		return err
	}
	b.atMost("CPU per request to HAProxy's, 32 callers", b.against("haproxy", cpuOf(32), cpuOf(32)), 0.75)
	b.atMost("CPU per request to HAProxy's, 1 caller", b.against("haproxy", cpuOf(1), cpuOf(1)), 1.2)
	b.atLeast("throughput to HAProxy's, 32 callers", b.against("haproxy", callsOf(32), callsOf(32)), 1.05)
	b.atMost("added median latency to HAProxy's, half load", b.addedTo("haproxy", halfMedian), 1)
	b.atMost("added p99 latency to HAProxy's, half load", b.addedTo("haproxy", halfP99), 1.5)
	return nil
}

// modernEcho is httpEcho with 32 modern clients and a modern server.
func modernEcho(ctx context.Context, b *Bench) error {
	server, err := subject.Serve("fast", "-modern")
	if err != nil {
		return err
	}
	defer server.Stop()
	list, err := b.inFront(server.Door.Addr)
	if err != nil {
		return err
	}
	defer stop(list)
	for _, s := range list {
		s.Door.Modern = true
	}
	if err := b.throughput(ctx, list, 32); err != nil {
		return err
	}
	b.atMost("CPU per request to HAProxy's, 32 callers", b.against("haproxy", cpuOf(32), cpuOf(32)), 0.75)
	return nil
}

func cpuOf(callers int) string   { return "CPU per call, " + many(callers) }
func callsOf(callers int) string { return "calls per second, " + many(callers) }

func many(callers int) string {
	if callers == 1 {
		return "1 caller"
	}
	return fmt.Sprint(callers, " callers")
}

// throughput lets callers call as fast as they have their answers.
func (b *Bench) throughput(ctx context.Context, list []*subject.Subject, callers int) error {
	all, err := crews(list, callers, drive.Work{Size: small})
	if err != nil {
		return err
	}
	b.warm(ctx, list, all)
	err = b.turns(list, func(round int, s *subject.Subject) error {
		report, used := b.load(ctx, s, drive.Load{Callers: all[s]})
		b.note(s, round, callsOf(callers), "1/s", report.PerSecond())
		if s.Name != "direct" {
			b.note(s, round, cpuOf(callers), "µs", perCall(used, report))
		}
		b.note(s, round, "median, "+many(callers), "ms", report.Millis(50))
		b.note(s, round, "p99, "+many(callers), "ms", report.Millis(99))
		return nil
	})
	for _, callers := range all {
		dismiss(callers)
	}
	return err
}

// warm lets every subject run for a while before its first turn.
func (b *Bench) warm(ctx context.Context, list []*subject.Subject, all map[*subject.Subject][]*drive.Caller) {
	for _, s := range list {
		b.load(ctx, s, drive.Load{Callers: all[s], For: b.For / 4})
	}
}

const (
	halfMedian = "median, half load"
	halfP99    = "p99, half load"
)

// halfLoad drives all at the same rate, half of what HAProxy, or else the
// gate, can do.
func (b *Bench) halfLoad(ctx context.Context, list []*subject.Subject) error {
	full := b.values("haproxy", callsOf(32))
	if len(full) == 0 {
		full = b.values("sidegate", callsOf(32))
	}
	rate := median(full) / 2
	fmt.Fprintf(b.Out, "half load is %.0f calls per second\n", rate)
	all, err := crews(list, 32, drive.Work{Size: small})
	if err != nil {
		return err
	}
	err = b.turns(list, func(round int, s *subject.Subject) error {
		report, used := b.load(ctx, s, drive.Load{Callers: all[s], Rate: rate})
		b.note(s, round, halfMedian, "ms", report.Millis(50))
		b.note(s, round, halfP99, "ms", report.Millis(99))
		if s.Name != "direct" {
			b.note(s, round, "CPU per call, half load", "µs", perCall(used, report))
		}
		return nil
	})
	for _, callers := range all {
		dismiss(callers)
	}
	return err
}

// addedTo compares what the gate adds to a latency with what another adds, the
// medians over the rounds.
func (b *Bench) addedTo(other, figure string) float64 {
	direct := median(b.values("direct", figure))
	return (median(b.values("sidegate", figure)) - direct) / (median(b.values(other, figure)) - direct)
}

// stdioEcho compares the gate in front of a stdio server that all share with a
// plain proxy and a plain server of HTTP.
func stdioEcho(ctx context.Context, b *Bench) error {
	fast, err := subject.Serve("fast")
	if err != nil {
		return err
	}
	defer fast.Stop()
	list, err := b.start(
		func() (*subject.Subject, error) { return subject.Serve("plain") },
		func() (*subject.Subject, error) { return subject.HAProxy(fast.Door.Addr) },
		func() (*subject.Subject, error) { return subject.Gate(shared(), subject.Stdio()...) },
	)
	if err != nil {
		return err
	}
	defer stop(list)
	for _, callers := range []int{32, 256} {
		if err := b.throughput(ctx, list, callers); err != nil {
			return err
		}
		b.atMost(fmt.Sprintf("CPU per call of the gate in µs, %d callers", callers), median(b.values("sidegate", cpuOf(callers))), 20)
		b.atMost(fmt.Sprintf("CPU per call to HAProxy's, %d callers", callers), b.against("haproxy", cpuOf(callers), cpuOf(callers)), 1)
		b.atLeast(fmt.Sprintf("throughput to a bare net/http server's, %d callers", callers),
			b.against("plain", callsOf(callers), callsOf(callers)), 1)
	}
	if err := b.oneSession(ctx, list[len(list)-1]); err != nil {
		return err
	}
	return b.peers(ctx)
}

// oneSession lets 32 callers share one session of the gate's, as a client does
// that calls many tools at once.
func (b *Bench) oneSession(ctx context.Context, gate *subject.Subject) error {
	work := drive.Work{Size: small}
	first, err := drive.Open(gate.Door, work)
	if err != nil {
		return err
	}
	callers := []*drive.Caller{first}
	defer func() {
		for _, c := range callers[1:] {
			c.Leave()
		}
		first.End()
	}()
	for len(callers) < 32 {
		c, err := first.Join(work)
		if err != nil {
			return err
		}
		callers = append(callers, c)
	}
	for round := range b.Rounds {
		report, used := b.load(ctx, gate, drive.Load{Callers: callers})
		b.note(gate, round, "calls per second, 32 callers in one session", "1/s", report.PerSecond())
		b.note(gate, round, "CPU per call, 32 callers in one session", "µs", perCall(used, report))
	}
	return nil
}

// peers lets gates that others wrote do the same with 32 callers. They take
// fewer turns: they are slow, and that is seen soon.
func (b *Bench) peers(ctx context.Context) error {
	list, err := b.start(
		func() (*subject.Subject, error) { return subject.MCPProxy(subject.Stdio()...) },
		func() (*subject.Subject, error) { return subject.Supergateway(subject.Stdio()...) },
	)
	if err != nil || len(list) == 0 {
		return err
	}
	defer stop(list)
	rounds := b.Rounds
	b.Rounds = min(rounds, 2)
	defer func() { b.Rounds = rounds }()
	return b.throughput(ctx, list, 32)
}

// shared are the flags of a gate whose clients share one link.
func shared(more ...string) []string {
	return append([]string{"--isolation", "shared", "--links", "1", "--warm", "0"}, more...)
}
