package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// TestJSONUntilItMustStream: one JSON object, unless something else comes
// first.
func TestJSONUntilItMustStream(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, row := range map[string]struct {
		body   string
		stream bool
	}{
		"at once":              {harness.ToolCall("1", "echo", `{}`), false},
		"after a second":       {harness.ToolCall("1", "sleep", `{"ms":1000}`), false},
		"progress first":       {harness.ToolCallWithToken("1", "1", "progress", `{"steps":1}`), true},
		"log first":            {harness.ToolCall("1", "log", `{"text":"x"}`), true},
		"an error of a server": {harness.RPC("1", "no/such", ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			resp := s.Do(t, row.body)
			if resp.Streamed() != row.stream {
				t.Errorf("Content-Type is %q", resp.Header.Get("Content-Type"))
			}
			if answer := resp.Answer(t); string(answer.ID) != "1" {
				t.Errorf("got %s", answer.Raw)
			}
		})
	}
}

// TestStreamsWhenItTakesLong: before intermediaries give up, 15 s, the answer
// becomes a stream.
func TestStreamsWhenItTakesLong(t *testing.T) {
	if testing.Short() {
		t.Skip("waits more than 15 s; not with -short")
	}
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	resp := s.Do(t, harness.ToolCall("1", "sleep", `{"ms":25000}`))
	if !resp.Streamed() {
		t.Errorf("after 25 s the answer is still %q", resp.Header.Get("Content-Type"))
	}
	if got := resp.Answer(t).Structured(t); got != `{"slept":true}` {
		t.Errorf("got %s", got)
	}
}

// TestStreamHeaders: what intermediaries and browsers need to be told.
func TestStreamHeaders(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, exchange := range map[string]*harness.Exchange{
		"GET":  s.BeginStream(t, ""),
		"POST": s.Begin(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":1}`)),
	} {
		t.Run(name, func(t *testing.T) {
			h := exchange.Header
			if !strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") {
				t.Errorf("Content-Type is %q", h.Get("Content-Type"))
			}
			if cc := h.Get("Cache-Control"); !strings.Contains(cc, "no-cache") && !strings.Contains(cc, "no-store") {
				t.Errorf("Cache-Control is %q", cc)
			}
			if got := h.Get("X-Accel-Buffering"); got != "no" {
				t.Errorf("X-Accel-Buffering is %q", got)
			}
			// Chunked, so that an end can be told from a cut.
			if te := exchange.Response.TransferEncoding; len(te) != 1 || te[0] != "chunked" {
				t.Errorf("Transfer-Encoding is %q", te)
			}
		})
		exchange.Cut()
	}
}

