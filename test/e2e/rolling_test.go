package e2e

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// rateVariable says how many calls a second are made while gates are replaced,
// and that this machine is to carry them: without it nothing is said of time.
const rateVariable = "TEST_ROLLING_RATE"

const (
	usualRate   = 200 // calls a second
	callsEach   = 5   // of one client, a second
	leastRolled = 4   // gates that are replaced, however short the test
)

// rollingRate is the rate, and whether it was asked for.
func rollingRate(t *testing.T) (rate int, asked bool) {
	said := os.Getenv(rateVariable)
	if said == "" {
		return usualRate, false
	}
	rate, err := strconv.Atoi(said)
	if err != nil || rate < callsEach {
		t.Fatalf("%s is %q, want calls a second, at least %d", rateVariable, said, callsEach)
	}
	return rate, true
}

// TestRollingRestart: two gates behind a balancer are replaced one after the
// other, again and again. No call is lost, and the tool servers have processed
// each once. A restart costs a client with a session one 404, and a stream of
// it or a listen one end in good order.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("each client needs a loopback address of its own, which only Linux has without more ado")
	}
	rate, asked := rollingRate(t)
	end, ledger := time.Now().Add(harness.Long(t, 0)), filepath.Join(t.TempDir(), "ledger")
	b := startBalancer(t)
	var gates [2]*harness.Gate
	for slot := range gates {
		gates[slot] = rollingGate(t, ledger)
		b.use(t, slot, gates[slot])
	}
	var restarts atomic.Int64
	crowd := startCrowd(b.listener.Addr().String(), rate, &restarts)
	defer crowd.stop()
	for restarts.Load() < leastRolled || time.Now().Before(end) {
		crowd.settle(t)
		slot := (restarts.Add(1) - 1) % int64(len(gates))
		replaced(t, gates[slot], restarts.Load()/2%2 == 0)
		gates[slot] = rollingGate(t, ledger)
		b.use(t, int(slot), gates[slot])
	}
	crowd.stop()
	crowd.judge(t)
	wantEachOnce(t, crowd.rollers, ledger)
	if carried := crowd.carried(); asked && carried < 0.95*float64(rate) {
		t.Errorf("of %d calls a second %.0f were carried: this machine is too slow, or too busy", rate, carried)
	}
}

// rollingGate starts a gate whose drain others have time to notice, also on a
// machine that is busy. Its tool servers have one thread each: with more, eight
// of them wake one another rather than work.
func rollingGate(t *testing.T, ledger string) *harness.Gate {
	t.Helper()
	return harness.Start(t, harness.Setup{Fixture: []string{"-ledger", ledger}, Flags: []string{
		"--isolation", "shared", "--links", "2", "--grace", "60s", "--drain-delay", "3s", "--max-sessions", "20000", "--env", "GOMAXPROCS=1",
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

// wantEachOnce: what was sent is what the tool servers have processed, each call
// one time.
func wantEachOnce(t *testing.T, rollers []roller, ledger string) {
	t.Helper()
	processed, err := harness.Ledger(ledger)
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for _, r := range rollers {
		p := r.self()
		for n := 1; n <= int(p.sent.Load()); n++ {
			if times := processed[p.token(n)]; times != 1 {
				if wrong++; wrong <= 10 {
					t.Errorf("%s was processed %d times", p.token(n), times)
				}
			}
			delete(processed, p.token(n))
		}
	}
	if wrong > 0 || len(processed) > 0 {
		t.Errorf("%d calls were not processed once, and %d were that nobody has sent", wrong, len(processed))
	}
}
