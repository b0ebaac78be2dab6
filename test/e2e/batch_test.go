package e2e

import (
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestBatch: at 2025-03-26 an array is one body of several messages, and each
// request in it is answered.
func TestBatch(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := g.Open(t, harness.Client{Revision: "2025-03-26"})
	batch := func(messages ...string) string { return "[" + strings.Join(messages, ", ") + "]" }

	t.Run("requests and a notification", func(t *testing.T) {
		resp := s.Do(t, batch(
			ping("1"), harness.Notification("notifications/x", `{"in":"a batch"}`),
			harness.ToolCall(`"two"`, "echo", `{"n":2}`), harness.ToolCall("3", "sleep", `{"ms":200}`), harness.RPC("4", "no/such", "")))
		want := map[string]string{"1": `{}`, `"two"`: `{"content":[],"structuredContent":{"n":2}}`, "3": `{"content":[],"structuredContent":{"slept":true}}`, "4": ""}
		resp.WantStatus(t, 200)
		for _, m := range resp.Messages(t) {
			result, asked := want[string(m.ID)]
			if !asked || result != string(m.Result) {
				t.Errorf("got %s", m.Raw)
			}
			delete(want, string(m.ID))
		}
		for id := range want {
			t.Errorf("no answer for id %s", id)
		}
		if got := s.Call(t, "seen", `{"method":"notifications/x"}`).Structured(t); !strings.Contains(got, `"in":"a batch"`) {
			t.Errorf("the notification did not reach the server: %s", got)
		}
	})
	t.Run("with progress", func(t *testing.T) {
		resp := s.Do(t, batch(
			harness.ToolCallWithToken("1", `"a"`, "progress", `{"steps":3,"everyMs":5,"tag":"a"}`),
			harness.ToolCallWithToken("2", `"b"`, "progress", `{"steps":3,"everyMs":5,"tag":"b"}`)))
		answers, steps := 0, 0
		for _, m := range resp.Messages(t) {
			if m.Method == "" {
				answers++
			} else {
				steps++
			}
		}
		if answers != 2 || steps != 6 {
			t.Errorf("%d answers and %d steps, want 2 and 6: %s", answers, steps, resp.Body)
		}
	})
	t.Run("notifications alone", func(t *testing.T) {
		s.Accepted(t, batch(harness.Notification("notifications/x", ""), harness.Notification("notifications/y", "")))
	})
	t.Run("answers to questions", func(t *testing.T) {
		events := s.Begin(t, harness.ToolCall("1", "ask", `{"method":"roots/list"}`)).Events(t)
		_, question := events.NextMessage(t)
		s.Accepted(t, batch(harness.Reply(string(question.ID), `{"roots":["batched"]}`)))
		if _, answer := events.NextMessage(t); !strings.Contains(answer.Raw, "batched") {
			t.Errorf("got %s", answer.Raw)
		}
	})
	for name, body := range map[string]string{"empty": `[]`, "cut": `[` + ping("1")} {
		t.Run(name, func(t *testing.T) {
			wantOneOf(t, s.Do(t, body), []int{invalidRequest, notJSON})
		})
	}
	// JSON-RPC lets the bad be refused one by one, or the batch as a whole.
	for name, row := range map[string]struct {
		body      string
		bad, good int
	}{
		"not messages":          {`[1,2]`, 2, 0},
		"one is bad":            {batch(ping("1"), `{"jsonrpc":"2.0","id":null,"method":"ping"}`), 1, 1},
		"equal ids":             {batch(harness.ToolCall("1", "sleep", `{"ms":300}`), ping("1")), 1, 1},
		"an array in an array":  {batch(batch(ping("1"))), 1, 0},
		"initialize in a batch": {batch(harness.Client{}.InitializeBody()), 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			resp := s.Do(t, row.body)
			if resp.Status == 400 {
				wantOneOf(t, resp, []int{invalidRequest})
				return
			}
			bad, good := 0, 0
			for _, m := range resp.Messages(t) {
				switch {
				case m.Code() == invalidRequest && string(m.ID) != "null":
					bad++
				case m.Error == nil:
					good++
				default:
					t.Errorf("got %s", m.Raw)
				}
			}
			if bad != row.bad || good != row.good {
				t.Errorf("%d refusals and %d answers, want %d and %d: %s", bad, good, row.bad, row.good, resp.Body)
			}
		})
	}
	t.Run("initialize in a batch without a session", func(t *testing.T) {
		wantOneOf(t, g.Do(t, harness.Post(batch(harness.Client{}.InitializeBody()))), []int{invalidRequest})
	})
	alive(t, s)
}

// TestNoBatchElsewhere: other revisions have none.
func TestNoBatchElsewhere(t *testing.T) {
	t.Parallel()
	g := gate(t)
	for _, revision := range []string{"2024-11-05", "2025-06-18", "2025-11-25"} {
		s := g.Open(t, harness.Client{Revision: revision})
		s.Do(t, "["+ping("1")+"]").WantRefusal(t, 400, invalidRequest, "")
	}
}