// TestPriming: at 2025-11-25 a stream starts with an empty event that carries
// an id; clients of older revisions would stumble over one.
func TestPriming(t *testing.T) {
	t.Parallel()
	g := gate(t)
	for _, revision := range []string{"2025-03-26", "2025-06-18", "2025-11-25"} {
		t.Run(revision, func(t *testing.T) {
			s := g.Open(t, harness.Client{Revision: revision})
			get := s.Stream(t, "")
			post := s.Begin(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":1}`)).Events(t)
			check := wantNoPriming
			if revision == "2025-11-25" {
				check = wantPriming
			}
			check(t, "POST", post)
			post.WantProperEnd(t)
			s.Call(t, "notify", `{"method":"notifications/resources/list_changed","params":{},"afterMs":1}`)
			check(t, "GET", get)
			get.Cut()
		})
	}
}

func wantPriming(t *testing.T, name string, s *harness.Events) {
	t.Helper()
	if e, ok := s.Next(t); !ok || e.ID == "" || !e.HasData || e.Data != "" {
		t.Errorf("%s: the first event is %+v", name, e)
	}
}

func wantNoPriming(t *testing.T, name string, s *harness.Events) {
	t.Helper()
	if e, ok := s.Next(t); !ok || e.Data == "" {
		t.Errorf("%s: the first event is %+v", name, e)
	}
}

// TestRetryBeforeTheGateCloses: at 2025-11-25 the client is told when to come
// back before the gate closes a connection whose stream is not over. The gate
// closes the one that its client has replaced, and all when it drains.
func TestRetryBeforeTheGateCloses(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	stream := s.Stream(t, "")
	stream.Next(t)
	g.Signal(syscall.SIGTERM)
	stream.WantProperEnd(t)
	if ms, err := strconv.Atoi(stream.Retry()); err != nil || ms <= 0 {
		t.Errorf("the stream ended with retry %q", stream.Retry())
	}
}

// TestEventIDs: unique in the session, and in every event that has a message.
func TestEventIDs(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	seen := map[string]bool{}
	check := func(e harness.Event) {
		t.Helper()
		if e.Data != "" && e.ID == "" {
			t.Errorf("an event without id: %+v", e)
		}
		if e.ID != "" && seen[e.ID] {
			t.Errorf("id %q is used twice", e.ID)
		}
		seen[e.ID] = true
	}
	get := s.Stream(t, "")
	for i := range 3 {
		for _, e := range s.Begin(t, harness.ToolCallWithToken(fmt.Sprint(i), "1", "progress", `{"steps":5}`)).Events(t).WantProperEnd(t) {
			check(e)
		}
	}
	s.Call(t, "notify", `{"method":"notifications/message","count":5,"afterMs":1}`)
	for n := 0; n < 5; {
		e, _ := get.Next(t)
		check(e)
		if e.Data != "" {
			n++
		}
	}
	get.Cut()
}

// TestTheRightStream: what belongs to a call goes to its stream, what belongs
// to none to the session's, and nothing goes out twice.
func TestTheRightStream(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	get := s.Stream(t, "")
	resp := s.Do(t, harness.ToolCallWithToken("1", `"p"`, "progress", `{"steps":3,"tag":"mine"}`))
	wantSteps(t, resp.Messages(t), "mine", 3)
	// A log message names no call; it goes to the only one in flight.
	resp = s.Do(t, harness.ToolCall("2", "log", `{"text":"during the call","count":2}`))
	if n := len(resp.Messages(t)); n != 3 {
		t.Errorf("%d messages with the call, want two and the answer: %s", n, resp.Body)
	}
	// With several calls in flight it goes to the session's stream.
	sleeping := s.Send(t, harness.ToolCall("3", "sleep", `{"ms":6000}`))
	waitForCalls(t, g, 1)
	resp = s.Do(t, harness.ToolCall("4", "log", `{"text":"whose is it?"}`))
	if n := len(resp.Messages(t)); n != 1 {
		t.Errorf("%d messages with the call, want the answer alone: %s", n, resp.Body)
	}
	if _, m := get.NextMessage(t); !strings.Contains(m.Raw, "whose is it?") {
		t.Errorf("the session's stream got %s", m.Raw)
	}
	if n := len(sleeping.Read(t, "POST").Messages(t)); n != 1 {
		t.Errorf("%d messages with the sleeping call, want the answer alone", n)
	}
	// And with none, too.
	s.Call(t, "notify", `{"method":"notifications/tools/list_changed","params":{},"afterMs":100}`)
	if _, m := get.NextMessage(t); m.Method != "notifications/tools/list_changed" {
		t.Errorf("the session's stream got %s", m.Raw)
	}
	get.Cut()
}

// TestBurst: a client that reads is not taken for a slow one because its
// server says much at once.
func TestBurst(t *testing.T) {
	t.Parallel()
	g := gate(t)
	const burst = 20_000
	for _, where := range []string{"session's stream", "call's stream"} {
		t.Run(where, func(t *testing.T) {
			s := open(t, g)
			var stream *harness.Events
			if where == "session's stream" {
				stream = s.Stream(t, "")
				s.Call(t, "notify", fmt.Sprintf(`{"method":"notifications/message","count":%d,"afterMs":1}`, burst))
			} else {
				stream = s.Begin(t, harness.ToolCall("1", "notify", fmt.Sprintf(`{"method":"notifications/message","count":%d}`, burst))).Events(t)
			}
			var seqs []int
			for range burst {
				e, _ := stream.NextMessage(t)
				seqs = append(seqs, seq(t, e))
			}
			wantInOrder(t, seqs, burst)
			stream.Cut()
			s.End(t)
		})
	}
}

// TestUnaskedMessagesWait: what the server says before the client opens the
// session's stream is kept for it.
func TestUnaskedMessagesWait(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	s.Call(t, "notify", `{"method":"notifications/message","count":3,"afterMs":1}`)
	time.Sleep(time.Second) // for the server to say it; a call would attract it
	stream := s.Stream(t, "")
	var seqs []int
	for range 3 {
		e, _ := stream.NextMessage(t)
		seqs = append(seqs, seq(t, e))
	}
	wantInOrder(t, seqs, 3)
	stream.Cut()
}

// TestSecondGetTakesOver: the newer connection has the stream, the older one
// ends.
func TestSecondGetTakesOver(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	first := s.Stream(t, "")
	first.Next(t)
	second := s.Stream(t, "")
	for _, e := range first.Rest(t) {
		if e.Data != "" {
			t.Errorf("the first stream got %s", e.Data)
		}
	}
	s.Call(t, "notify", `{"method":"notifications/tools/list_changed","params":{},"afterMs":1}`)
	if _, m := second.NextMessage(t); m.Method != "notifications/tools/list_changed" {
		t.Errorf("the second stream got %s", m.Raw)
	}
	second.Cut()
	// The end of the first must not have taken the second's place.
	third := s.Stream(t, "")
	s.Call(t, "notify", `{"method":"notifications/prompts/list_changed","params":{},"afterMs":1}`)
	if _, m := third.NextMessage(t); m.Method != "notifications/prompts/list_changed" {
		t.Errorf("the third stream got %s", m.Raw)
	}
	third.Cut()
}

// TestKeepAlive: an idle stream has a comment line now and then, also that of
// a call.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	g := gate(t, "--keep-alive", "300ms")
	s := open(t, g)
	get := s.Stream(t, "")
	post := s.Begin(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":1,"everyMs":60000}`)).Events(t)
	for name, stream := range map[string]*harness.Events{"GET": get, "POST": post} {
		harness.Eventually(t, "three comments on the "+name+" stream", func() bool { return stream.Comments() >= 3 })
		stream.Cut()
	}
}
