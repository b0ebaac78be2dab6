package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// getSSE is a well-formed GET that opens a session over HTTP+SSE.
func getSSE() *harness.Request {
	return harness.Bare("GET", "/sse").Add("Accept", "text/event-stream")
}

// An sseSession is a session over HTTP+SSE as its client sees it.
type sseSession struct {
	gate     *harness.Gate
	events   *harness.Events
	endpoint string
}

// openSSE opens a session with a request, and initializes it.
func openSSE(t *testing.T, g *harness.Gate, r *harness.Request, revision string) *sseSession {
	t.Helper()
	s := &sseSession{gate: g, events: g.Begin(t, r).Events(t)}
	first, ok := s.events.Next(t)
	if !ok || first.Name != "endpoint" {
		t.Fatalf("the stream began with %+v", first)
	}
	s.endpoint = first.Data
	s.say(t, harness.Client{Revision: revision}.InitializeBody())
	if answer := s.next(t); harness.Field(t, answer.Result, "protocolVersion") != revision {
		t.Fatalf("initialize got %s", answer.Raw)
	}
	s.say(t, harness.Notification("notifications/initialized", ""))
	return s
}

// post is a request with a message for the session.
func (s *sseSession) post(body string) *harness.Request {
	r := harness.Post(body).Drop("Accept")
	r.Target = s.endpoint
	return r
}

// say posts what must be accepted.
func (s *sseSession) say(t *testing.T, body string) {
	t.Helper()
	s.gate.Do(t, s.post(body)).WantStatus(t, 202)
}

// next is the next message on the stream.
func (s *sseSession) next(t *testing.T) harness.Message {
	t.Helper()
	e, m := s.events.NextMessage(t)
	if e.Name != "message" {
		t.Errorf("a message came as event %q", e.Name)
	}
	return m
}

// TestSSE: everything comes back on the one stream, at each revision, and the
// session ends with it.
func TestSSE(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--warm", "0", "--idle-timeout", "1s")
	for _, revision := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"} {
		s := openSSE(t, g, getSSE(), revision)
		s.say(t, harness.ToolCall(`"a"`, "echo", `{"big":9007199254740993}`))
		if m := s.next(t); string(m.ID) != `"a"` || m.Structured(t) != `{"big":9007199254740993}` {
			t.Errorf("%s: echo got %s", revision, m.Raw)
		}
		s.say(t, harness.ToolCallWithToken("7", `"mine"`, "progress", `{"steps":3,"tag":"on"}`))
		for step := 1; step <= 3; step++ {
			m := s.next(t)
			if m.Method != "notifications/progress" || harness.Field(t, m.Params, "progressToken") != "mine" {
				t.Errorf("%s: step %d: %s", revision, step, m.Raw)
			}
		}
		if m := s.next(t); string(m.ID) != "7" {
			t.Errorf("%s: progress got %s", revision, m.Raw)
		}
		s.say(t, harness.ToolCall("8", "ask", `{"method":"roots/list"}`))
		s.say(t, harness.Reply(string(s.next(t).ID), `{"roots":["here"]}`))
		if m := s.next(t); string(m.ID) != "8" || !strings.Contains(m.Structured(t), `{"roots":["here"]}`) {
			t.Errorf("%s: ask got %s", revision, m.Raw)
		}
		time.Sleep(1500 * time.Millisecond) // the stream keeps the session from being idle
		s.say(t, ping("9"))
		if m := s.next(t); string(m.ID) != "9" || m.Error != nil {
			t.Errorf("%s: ping got %s", revision, m.Raw)
		}

		s.say(t, harness.ToolCall("10", "sleep", `{"ms":600000}`))
		s.events.Cut()
		harness.Eventually(t, "the session and its child are gone", func() bool {
			return g.Metric(t, "sidegate_sessions") == 0 && len(g.Children()) == 0
		})
		g.Do(t, s.post(ping("11"))).WantRefusal(t, 404, noSuchSession, "11")
	}
}

// TestSSEEndpoint: the endpoint leads to the session also behind a proxy that
// puts the gate below a path, and below the server's own path.
func TestSSEEndpoint(t *testing.T) {
	t.Parallel()
	own, public := gate(t), gate(t, "--public-url", "https://tools.example/gate/")
	for _, test := range []struct {
		name, target, prefix string
		gate                 *harness.Gate
		want                 string
	}{
		{"plain", "/sse", "", own, "/messages?"},
		{"a server by its name", "/servers/default/sse", "", own, "/servers/default/messages?"},
		{"behind a prefix", "/sse", "/a/b", own, "/a/b/messages?"},
		{"a server behind a prefix", "/servers/default/sse", "/a/b/", own, "/a/b/servers/default/messages?"},
		{"a prefix that leads elsewhere", "/sse", "//evil.example", own, "/messages?"},
		{"the operator's word", "/sse", "/a", public, "/gate/messages?"},
	} {
		r := getSSE()
		r.Target = test.target
		if test.prefix != "" {
			r.Add("X-Forwarded-Prefix", test.prefix)
		}
		events := test.gate.Begin(t, r).Events(t)
		first, _ := events.Next(t)
		if rest, ok := strings.CutPrefix(first.Data, test.want); !ok || !strings.HasPrefix(rest, "sessionId=") {
			t.Errorf("%s: the endpoint is %q", test.name, first.Data)
		}
		events.Cut()
	}
}

