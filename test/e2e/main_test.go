// Package e2e tests the gate as its users meet it: the real binary, real
// sockets, a real tool server. The tests are written from what was asked for
// and not from the code, so they say what done means. They end with nothing
// running that they started.
package e2e

import (
	"os"
	"testing"

	"sidegate/test/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// The JSON-RPC codes that a refusal can have. The gate's own are HTTP statuses
// as positive numbers.
const (
	notJSON        = -32700
	invalidRequest = -32600
	noSuchSession  = 404
	tooLarge       = 413
	tooMany        = 429
	badGateway     = 502
	unavailable    = 503
	timedOut       = 504
)

// limit is the default of --max-message, 16 MiB.
const limit = 16 << 20

// gate starts a gate with flags in front of a fixture that behaves.
func gate(t *testing.T, flags ...string) *harness.Gate {
	t.Helper()
	return harness.Start(t, harness.Setup{Flags: flags})
}

// broken starts a gate in front of a fixture with flags of its own.
func broken(t *testing.T, fixture []string, flags ...string) *harness.Gate {
	t.Helper()
	return harness.Start(t, harness.Setup{Flags: flags, Fixture: fixture})
}

// open opens a session of the latest revision.
func open(t *testing.T, g *harness.Gate) *harness.Session {
	t.Helper()
	return g.Open(t, harness.Client{})
}

// ping is a small request that every server answers.
func ping(id string) string { return harness.RPC(id, "ping", "") }

// alive fails the test if the session does not answer.
func alive(t *testing.T, s *harness.Session) {
	t.Helper()
	if got := s.Call(t, "echo", `{"alive":true}`).Structured(t); got != `{"alive":true}` {
		t.Errorf("echo came back as %s", got)
	}
}
