// Package run is the runs of the load harness: each puts what it measures side
// by side and takes turns between them, round after round, so that a noisy
// machine is noisy for all; and says what came of it beside what was aimed at.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"sidegate/test/load/drive"
	"sidegate/test/load/measure"
	"sidegate/test/load/subject"
)

// A Bench is one run of many scenarios.
type Bench struct {
	Quick    bool           // short, to see that it works
	Strict   bool           // a plain proxy that is missing is an error
	Rounds   int            // turns of each subject
	For      time.Duration  // how long a turn takes
	Only     *regexp.Regexp // names of scenarios
	Count    int            // streams and sessions of a crowd
	Churn    time.Duration  // how long sessions come and go
	Commit   string
	Profiles string    // a directory for profiles of the gate; empty: none
	Out      io.Writer // for a person
	Raw      io.Writer // JSON lines

	profiles int
	machine  measure.Machine
	scenario string
	results  []Result
	aims     []Aim
	bad      []string // balances that did not come out even
}

// A scenario is one thing that is looked at.
type scenario struct {
	name  string
	about string
	run   func(ctx context.Context, b *Bench) error
}

// scenarios are in the order in which they run.
var scenarios = []scenario{
	{"http-echo", "Streamable HTTP to an HTTP server, a tools/call of 200 bytes", httpEcho},
	{"modern-echo", "the same with stateless requests of 2026-07-28", modernEcho},
	{"stdio-echo", "Streamable HTTP to one stdio server that all share, a tools/call of 200 bytes", stdioEcho},
	{"websocket", "WebSocket to one stdio server, calls of 200 bytes, 64 under way on each of 4 connections", socketEcho},
	{"large", "a tools/call of 1 MB to one stdio server and back, 32 callers", largeEcho},
	{"session-start", "initialize on a connection of its own, a process of its own behind it", sessionStart},
	{"idle-gate", "a gate that nobody uses", idleGate},
	{"big-result", "results of 16 MiB through stdio, as events", bigResult},
	{"company", "busy clients beside slow readers, dead clients and a stalled server", company},
	{"idle-streams", "streams that are open and say nothing", idleStreams},
	{"sessions", "sessions without a stream, one stdio server", sessions},
	{"crowd", "open streams in several gates, a notification to all of them, and calls meanwhile", theCrowd},
	{"churn", "sessions that come and go", churn},
}

// Run runs the scenarios and prints what came of them. Its error says what
// could not be measured, or which answers were not right.
func (b *Bench) Run(ctx context.Context) error {
	b.machine = measure.ThisMachine()
	fmt.Fprintf(b.Out, "commit %s, %s, %d cores, Linux %s, %s\n", b.Commit, b.machine.Processor, b.machine.Cores, b.machine.Kernel,
		time.Now().UTC().Format(time.DateTime))
	var broken []error
	for _, s := range scenarios {
		if b.Only != nil && !b.Only.MatchString(s.name) {
			continue
		}
		b.scenario = s.name
		fmt.Fprintf(b.Out, "\n== %s: %s\n", s.name, s.about)
		start := time.Now()
		if err := s.run(ctx, b); err != nil {
			fmt.Fprintf(b.Out, "failed: %v\n", err)
			broken = append(broken, fmt.Errorf("%s: %w", s.name, err))
		}
		b.table(s.name)
		fmt.Fprintf(b.Out, "(%.0f s)\n", time.Since(start).Seconds())
	}
	for _, bad := range b.bad {
		broken = append(broken, errors.New(bad))
	}
	return errors.Join(broken...)
}

// A starter starts a subject.
type starter func() (*subject.Subject, error)

// start starts subjects; those that are not installed are left out, with the
// reason printed.
func (b *Bench) start(starters ...starter) ([]*subject.Subject, error) {
	var list []*subject.Subject
	for _, start := range starters {
		s, err := start()
		if missing := (*subject.Missing)(nil); errors.As(err, &missing) {
			fmt.Fprintln(b.Out, missing)
			if b.Strict {
				stop(list)
				return nil, missing
			}
			continue
		}
		if err != nil {
			stop(list)
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func stop(list []*subject.Subject) {
	for _, s := range list {
		s.Stop()
	}
}

// turns calls turn for each subject in each round. Who begins changes from
// round to round, so that nobody always comes after the same.
func (b *Bench) turns(list []*subject.Subject, turn func(round int, s *subject.Subject) error) error {
	for round := range b.Rounds {
		for i := range list {
			if err := turn(round, list[(i+round)%len(list)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// load drives callers at a subject, checks the balance, and returns the
// processor time that the subject used.
func (b *Bench) load(ctx context.Context, s *subject.Subject, l drive.Load) (*drive.Report, time.Duration) {
	if l.For == 0 {
		l.For = b.For
	}
	defer b.profile(s)()
	before := s.CPU()
	report := l.Run(ctx)
	used := s.CPU() - before
	b.judge(s, &report.Balance)
	return report, used
}

// judge notes a balance that is not good.
func (b *Bench) judge(s *subject.Subject, balance *drive.Balance) {
	if balance.Good() {
		return
	}
	bad := fmt.Sprintf("%s, %s: %s", b.scenario, s.Name, balance)
	fmt.Fprintln(b.Out, "NOT EVERY ANSWER WAS RIGHT:", bad)
	if s.Name == "sidegate" { // what others do is reported, and no failure of ours
		b.bad = append(b.bad, bad)
	}
}

// perCall is processor time for each call, in microseconds.
func perCall(used time.Duration, r *drive.Report) float64 {
	return float64(used.Nanoseconds()) / 1000 / float64(max(r.Balance.Ended[drive.Right], 1))
}

// crew opens n sessions.
func crew(s *subject.Subject, n int, w drive.Work) ([]*drive.Caller, error) {
	var list []*drive.Caller
	for range n {
		c, err := drive.Open(s.Door, w)
		if err != nil {
			dismiss(list)
			return nil, fmt.Errorf("%s: session %d: %w\n%s", s.Name, len(list)+1, err, s.Log())
		}
		list = append(list, c)
	}
	return list, nil
}

func dismiss(list []*drive.Caller) {
	for _, c := range list {
		c.End()
	}
}

// crews opens n sessions at each subject.
func crews(list []*subject.Subject, n int, w drive.Work) (map[*subject.Subject][]*drive.Caller, error) {
	all := map[*subject.Subject][]*drive.Caller{}
	for _, s := range list {
		callers, err := crew(s, n, w)
		if err != nil {
			return nil, err
		}
		all[s] = callers
	}
	return all, nil
}

// Strict tells whether the environment lets nothing be missing.
func Strict() bool { return os.Getenv("TEST_STRICT") == "1" }
