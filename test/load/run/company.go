package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"sidegate/test/load/drive"
	"sidegate/test/load/subject"
)

// A gathering is bad company of one kind.
type gathering struct {
	name string
	n    int
	join func(busy, stalled drive.Door) (*drive.Companion, error)
}

var gatherings = []gathering{
	{"slow readers", 10, func(busy, _ drive.Door) (*drive.Companion, error) {
		return drive.SlowReader(busy, `{"bytes":8000000}`)
	}},
	{"dead clients", 100, func(busy, _ drive.Door) (*drive.Companion, error) { return drive.DeadClient(busy) }},
	{"a stalled server", 20, func(_, stalled drive.Door) (*drive.Companion, error) { return drive.Waiting(stalled, "stall") }},
}

// company drives many callers at an even rate, alone and in bad company, and
// compares what they notice.
func company(ctx context.Context, b *Bench) error {
	gate, err := twoServers()
	if err != nil {
		return err
	}
	defer gate.Stop()
	n, rate := 1000, 2000.0
	if b.Quick {
		n, rate = 100, 500
	}
	callers, err := crew(gate, n, drive.Work{Size: small})
	if err != nil {
		return err
	}
	defer dismiss(callers)
	load := drive.Load{Callers: callers, Rate: rate}
	warm := load
	warm.For = b.For / 2
	b.load(ctx, gate, warm)
	turns := append([]gathering{{name: "nobody else"}}, gatherings...)
	for round := range b.Rounds {
		for i := range turns { // another one begins each time: who left may leave work behind
			if err := b.join(ctx, gate, load, round, turns[(i+round)%len(turns)]); err != nil {
				return err
			}
		}
	}
	for _, g := range gatherings {
		b.atMost("p99 among "+g.name+" to p99 alone", median(ratios(
			b.values("sidegate", "p99 among "+g.name), b.values("sidegate", "p99 among nobody else"))), 1.1)
	}
	return nil
}

// among notes what the callers notice.
func (b *Bench) among(ctx context.Context, gate *subject.Subject, load drive.Load, round int, who string) {
	report, _ := b.load(ctx, gate, load)
	b.note(gate, round, "median among "+who, "ms", report.Millis(50))
	b.note(gate, round, "p99 among "+who, "ms", report.Millis(99))
}

// join is among while a gathering is there. What it does when it comes is over
// before anything is measured.
func (b *Bench) join(ctx context.Context, gate *subject.Subject, load drive.Load, round int, g gathering) error {
	stalled := gate.Door
	stalled.Path = "/servers/stalled/mcp"
	var there []*drive.Companion
	defer func() {
		for _, c := range there {
			c.Leave()
		}
	}()
	for range g.n {
		c, err := g.join(gate.Door, stalled)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", g.name, err, gate.Log())
		}
		there = append(there, c)
	}
	time.Sleep(3 * time.Second)
	b.among(ctx, gate, load, round, g.name)
	return nil
}

// twoServers is a gate in front of two servers, the second of which will be
// brought to stall.
func twoServers() (*subject.Subject, error) {
	dir, err := os.MkdirTemp("", "load-gate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // it is read at the start only
	command := ""
	for i, word := range subject.Stdio() {
		if i > 0 {
			command += ", "
		}
		command += strconv.Quote(word)
	}
	file := filepath.Join(dir, "gate.yaml")
	text := fmt.Sprintf("backends:\n  busy:\n    command: [%[1]s]\n  stalled:\n    command: [%[1]s]\n    isolation: session\n    max-links: 100\n", command)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return subject.Gate(shared("--config", file, "--write-timeout", "2m", "--body-timeout", "2m"))
}
