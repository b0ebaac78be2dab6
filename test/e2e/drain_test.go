package e2e

import (
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// TestDrain: unready first, no new sessions, calls finish, streams end
// properly, children end, exit 0.
func TestDrain(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	for name, sig := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gate(t, "--grace", "40s")
			s := open(t, g)
			children := g.Children()
			stream := s.Stream(t, "")
			waiting := s.Send(t, harness.ToolCall("1", "sleep", `{"ms":4000}`))
			streaming := s.Begin(t, harness.ToolCallWithToken("2", "2", "progress", `{"steps":40,"everyMs":100,"tag":"on"}`)).Events(t)
			waitForCalls(t, g, 2)
			if status := g.Ready(t); status != 200 {
				t.Errorf("/readyz got %d before the end began", status)
			}

			g.Signal(sig)
			harness.Eventually(t, "the gate is not ready", func() bool { return g.Ready(t) == 503 })
			if status := g.DoAdmin(t, harness.Bare("GET", "/livez")).Status; status != 200 {
				t.Errorf("/livez got %d while calls finish", status)
			}
			wantNoNewSession(t, g)

			if got := waiting.Read(t, "POST").Answer(t).Structured(t); got != `{"slept":true}` {
				t.Errorf("the call in flight got %s", got)
			}
			_, messages := messagesOf(t, streaming, 41)
			wantSteps(t, messages, "on", 40)
			streaming.WantProperEnd(t)
			stream.WantProperEnd(t)
			if code := g.Wait(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			for _, pid := range children {
				if harness.Alive(pid) {
					t.Errorf("child %d is still there", pid)
				}
			}
		})
	}
}

// wantNoNewSession: a draining gate either refuses a connection or says 503.
func wantNoNewSession(t *testing.T, g *harness.Gate) {
	t.Helper()
	c, err := g.TryDial()
	if err != nil {
		return
	}
	defer c.Close()
	c.Send(t, harness.Client{}.Initialize().Bytes(g.Host()))
	exchange, err := c.TryBegin("POST")
	if err != nil {
		return
	}
	resp := exchange.Finish(t)
	resp.WantRefusal(t, 503, unavailable, "0")
	resp.WantRetryAfter(t)
}

// TestDrainAtRest takes no grace.
func TestDrainAtRest(t *testing.T) {
	t.Parallel()
	g := gate(t, "--grace", "10m")
	s := open(t, g)
	stream := s.Stream(t, "")
	g.Signal(syscall.SIGTERM)
	stream.WantProperEnd(t)
	if code := g.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestGraceRunsOut: the calls that did not finish are answered all the same,
// and the exit code says what happened.
func TestGraceRunsOut(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--grace", "2s")
	s := open(t, g)
	children := g.Children()
	waiting := s.Send(t, harness.ToolCall("1", "sleep", `{"ms":600000}`))
	streaming := s.Begin(t, harness.ToolCallWithToken("2", "2", "progress", `{"steps":1,"everyMs":600000}`)).Events(t)
	streaming.NextMessage(t)
	waitForCalls(t, g, 2)
	g.Signal(syscall.SIGTERM)
	if answer := waiting.Read(t, "POST").Answer(t); answer.Error == nil || string(answer.ID) != "1" {
		t.Errorf("the waiting call got %s", answer.Raw)
	}
	if _, answer := streaming.NextMessage(t); answer.Error == nil || string(answer.ID) != "2" {
		t.Errorf("the streaming call got %s", answer.Raw)
	}
	streaming.WantProperEnd(t)
	if code := g.Wait(t); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	for _, pid := range children {
		if harness.Alive(pid) {
			t.Errorf("child %d is still there", pid)
		}
	}
}

// TestSecondSignalKills: whoever sends a second one does not want to wait.
func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--grace", "10m")
	s := open(t, g)
	children := g.Children()
	s.Send(t, harness.ToolCall("1", "sleep", `{"ms":600000}`))
	waitForCalls(t, g, 1)
	g.Harm()
	g.Signal(syscall.SIGTERM)
	harness.Eventually(t, "the gate is not ready", func() bool { return g.Ready(t) == 503 })
	time.Sleep(500 * time.Millisecond)
	if g.Ended() {
		t.Fatal("the gate did not wait for the call")
	}
	g.Signal(syscall.SIGTERM)
	if code := g.Wait(t); code == 0 {
		t.Error("exit code 0 after a second signal")
	}
	for _, pid := range children {
		harness.Eventually(t, "the child is gone", func() bool { return !harness.Alive(pid) })
	}
}
