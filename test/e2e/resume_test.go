package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// messagesOf reads n events that carry a message, and returns the last one's
// id and what they carry.
func messagesOf(t *testing.T, s *harness.Events, n int) (lastID string, list []harness.Message) {
	t.Helper()
	for range n {
		e, m := s.NextMessage(t)
		lastID, list = e.ID, append(list, m)
	}
	return lastID, list
}

// TestResumeACall: the connection is cut in a streaming call. The call goes
// on, and its stream is resumed: every event once, in order, the answer last.
func TestResumeACall(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, ms := range []int{0, 20} {
		t.Run(fmt.Sprintf("a step every %d ms", ms), func(t *testing.T) {
			const steps = 60
			call := s.Begin(t, harness.ToolCallWithToken("1", "1", "progress", fmt.Sprintf(`{"steps":%d,"everyMs":%d,"tag":"long"}`, steps, ms)))
			events := call.Events(t)
			last, messages := messagesOf(t, events, 10)
			events.Cut()
			// Cut it twice more on the way.
			for range 2 {
				again := s.Stream(t, last)
				var more []harness.Message
				last, more = messagesOf(t, again, 10)
				messages = append(messages, more...)
				again.Cut()
			}
			rest := s.Stream(t, last)
			_, more := messagesOf(t, rest, steps+1-len(messages))
			wantSteps(t, append(messages, more...), "long", steps)
			for _, e := range rest.WantProperEnd(t) {
				if e.Data != "" {
					t.Errorf("after the answer: %s", e.Data)
				}
			}
		})
	}
	t.Run("it was not cancelled", func(t *testing.T) {
		if got := s.Call(t, "seen", `{"method":"notifications/cancelled"}`).Structured(t); got != `{"messages":[]}` {
			t.Errorf("the server saw %s", got)
		}
	})
}

// TestResumeFromPriming: a client that saw only the first, empty event can
// resume.
func TestResumeFromPriming(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	events := s.Begin(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":5,"everyMs":100,"tag":"p"}`)).Events(t)
	first, ok := events.Next(t)
	if !ok || first.ID == "" || first.Data != "" {
		t.Fatalf("the first event is %+v", first)
	}
	events.Cut()
	again := s.Stream(t, first.ID)
	_, messages := messagesOf(t, again, 6)
	wantSteps(t, messages, "p", 5)
}

// TestResumeAfterTheEnd: the answer that came while the client was away is
// there when it comes back.
func TestResumeAfterTheEnd(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	events := s.Begin(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":5,"everyMs":100,"tag":"e"}`)).Events(t)
	last, messages := messagesOf(t, events, 1)
	events.Cut()
	harness.Eventually(t, "the call is over", func() bool { return g.Metric(t, "sidegate_calls_in_flight") == 0 })
	again := s.Stream(t, last)
	_, more := messagesOf(t, again, 5)
	wantSteps(t, append(messages, more...), "e", 5)
	again.WantProperEnd(t)
}

// TestResumeTheSessionsStream: events that came between two connections are
// replayed, and only those of this stream.
func TestResumeTheSessionsStream(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	stream := s.Stream(t, "")
	s.Call(t, "notify", `{"method":"notifications/message","count":4,"afterMs":1}`)
	last, _ := messagesOf(t, stream, 4)
	stream.Cut()
	harness.Eventually(t, "the cut is noticed", func() bool { return g.Metric(t, "sidegate_streams") == 0 })
	s.Do(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":3}`))
	s.Call(t, "notify", `{"method":"notifications/resources/updated","params":{"uri":"x://1"},"count":3,"afterMs":200}`)
	again := s.Stream(t, last)
	_, missed := messagesOf(t, again, 3)
	for _, m := range missed {
		if m.Method != "notifications/resources/updated" {
			t.Errorf("the stream got %s", m.Raw)
		}
	}
	again.Cut()
}

// TestReplayFromTheMiddle: what the client names is the last event it has.
func TestReplayFromTheMiddle(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	stream := s.Stream(t, "")
	s.Call(t, "notify", `{"method":"notifications/message","count":10,"afterMs":1}`)
	var ids []string
	for range 10 {
		e, _ := stream.NextMessage(t)
		ids = append(ids, e.ID)
	}
	stream.Cut()
	for _, at := range []int{0, 4, 8} {
		again := s.Stream(t, ids[at])
		for want := at + 2; want <= 10; want++ {
			if e, _ := again.NextMessage(t); seq(t, e) != want {
				t.Errorf("resumed after %d: got %d, want %d", at+1, seq(t, e), want)
			}
		}
		again.Cut()
	}
}

func TestBadLastEventID(t *testing.T) {
	t.Parallel()
	g := gate(t, "--replay-events", "5")
	s, other := open(t, g), open(t, g)
	stream := s.Stream(t, "")
	var first, last string
	for i := range 30 {
		s.Call(t, "notify", `{"method":"notifications/message","afterMs":1}`)
		e, _ := stream.NextMessage(t)
		if i == 0 {
			first = e.ID
		}
		last = e.ID
	}
	stream.Cut()
	for name, id := range map[string]string{
		"malformed":      "garbage",
		"no longer held": first,
		"the future":     bump(last),
		"negative":       "-1",
		"long":           strings.Repeat("9", 500),
		"spaces":         "a b c",
	} {
		t.Run(name, func(t *testing.T) {
			g.Do(t, s.As(harness.Get()).Add("Last-Event-ID", id)).WantRefusal(t, 400, invalidRequest, "")
		})
	}
	t.Run("foreign", func(t *testing.T) {
		g.Do(t, other.As(harness.Get()).Add("Last-Event-ID", last)).WantRefusal(t, 400, invalidRequest, "")
	})
	t.Run("held", func(t *testing.T) {
		s.Stream(t, last).Cut()
	})
}

// bump makes an id into one that was not given out yet.
func bump(id string) string { return id + "99" }

// TestReplayIsBoundedInBytes: what is over --replay-bytes is given up, oldest
// first, and a resumption that would miss it is refused.
func TestReplayIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	g := gate(t, "--replay-bytes", "100000")
	s := open(t, g)
	stream := s.Stream(t, "")
	var ids []string
	for range 20 {
		s.Call(t, "notify", `{"method":"notifications/message","bytes":20000,"afterMs":1}`)
		e, _ := stream.NextMessage(t)
		ids = append(ids, e.ID)
	}
	stream.Cut()
	g.Do(t, s.As(harness.Get()).Add("Last-Event-ID", ids[0])).WantRefusal(t, 400, invalidRequest, "")
	again := s.Stream(t, ids[17])
	if e, _ := again.NextMessage(t); e.ID != ids[18] {
		t.Errorf("got event %q, want %q", e.ID, ids[18])
	}
	again.Cut()
}
