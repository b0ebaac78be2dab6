package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// TestKilledDuringACall: kill -9 of the server. Every call in flight is
// answered at once, in the form in which its answer began; the session is
// over, and the next is fine.
func TestKilledDuringACall(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	server, _ := s.Server(t)
	stream := s.Stream(t, "")
	waiting := s.Send(t, harness.ToolCall(`"waits"`, "sleep", `{"ms":600000}`))
	streaming := s.Begin(t, harness.ToolCallWithToken(`"streams"`, "1", "progress", `{"steps":1,"everyMs":600000}`)).Events(t)
	streaming.NextMessage(t)

	start := time.Now()
	if err := syscall.Kill(server, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	answer := waiting.Read(t, "POST").Answer(t)
	t.Logf("answered %v after the kill", time.Since(start))
	if answer.Code() != unavailable || string(answer.ID) != `"waits"` {
		t.Errorf("the waiting call got %s", answer.Raw)
	}
	if _, m := streaming.NextMessage(t); m.Code() != unavailable || string(m.ID) != `"streams"` {
		t.Errorf("the streaming call got %s", m.Raw)
	}
	streaming.WantProperEnd(t)
	stream.WantProperEnd(t)
	s.Do(t, ping("1")).WantRefusal(t, 404, noSuchSession, "1")
	alive(t, open(t, g))
}

// TestKilledWithOpenPipes: a grandchild holds the dead server's pipes open. The
// call is answered all the same.
func TestKilledWithOpenPipes(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	server, _ := s.Server(t)
	grandchild := spawn(t, s, "stubborn")
	waiting := s.Send(t, harness.ToolCall("1", "sleep", `{"ms":600000}`))
	waitForCalls(t, g, 1)
	start := time.Now()
	syscall.Kill(server, syscall.SIGKILL)
	if answer := waiting.Read(t, "POST").Answer(t); answer.Code() != unavailable {
		t.Errorf("got %s", answer.Raw)
	}
	t.Logf("answered %v after the kill", time.Since(start))
	harness.Eventually(t, "the grandchild is gone", func() bool { return !harness.Alive(grandchild) })
	alive(t, open(t, g))
}

// TestExitsDuringACall: the server's last words are in the log.
func TestExitsDuringACall(t *testing.T) {
	t.Parallel()
	g := gate(t)
	for _, code := range []int{0, 1, 139} {
		s := open(t, g)
		answer := s.Call(t, "exit", fmt.Sprintf(`{"code":%d,"stderr":"out of luck %d\n"}`, code, code))
		if answer.Code() != unavailable {
			t.Errorf("exit code %d: got %s", code, answer.Raw)
		}
		harness.Eventually(t, "the last words are in the log", func() bool {
			return strings.Contains(g.Log(), fmt.Sprintf("out of luck %d", code))
		})
	}
	alive(t, open(t, g))
}

// TestDiesAtStart: the failed start quotes the server's words, the client is
// told to come back, and readiness tells the orchestrator.
func TestDiesAtStart(t *testing.T) {
	t.Parallel()
	words := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(words, []byte("FATAL: no licence found"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := broken(t, []string{"-die-if", words}, "--link-wait", "2s")
	resp := g.Do(t, harness.Client{ID: "4"}.Initialize())
	if m := resp.Messages(t)[0]; m.Code() != unavailable || string(m.ID) != "4" || resp.Status != 503 && resp.Status != 200 {
		t.Errorf("got %d %s", resp.Status, m.Raw)
	}
	harness.Eventually(t, "the server's words are in the log", func() bool {
		return strings.Contains(g.Log(), "FATAL: no licence found")
	})
	harness.Eventually(t, "the gate is not ready", func() bool { return g.Ready(t) == 503 })
	if status := g.DoAdmin(t, harness.Bare("GET", "/livez")).Status; status != 200 {
		t.Errorf("/livez got %d: the gate itself is well", status)
	}
	if restarts := g.Metric(t, "sidegate_link_restarts_total"); restarts == 0 {
		t.Error("no restart is counted")
	}

	// The operator mends the server: the gate comes back by itself.
	if err := os.Remove(words); err != nil {
		t.Fatal(err)
	}
	harness.EventuallyWithin(t, 2*harness.Patience, "the gate is ready again", func() bool { return g.Ready(t) == 200 })
	alive(t, open(t, g))
}

// TestCrashLoopBacksOff: a server that dies at once is not started without
// pause.
func TestCrashLoopBacksOff(t *testing.T) {
	t.Parallel()
	g := broken(t, []string{"-die", "again"})
	harness.Eventually(t, "the gate is not ready", func() bool { return g.Ready(t) == 503 })
	time.Sleep(5 * time.Second)
	if restarts := g.Metric(t, "sidegate_link_restarts_total"); restarts > 100 {
		t.Errorf("%v restarts in a few seconds", restarts)
	}
	if lines := strings.Count(g.Log(), "\n"); lines > 500 {
		t.Errorf("%d lines of log in a few seconds", lines)
	}
}

// TestGateKilled: kill -9 of the gate leaves no child.
func TestGateKilled(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	for _, wrapped := range []bool{false, true} {
		t.Run(fmt.Sprintf("wrapped %v", wrapped), func(t *testing.T) {
			t.Parallel()
			var flags []string
			if wrapped {
				// As with npx: what serves is a grandchild, and gets end-of-file.
				flags = []string{"-wrap"}
			}
			g := broken(t, flags)
			s := open(t, g)
			server, parent := s.Server(t)
			harness.Eventually(t, "there is a warm child beside the session's", func() bool { return len(g.Children()) >= 2 })
			children := append(g.Children(), server, parent)
			stream := s.Stream(t, "")
			g.Kill()
			for _, pid := range children {
				if pid != g.PID() {
					harness.Eventually(t, fmt.Sprintf("process %d is gone", pid), func() bool { return !harness.Alive(pid) })
				}
			}
			stream.Rest(t)
		})
	}
}
