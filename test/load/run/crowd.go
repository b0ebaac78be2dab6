package run

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sidegate/test/load/drive"
	"sidegate/test/load/subject"
)

// roomy are the flags of a gate for a crowd of n.
func roomy(n int) []string {
	some := strconv.Itoa(n + 500)
	return shared("--max-sessions", some, "--max-connections", some, "--idle-timeout", "2h")
}

// settle is how long memory is given to become what it stays: the runtime
// gives back slowly what opening took.
func (b *Bench) settle() time.Duration {
	if b.Quick {
		return time.Second
	}
	return 20 * time.Second
}

// idleStreams weighs streams that are open and say nothing, in a gate of its
// own for each kind and round.
func idleStreams(ctx context.Context, b *Bench) error {
	kinds := map[string]float64{drive.GetStream: 5, drive.SSE: 5, drive.WebSocket: 8}
	for _, kind := range []string{drive.GetStream, drive.SSE, drive.WebSocket} {
		figure := fmt.Sprintf("resident per stream, %s, %d of them", kind, b.Count)
		for round := range min(b.Rounds, 3) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := b.weigh(round, figure, func(d drive.Door) (func(), error) {
				if kind == drive.WebSocket {
					d.Path = "/ws"
				}
				holders, err := subject.Hold(d, kind, b.Count)
				if err != nil {
					return nil, err
				}
				return func() {
					if held, err := holders.Await(0, 0); err != nil || held.Cut > 0 {
						b.bad = append(b.bad, fmt.Sprintf("%s: of %d streams %d were cut (%v)", kind, b.Count, held.Cut, err))
					}
					holders.Close()
				}, nil
			}, b.Count); err != nil {
				return err
			}
		}
		b.atMost("kB per stream, "+kind, median(b.values("sidegate", figure)), kinds[kind])
	}
	return nil
}

// sessions weighs sessions without a stream.
func sessions(ctx context.Context, b *Bench) error {
	n := 100_000
	if b.Quick {
		n = 5000
	}
	figure := fmt.Sprintf("resident per session, %d of them", n)
	for round := range min(b.Rounds, 3) {
		err := b.weigh(round, figure, func(d drive.Door) (func(), error) { return func() {}, drive.Sessions(ctx, d, n) }, n)
		if err != nil {
			return err
		}
	}
	b.atMost("kB per session", median(b.values("sidegate", figure)), 1)
	return nil
}

// weigh starts a gate, fills it, and notes what each of n things in it takes
// above the idle gate.
func (b *Bench) weigh(round int, figure string, fill func(drive.Door) (empty func(), err error), n int) error {
	gate, err := subject.Gate(roomy(n), subject.Stdio()...)
	if err != nil {
		return err
	}
	defer gate.Stop()
	time.Sleep(b.settle() / 4)
	idle := gate.Resident()
	before, err := metrics(gate)
	if err != nil {
		return err
	}
	empty, err := fill(gate.Door)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, gate.Log())
	}
	defer empty()
	opened := gate.Resident()
	time.Sleep(b.settle())
	b.note(gate, round, figure, "kB", float64(gate.Resident()-idle)/1000/float64(n))
	b.note(gate, round, figure+", just opened", "kB", float64(opened-idle)/1000/float64(n))
	after, err := metrics(gate)
	if err != nil {
		return err
	}
	for _, part := range []struct{ name, metric string }{
		{"stacks", "go_memstats_stack_inuse_bytes"}, {"heap, live and garbage", "go_memstats_heap_inuse_bytes"},
	} {
		b.note(gate, round, figure+", of it "+part.name, "kB", (after[part.metric]-before[part.metric])/1000/float64(n))
	}
	return nil
}

// A part of the crowd: a gate with its streams.
type part struct {
	gate    *subject.Subject
	holders *subject.Holders
	callers []*drive.Caller
	teller  *drive.Caller
}

func (p *part) close() {
	dismiss(p.callers)
	if p.holders != nil {
		p.holders.Close()
	}
	p.gate.Stop()
}

