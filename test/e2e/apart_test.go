package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestEqualIDsAndTokens: two clients with equal JSON-RPC ids and progress
// tokens, at the same time, are never mixed up.
func TestEqualIDsAndTokens(t *testing.T) {
	t.Parallel()
	g := gate(t)
	var wg sync.WaitGroup
	for _, who := range []string{"anna", "bert"} {
		s := open(t, g)
		wg.Go(func() {
			for round := range 30 {
				tag := fmt.Sprintf("%s-%d", who, round)
				resp := s.Do(t, harness.ToolCallWithToken("1", `"token"`, "progress", fmt.Sprintf(`{"steps":5,"everyMs":2,"tag":%q}`, tag)))
				wantSteps(t, resp.Messages(t), tag, 5)
			}
		})
	}
	wg.Wait()
}

// wantSteps checks for the messages of one call of tool progress, complete and
// in order, with nobody else's between them.
func wantSteps(t *testing.T, messages []harness.Message, tag string, steps int) {
	t.Helper()
	if len(messages) != steps+1 {
		t.Errorf("%s: %d messages, want %d and the answer", tag, len(messages), steps)
		return
	}
	for i, m := range messages[:steps] {
		if want := fmt.Sprintf(`"message":"%s %d"`, tag, i+1); !strings.Contains(string(m.Params), want) {
			t.Errorf("%s: step %d is %s", tag, i+1, harness.Short(m.Raw))
		}
	}
	if got, want := messages[steps].Structured(t), fmt.Sprintf(`{"tag":%q,"steps":%d}`, tag, steps); got != want {
		t.Errorf("%s: the answer is %s", tag, got)
	}
}

// TestCallsOfOneSessionOverlap: calls with different ids and tokens run at the
// same time in one session, and each stream has its own messages only.
func TestCallsOfOneSessionOverlap(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			tag := fmt.Sprintf("call-%d", i)
			resp := s.Do(t, harness.ToolCallWithToken(fmt.Sprint(i), fmt.Sprintf(`"%d"`, i), "progress", fmt.Sprintf(`{"steps":20,"everyMs":5,"tag":%q}`, tag)))
			wantSteps(t, resp.Messages(t), tag, 20)
		})
	}
	wg.Wait()
}

// TestAnswersCannotCross: a client cannot answer a question of another's
// server.
func TestAnswersCannotCross(t *testing.T) {
	t.Parallel()
	g := gate(t)
	a, b := open(t, g), open(t, g)
	events := a.Begin(t, harness.ToolCall("1", "ask", `{"method":"roots/list"}`)).Events(t)
	_, question := events.NextMessage(t)
	b.Accepted(t, harness.Reply(string(question.ID), `{"roots":["forged"]}`))
	a.Accepted(t, harness.Reply(string(question.ID), `{"roots":["mine"]}`))
	if _, answer := events.NextMessage(t); !strings.Contains(answer.Raw, "mine") {
		t.Errorf("got %s", answer.Raw)
	}
}

// TestTenClientsVanish: clients that are gone without a DELETE, in every state
// that a client can be in. Their servers end within the idle time.
func TestTenClientsVanish(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--idle-timeout", "3s", "--warm", "1")
	harness.Eventually(t, "one server is warm", func() bool { return len(g.Children()) == 1 })
	var servers []int
	for i := range 10 {
		s := open(t, g)
		pid, _ := s.Server(t)
		servers = append(servers, pid)
		switch i % 5 {
		case 0: // it just never comes back
		case 1:
			s.BeginStream(t, "").Cut()
		case 2:
			s.Send(t, harness.ToolCall("1", "sleep", `{"ms":500}`)).Conn.Close()
		case 3:
			events := s.Begin(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":20,"everyMs":50}`)).Events(t)
			events.NextMessage(t)
			events.Cut()
		case 4:
			r := s.As(harness.Post(sizedCall("1", 1000)))
			c := g.Dial(t)
			c.Send(t, append(r.Head(g.Host()), r.Body[:500]...))
			c.Conn.Close()
		}
	}
	for _, pid := range servers {
		harness.Eventually(t, "the vanished client's server is gone", func() bool { return !harness.Alive(pid) })
	}
	harness.Eventually(t, "only the warm server is left", func() bool { return len(g.Children()) == 1 })
	if got := g.Metric(t, "sidegate_sessions"); got != 0 {
		t.Errorf("%v sessions are counted", got)
	}
}
