package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestDeafServer: a server that does not read its stdin. Its calls end, in
// bounded time and memory, and nobody else notices.
func TestDeafServer(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--call-timeout", "5s", "--max-calls", "1000")
	deaf, other := open(t, g), open(t, g)
	server, _ := deaf.Server(t)
	deaf.Call(t, "deaf", `{}`)
	before := g.Resident()

	if answer := deaf.Call(t, "echo", `{}`); answer.Code() != timedOut {
		t.Errorf("a small call got %s", answer.Raw)
	}
	// Enough for any queue to fill up.
	stop := pingMeanwhile(t, other)
	var calls []*harness.Conn
	for i := range 60 {
		calls = append(calls, deaf.Send(t, harness.ToolCall(fmt.Sprintf(`"big %d"`, i), "echo", `{"pad":"`+strings.Repeat("x", 2<<20)+`"}`)))
	}
	busy := 0
	for _, c := range calls {
		resp := c.Read(t, "POST")
		m := harness.ParseMessage(t, string(resp.Body))
		switch {
		case resp.Status == 503 && m.Code() == unavailable:
			busy++
			resp.WantRetryAfter(t)
		case resp.Status == 200 && (m.Code() == timedOut || m.Code() == unavailable):
		default:
			t.Errorf("a big call got %d %s", resp.Status, harness.Short(string(resp.Body)))
		}
	}
	t.Logf("%d of %d were told to come back; the slowest call of another session meanwhile: %v", busy, len(calls), stop())
	if busy == 0 {
		t.Error("120 MiB were queued for a server that does not read")
	}
	g.WantNoGrowth(t, before, 400<<20)
	deaf.End(t)
	harness.Eventually(t, "the server is gone", func() bool { return !harness.Alive(server) })
	alive(t, other)
}

// TestNeverReads: a server that reads not even initialize.
func TestNeverReads(t *testing.T) {
	t.Parallel()
	g := broken(t, []string{"-start-delay", "10m"}, "--call-timeout", "3s")
	resp := g.Do(t, harness.Client{ID: "3"}.Initialize())
	if answer := resp.Answer(t); answer.Code() != timedOut || string(answer.ID) != "3" {
		t.Errorf("got %s", answer.Raw)
	}
	harness.Eventually(t, "no session is counted", func() bool { return g.Metric(t, "sidegate_sessions") == 0 })
}

// TestSlowStart: a server that takes its time to start is waited for.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	g := broken(t, []string{"-start-delay", "3s"})
	alive(t, open(t, g))
}
