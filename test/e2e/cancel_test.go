package e2e

import (
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// wantCancelled waits until the server knows that these calls, by their
// labels, were cancelled, and no others.
func wantCancelled(t *testing.T, s *harness.Session, labels string) {
	t.Helper()
	harness.Eventually(t, "the server is told to cancel "+labels, func() bool {
		return s.Call(t, "cancelled", `{}`).Structured(t) != `{"labels":[]}`
	})
	if got := s.Call(t, "cancelled", `{}`).Structured(t); got != `{"labels":[`+labels+`]}` {
		t.Errorf("the server was told to cancel %s, want %s", got, labels)
	}
}

// TestCancel: notifications/cancelled reaches the server with the id that the
// server knows, whatever the client calls it.
func TestCancel(t *testing.T) {
	t.Parallel()
	g := gate(t)
	for _, id := range []string{"41", `"the \u0063all"`, "12345678901234567890"} {
		t.Run(id, func(t *testing.T) {
			s := open(t, g)
			one := s.Send(t, harness.ToolCall(id, "sleep", `{"ms":600000,"label":"one"}`))
			two := s.Send(t, harness.ToolCall(`"another"`, "sleep", `{"ms":600000,"label":"two"}`))
			waitForCalls(t, g, 2)
			s.Accepted(t, harness.Cancel(id))
			wantCancelled(t, s, `"one"`)
			one.Conn.Close()
			two.Conn.Close()
			s.End(t)
			waitForCalls(t, g, 0)
		})
	}
}

// TestCancelFreesTheCall: a server does not answer what was cancelled, so the
// gate must not wait for it: the client's request ends, and its place in
// --max-calls is free.
func TestCancelFreesTheCall(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-calls", "1")
	s := open(t, g)
	events := s.Begin(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":1,"everyMs":600000}`)).Events(t)
	events.NextMessage(t)
	s.Do(t, ping("2")).WantStatus(t, 429)
	s.Accepted(t, harness.Cancel("1"))
	events.WantProperEnd(t)
	harness.Eventually(t, "the next call is let in", func() bool { return s.Do(t, ping("3")).Status == 200 })
}

// TestStrangeCancellations do nothing, and are accepted as all notifications.
func TestStrangeCancellations(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s, other := open(t, g), open(t, g)
	mine := s.Send(t, harness.ToolCall("1", "sleep", `{"ms":3000,"label":"mine"}`))
	waitForCalls(t, g, 1)
	other.Accepted(t, harness.Cancel("1"))
	for _, params := range []string{`{"requestId":99}`, `{"requestId":"1"}`, `{}`, `{"reason":"none"}`} {
		s.Accepted(t, harness.Notification("notifications/cancelled", params))
	}
	if got := mine.Read(t, "POST").Answer(t).Structured(t); got != `{"slept":true}` {
		t.Errorf("the call got %s", got)
	}
}

// TestCallTimeout: an error to the client, and a cancellation to the server.
func TestCallTimeout(t *testing.T) {
	t.Parallel()
	g := gate(t, "--call-timeout", "4s")
	s := open(t, g)
	t.Run("as JSON", func(t *testing.T) {
		answer := s.Do(t, harness.ToolCall(`"late"`, "sleep", `{"ms":600000,"label":"late"}`)).Answer(t)
		if answer.Code() != timedOut || string(answer.ID) != `"late"` {
			t.Errorf("got %s", answer.Raw)
		}
		wantCancelled(t, s, `"late"`)
	})
	t.Run("on a stream", func(t *testing.T) {
		other := open(t, g)
		resp := other.Do(t, harness.ToolCallWithToken("7", "7", "progress", `{"steps":1,"everyMs":600000,"label":"stuck"}`))
		if answer := resp.Answer(t); !resp.Streamed() || answer.Code() != timedOut || string(answer.ID) != "7" {
			t.Errorf("got %s", resp.Body)
		}
		wantCancelled(t, other, `"stuck"`)
	})
	t.Run("a late answer is dropped", func(t *testing.T) {
		other := open(t, g)
		if answer := other.Call(t, "sleep", `{"ms":600000}`); answer.Code() != timedOut {
			t.Errorf("got %s", answer.Raw)
		}
		alive(t, other)
	})
}

// TestProgressRestartsTheTimeout: the call may take longer than
// --call-timeout while the server shows that it works.
func TestProgressRestartsTheTimeout(t *testing.T) {
	t.Parallel()
	g := gate(t, "--call-timeout", "4s")
	s := open(t, g)
	resp := s.Do(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":12,"everyMs":700,"tag":"slow"}`))
	wantSteps(t, resp.Messages(t), "slow", 12)
}

// TestCutIsNoCancellation: a client that leaves does not cancel.
func TestCutIsNoCancellation(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	c := s.Send(t, harness.ToolCall("1", "sleep", `{"ms":1500,"label":"cut"}`))
	waitForCalls(t, g, 1)
	c.Conn.Close()
	waitForCalls(t, g, 0)
	if got := s.Call(t, "seen", `{"method":"notifications/cancelled"}`).Structured(t); strings.Contains(got, "requestId") {
		t.Errorf("the server saw %s", got)
	}
}