// TestSSEDoor: who may not come in, and in what form nobody may.
func TestSSEDoor(t *testing.T) {
	t.Parallel()
	mine, yours := "0123456789abcdef-mine", "0123456789abcdef-yours"
	g := gate(t, "--token-file", tokenFile(t, "me="+mine, "you="+yours), "--max-message", "64KiB")
	by := func(r *harness.Request, token string) *harness.Request {
		return r.Set("Authorization", "Bearer "+token)
	}
	s := &sseSession{gate: g, events: g.Begin(t, by(getSSE(), mine)).Events(t)}
	first, _ := s.events.Next(t)
	s.endpoint = first.Data

	for _, test := range []struct {
		name   string
		r      *harness.Request
		status int
	}{
		{"a GET without a token", getSSE(), 401},
		{"a POST without a token", s.post(ping("1")), 401},
		{"a GET from another origin", by(getSSE(), mine).Add("Origin", "https://evil.example"), 403},
		{"a POST from another origin", by(s.post(ping("1")), mine).Add("Origin", "https://evil.example"), 403},
		{"a GET for another host", by(getSSE(), mine).Add("Host", "evil.example"), 403},
		{"another caller's session", by(s.post(ping("1")), yours), 404},
		{"a GET that wants JSON", by(getSSE(), mine).Set("Accept", "application/json"), 406},
		{"a POST as a form sends it", by(s.post(ping("1")), mine).Set("Content-Type", "text/plain"), 415},
		{"a POST that is too large", by(s.post(harness.ToolCall("1", "echo", `"`+strings.Repeat("x", 64<<10)+`"`)), mine), 413},
		{"a POST that is no message", by(s.post(`{"id":1}`), mine), 400},
		{"a POST before initialize", by(s.post(ping("1")), mine), 400},
		{"a POST to the stream", by(&harness.Request{Method: "POST", Target: "/sse", Proto: "HTTP/1.1"}, mine), 405},
		{"a GET of the endpoint", by(&harness.Request{Method: "GET", Target: s.endpoint, Proto: "HTTP/1.1"}, mine), 405},
		{"a session of another door", by(harness.Post(ping("1")), mine).Add("Mcp-Session-Id", strings.SplitN(s.endpoint, "=", 2)[1]), 404},
	} {
		t.Run(test.name, func(t *testing.T) { g.Do(t, test.r).WantStatus(t, test.status) })
	}
	g.Do(t, by(s.post(harness.Client{}.InitializeBody()), mine)).WantStatus(t, 202)
	if m := s.next(t); m.Error != nil { // none of it has harmed the session
		t.Errorf("initialize got %s", m.Raw)
	}
}

// TestNoSSE: --no-sse closes both of its paths.
func TestNoSSE(t *testing.T) {
	t.Parallel()
	g := gate(t, "--no-sse")
	g.Do(t, getSSE()).WantStatus(t, 404)
	r := harness.Post(ping("1"))
	r.Target = "/messages?sessionId=x"
	g.Do(t, r).WantStatus(t, 404)
}

// TestSSEDrain: calls in flight are answered on the stream, which then ends in
// good order.
func TestSSEDrain(t *testing.T) {
	t.Parallel()
	g := gate(t, "--grace", "40s")
	s := openSSE(t, g, getSSE(), harness.Latest)
	s.say(t, harness.ToolCall("1", "sleep", `{"ms":1000}`))
	waitForCalls(t, g, 1)
	g.Signal(syscall.SIGTERM)
	if m := s.next(t); m.Structured(t) != `{"slept":true}` {
		t.Errorf("the call in flight got %s", m.Raw)
	}
	if rest := s.events.WantProperEnd(t); len(rest) > 0 {
		t.Errorf("then came %+v", rest)
	}
	if code := g.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestSSESlowReader: a client that does not read loses its connection, and with
// it its session; nobody else notices.
func TestSSESlowReader(t *testing.T) {
	t.Parallel()
	g := gate(t, "--replay-bytes", "256KiB")
	other := open(t, g)
	c := g.Dial(t)
	c.Send(t, getSSE().Bytes(g.Host()))
	e := c.Begin(t, "GET")
	first := make([]byte, 512)
	n, err := e.Body.Read(first)
	if err != nil {
		t.Fatal(err)
	}
	_, endpoint, _ := strings.Cut(string(first[:n]), "data: ")
	s := &sseSession{gate: g, endpoint: strings.TrimSpace(endpoint)}
	s.say(t, harness.Client{}.InitializeBody())
	harness.Eventually(t, "initialize is answered", func() bool { return g.Metric(t, "sidegate_calls_total", `frontend="sse"`, `method="initialize"`) == 1 })
	s.say(t, harness.Notification("notifications/initialized", ""))
	s.say(t, harness.ToolCall("1", "notify", fmt.Sprintf(`{"method":"notifications/x","count":2000,"bytes":%d}`, 16<<10)))
	harness.Eventually(t, "the session is gone", func() bool { return g.Metric(t, "sidegate_sessions") == 1 })
	if n := g.Metric(t, "sidegate_dropped_total", `what="slow_reader"`); n != 1 {
		t.Errorf("%v slow readers were counted", n)
	}
	alive(t, other)
}