// theCrowd holds streams in several gates, tells them all something, and calls
// meanwhile.
func theCrowd(ctx context.Context, b *Bench) error {
	gates, each := 8, 12_500
	if b.Quick {
		gates, each = 2, 500
	}
	var parts []*part
	defer func() {
		for _, p := range parts {
			p.close()
		}
	}()
	for range gates {
		p, err := openPart(each)
		if p != nil {
			parts = append(parts, p)
		}
		if err != nil {
			return err
		}
	}
	time.Sleep(b.settle())
	b.note(parts[0].gate, 0, "streams", "", float64(gates*each))
	b.weighAll(parts, 0, "resident, all gates, before")
	for round := range min(b.Rounds, 3) {
		if err := b.tell(ctx, parts, round, each); err != nil {
			return err
		}
	}
	b.atMost("p99 of calls in ms while all are told", worst(b.values("sidegate", "p99 of calls while all are told")), 100)
	b.atMost("MiB resident in all gates", worst(b.values("sidegate", "resident, all gates, after")), 700)
	b.atMost("streams that heard nothing, or twice, or were cut", worst(b.values("sidegate", "streams not told once each")), 0)
	return nil
}

func openPart(n int) (*part, error) {
	const callers = 8
	gate, err := subject.Gate(roomy(n), subject.Stdio()...)
	if err != nil {
		return nil, err
	}
	p := &part{gate: gate}
	if p.callers, err = crew(gate, callers, drive.Work{Size: small}); err != nil {
		return p, err
	}
	if p.teller, err = drive.Open(gate.Door, drive.Work{Tool: "notify", Args: "{}"}); err != nil {
		return p, err
	}
	p.callers = append(p.callers, p.teller)
	p.holders, err = subject.Hold(gate.Door, drive.GetStream, n)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, gate.Log())
	}
	return p, err
}

// tell has every server send a notification to all, while calls go on at 1,000
// a second, and until all have heard it.
func (b *Bench) tell(ctx context.Context, parts []*part, round, each int) error {
	var calling []*drive.Caller
	for i := range len(parts[0].callers) - 1 { // the teller is the last
		for _, p := range parts {
			calling = append(calling, p.callers[i])
		}
	}
	ctx, done := context.WithCancel(ctx)
	defer done()
	report := make(chan *drive.Report, 1)
	go func() { report <- drive.Load{Callers: calling, For: 2 * time.Minute, Rate: 1000}.Run(ctx) }()
	time.Sleep(200 * time.Millisecond)
	told := time.Now()
	for _, p := range parts {
		p.teller.Call()
	}
	var last int64
	missed := 0
	for _, p := range parts {
		held, err := p.holders.Await(round+1, time.Minute)
		if err != nil {
			return err
		}
		missed += held.Less + held.More + int(held.Cut)
		last = max(last, held.Last)
	}
	time.Sleep(time.Second - time.Since(told)) // so that there are calls enough to tell a p99
	done()
	calls := <-report
	gate := parts[0].gate
	b.judge(gate, &calls.Balance)
	b.note(gate, round, "p99 of calls while all are told", "ms", calls.Millis(99))
	b.note(gate, round, "median of calls while all are told", "ms", calls.Millis(50))
	b.note(gate, round, "longest call", "ms", calls.Millis(100))
	b.note(gate, round, "until the last stream has heard", "ms", float64(time.Unix(0, last).Sub(told).Microseconds())/1000)
	b.note(gate, round, "streams not told once each", "", float64(missed))
	b.weighAll(parts, round, "resident, all gates, after")
	return nil
}

func (b *Bench) weighAll(parts []*part, round int, figure string) {
	var sum int64
	for _, p := range parts {
		sum += p.gate.Resident()
	}
	b.note(parts[0].gate, round, figure, "MiB", float64(sum)/(1<<20))
}

func worst(list []float64) float64 {
	if len(list) == 0 {
		return median(nil)
	}
	most := list[0]
	for _, v := range list {
		most = max(most, v)
	}
	return most
}
