package e2e

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// rateVariable says how many calls a second are made while gates are replaced.
const rateVariable = "TEST_ROLLING_RATE"

const (
	usualRate   = 200 // calls a second
	callsEach   = 5   // of one client, a second
	leastRolled = 4   // gates that are replaced, however short the test
)

func rollingRate(t *testing.T) int {
	said := os.Getenv(rateVariable)
	if said == "" {
		return usualRate
	}
	rate, err := strconv.Atoi(said)
	if err != nil || rate < callsEach {
		t.Fatalf("%s is %q, want calls a second, at least %d", rateVariable, said, callsEach)
	}
	return rate
}

// TestRollingRestart: two gates behind a balancer are replaced one after the
// other, again and again, and no call is lost. A client with a session goes on
// after one 404, or one stream that it could not resume, for each restart.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("each client needs a loopback address of its own, which only Linux has without more ado")
	}
	rate, end := rollingRate(t), time.Now().Add(harness.Long(t, 0))
	b := startBalancer(t)
	var gates [2]*harness.Gate
	for slot := range gates {
		gates[slot] = rollingGate(t)
		b.use(t, slot, gates[slot])
	}
	crowd := startCrowd(b.listener.Addr().String(), rate)
	defer crowd.stop()
	restarts := 0
	for ; restarts < leastRolled || time.Now().Before(end); restarts++ {
		slot := restarts % len(gates)
		replaced(t, gates[slot], restarts/2%2 == 0)
		gates[slot] = rollingGate(t)
		b.use(t, slot, gates[slot])
	}
	crowd.stop()
	crowd.judge(t, restarts)
}

// rollingGate starts a gate whose drain others have time to notice, also on a
// machine that is busy.
func rollingGate(t *testing.T) *harness.Gate {
	t.Helper()
	return harness.Start(t, harness.Setup{Flags: []string{
		"--isolation", "shared", "--links", "2", "--grace", "60s", "--drain-delay", "3s", "--max-sessions", "20000",
	}})
}

// replaced ends a gate as a kubelet does, with the hook or without.
func replaced(t *testing.T, g *harness.Gate, hook bool) {
	t.Helper()
	if hook {
		if r := harness.Exec(t, nil, "drain", "--admin", g.Admin); r.Code != 0 {
			t.Errorf("sidegate drain ended with code %d: %s", r.Code, r.Stderr)
		}
	}
	g.Signal(syscall.SIGTERM)
	if code := g.Wait(t); code != 0 {
		t.Errorf("the gate ended with code %d", code)
	}
}

// A crowd is clients of all kinds that call at a fixed rate, whether calls
// before are answered or not: one that is late catches up.
type crowd struct {
	rollers []roller
	calling sync.WaitGroup
	begun   time.Time
	over    atomic.Pointer[time.Time] // no call is due after that
	once    sync.Once

	mu     sync.Mutex
	losses []error
	lost   int
}

func startCrowd(at string, rate int) *crowd {
	c := &crowd{begun: time.Now()}
	for i := range rate / callsEach {
		c.rollers = append(c.rollers, newRoller(i, at))
	}
	every := time.Second / callsEach
	for i, r := range c.rollers {
		first := every * time.Duration(i) / time.Duration(len(c.rollers))
		c.calling.Go(func() { c.drive(r, c.begun.Add(first), every) })
	}
	return c
}

// newRoller makes the i-th client: of ten, five are modern, and of the others
// two have a stream and one is on a WebSocket.
func newRoller(i int, at string) roller {
	switch kind := i % 10; {
	case kind < 5:
		m := &modernRoller{}
		m.init("modern", i, at)
		return m
	case kind == 9:
		s := &socketRoller{}
		s.init("websocket", i, at)
		return s
	default:
		l := &legacyRoller{}
		l.init("legacy", i, at)
		if kind > 6 {
			l.listen()
		}
		return l
	}
}

func (c *crowd) drive(r roller, due time.Time, every time.Duration) {
	defer r.close()
	for n := 1; ; n++ {
		time.Sleep(time.Until(due))
		if over := c.over.Load(); over != nil && due.After(*over) {
			return
		}
		r.counts().sent.Add(1)
		if err := r.call(n); err != nil {
			c.lose(err)
		} else {
			r.counts().answered.Add(1)
		}
		due = due.Add(every)
	}
}

func (c *crowd) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost++; len(c.losses) < 10 {
		c.losses = append(c.losses, err)
	}
}

// stop lets the calls that are due be made, and waits for their answers.
func (c *crowd) stop() {
	c.once.Do(func() {
		now := time.Now()
		c.over.Store(&now)
	})
	c.calling.Wait()
}

// judge strikes the balance.
func (c *crowd) judge(t *testing.T, restarts int) {
	t.Helper()
	var all tally
	for _, r := range c.rollers {
		n := r.counts()
		for _, sum := range [][2]*atomic.Int64{
			{&all.sent, &n.sent}, {&all.answered, &n.answered}, {&all.unknown, &n.unknown}, {&all.reopened, &n.reopened},
			{&all.streams, &n.streams}, {&all.repeated, &n.repeated}, {&all.crossed, &n.crossed},
		} {
			sum[0].Add(sum[1].Load())
		}
		wantMoved(t, r, int64(restarts))
	}
	t.Logf("%d restarts in %v, %d clients: %d calls sent, %d answered; %d times a session was unknown, %d were opened anew, %d streams ended; %d calls sent again by net/http, %d crossed a goodbye",
		restarts, time.Since(c.begun).Round(time.Second), len(c.rollers), all.sent.Load(), all.answered.Load(),
		all.unknown.Load(), all.reopened.Load(), all.streams.Load(), all.repeated.Load(), all.crossed.Load())
	if all.sent.Load() != all.answered.Load() || all.sent.Load() == 0 {
		t.Errorf("of %d calls %d were answered", all.sent.Load(), all.answered.Load())
	}
	for _, err := range c.losses {
		t.Errorf("lost: %v", err)
	}
}

// wantMoved: a client with a session has opened another one at some restarts,
// and no more often than gates were replaced.
func wantMoved(t *testing.T, r roller, restarts int64) {
	t.Helper()
	n := r.counts()
	reopened, unknown := n.reopened.Load(), n.unknown.Load()
	if m, ok := r.(*modernRoller); ok {
		if unknown > 0 {
			t.Errorf("%s: it has no session, and one was unknown", m.name)
		}
		return
	}
	if reopened == 0 || reopened > restarts {
		t.Errorf("%T: %d sessions opened anew in %d restarts", r, reopened, restarts)
	}
}
