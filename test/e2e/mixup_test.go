package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// mixClients is how many clients there are at a time.
const mixClients = 200

// TestMixup puts many clients on few links. All of them count ids and progress
// tokens from 0; they cancel, vanish, come back and end their sessions at
// random, while links die. Whatever the server says for a client reaches that
// client and no other, and every call ends.
func TestMixup(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	lasts := harness.Long(t, 6*time.Second)
	for _, test := range []struct {
		name    string
		callers int // who have a token of their own; 0: nobody has one
		flags   []string
	}{
		{name: "shared, one link", flags: []string{"--isolation", "shared", "--links", "1"}},
		{name: "shared, four links", flags: []string{"--isolation", "shared", "--links", "4"}},
		{name: "principal", callers: 20, flags: []string{"--isolation", "principal"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			newMixup(t, test.callers, test.flags).run(lasts)
		})
	}
}

// A mixup is one run.
type mixup struct {
	t        *testing.T
	gate     *harness.Gate
	callers  int
	maxLinks int
	peers    []*mixPeer

	failures atomic.Int64
	mu       sync.Mutex
	counts   map[string]int
}

func newMixup(t *testing.T, callers int, flags []string) *mixup {
	const maxLinks = 32
	flags = append(flags,
		"--max-links", fmt.Sprint(maxLinks), "--warm", "2", "--link-wait", "30s", "--idle-timeout", "5s",
		"--call-timeout", "20s", "--max-bytes-in-flight", fmt.Sprint(1<<30),
		"--header-timeout", "2m") // net/http may dial a connection and use it much later
	if callers > 0 {
		flags = append(flags, "--token-file", mixTokens(t, callers))
	}
	m := &mixup{t: t, callers: callers, maxLinks: maxLinks, counts: map[string]int{}}
	m.gate = harness.Start(t, harness.Setup{Flags: flags})
	for n := range mixClients {
		m.peers = append(m.peers, m.peer(n))
	}
	return m
}

// mixTokens is a token file for so many callers.
func mixTokens(t *testing.T, callers int) string {
	t.Helper()
	var b strings.Builder
	for n := range callers {
		fmt.Fprintf(&b, "caller%d=%s\n", n, mixToken(n))
	}
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mixToken(caller int) string { return fmt.Sprintf("token-of-caller-%04d-0123456789abcdef", caller) }

// peer makes client n. Most come by Streamable HTTP; every second one can
// answer what a server asks.
func (m *mixup) peer(n int) *mixPeer {
	p := &mixPeer{mixup: m, n: n, answers: n%2 == 0, random: rand.New(rand.NewPCG(uint64(n), 1))}
	switch {
	case n%10 == 6 || n%10 == 7:
		p.dial = dialSSE
	case n%10 == 8 || n%10 == 9:
		p.dial = dialWebSocket
	default:
		p.dial = dialStreamable
	}
	if m.callers > 0 {
		p.token = mixToken(n % m.callers)
	}
	return p
}

// run lets the clients loose for a while, and looks at what is left.
func (m *mixup) run(lasts time.Duration) {
	began := time.Now()
	m.use(min(lasts, time.Second), m.peers[:30], false) // so that what is made once is made
	m.rest(m.maxLinks)
	start := m.least()
	m.t.Logf("at the start, after %.1fs: %v", time.Since(began).Seconds(), start)
	m.mu.Lock()
	clear(m.counts)
	m.mu.Unlock()

	m.use(lasts, m.peers, true)
	m.t.Logf("the clients have left after %.1fs", time.Since(began).Seconds())
	m.rest(start.children)
	m.want(start)
	m.t.Logf("all is at rest after %.1fs", time.Since(began).Seconds())
	m.report(lasts)
}

// use lets peers call until the time is over.
func (m *mixup) use(lasts time.Duration, peers []*mixPeer, kill bool) {
	ctx, cancel := context.WithTimeout(context.Background(), lasts)
	defer cancel()
	var wg sync.WaitGroup
	for _, p := range peers {
		wg.Go(func() { p.live(ctx) })
	}
	wg.Go(func() { m.watch(ctx, kill) })
	wg.Wait()
	mixHTTP.CloseIdleConnections()
}

// watch counts the children all the time, and kills one of them now and then.
func (m *mixup) watch(ctx context.Context, kill bool) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		children := m.gate.Children()
		if len(children) > m.maxLinks {
			m.fail("%d children, and --max-links is %d", len(children), m.maxLinks)
		}
		if kill && (n == 2 || n%5 == 0) && len(children) > 0 { // on a busy machine there are few looks
			syscall.Kill(children[rand.IntN(len(children))], syscall.SIGKILL) // it may have ended by itself
			m.count("links killed")
		}
	}
}

// rest waits until nothing is left of the clients.
func (m *mixup) rest(children int) {
	m.t.Helper()
	var last string
	defer func() {
		if m.t.Failed() {
			m.t.Log("left over: " + last)
		}
	}()
	harness.EventuallyWithin(m.t, 2*harness.Patience, "the gate comes to rest", func() bool {
		sessions, streams := m.gate.Metric(m.t, "sidegate_sessions"), m.gate.Metric(m.t, "sidegate_streams")
		calls, now := m.gate.Metric(m.t, "sidegate_calls_in_flight"), len(m.gate.Children())
		last = fmt.Sprintf("%v sessions, %v streams, %v calls, %d children", sessions, streams, calls, now)
		return sessions == 0 && streams == 0 && calls == 0 && now <= children
	})
}

// least is the least of a few measurements.
func (m *mixup) least() footprint {
	f := measure(m.t, m.gate)
	for range 10 {
		f = least(f, measure(m.t, m.gate))
	}
	return f
}

// want waits until the gate holds no more than it did at the start, but for
// what the measurement itself needs.
func (m *mixup) want(start footprint) {
	m.t.Helper()
	const room = 8
	var now footprint
	defer func() { m.t.Logf("at the end:   %v", now) }()
	harness.EventuallyWithin(m.t, 2*harness.Patience, "the gate is back at the start", func() bool {
		now = measure(m.t, m.gate)
		return now.goroutines <= start.goroutines+room && now.descriptors <= start.descriptors+room
	})
}

// report prints the counts.
func (m *mixup) report(lasts time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(m.counts)) {
		fmt.Fprintf(&b, "\n%8d %s", m.counts[what], what)
	}
	m.t.Logf("%d clients in %v:%s", len(m.peers), lasts, b.String())
	for _, what := range []string{
		"echo: answered", "progress: answered", "ask: answered", "cancel: error 408", "links killed",
		"streamable: sessions", "sse: sessions", "websocket: sessions", "progress notes", "questions answered",
		"connections cut in mid-call", "sessions ended in mid-call",
	} {
		if m.counts[what] == 0 {
			m.t.Errorf("%s: none, so the run has shown nothing about it", what)
		}
	}
}

func (m *mixup) count(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[what]++
}

// fail fails the test, with words for the first few failures.
func (m *mixup) fail(format string, args ...any) {
	if m.failures.Add(1) <= 20 {
		m.t.Errorf(format, args...)
		return
	}
	m.t.Fail()
}
