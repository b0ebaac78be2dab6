package sse

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
)

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

// TestSession is a session from its begin to its end: everything comes back on
// its stream, and it ends with the stream.
func TestSession(t *testing.T) {
	b := newBed(t)
	c := b.open("me")
	if got := c.response.Header.Get("X-Head"); got != "yes" {
		t.Errorf("the answer's own header lines: %q", got)
	}
	if !strings.HasPrefix(c.endpoint, "/messages?sessionId=") {
		t.Errorf("the endpoint is %s", c.endpoint)
	}
	c.initialize("2024-11-05")
	c.say(ping)
	c.want(`{"jsonrpc":"2.0","id":1,"result":{}}`)
	c.say("{\n\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}")
	b.mu.Lock()
	if len(b.told) != 1 || strings.Contains(b.told[0], "\n") {
		t.Errorf("told %q", b.told)
	}
	b.mu.Unlock()
	for !strings.HasPrefix(c.block(), ": ") { // signs of life
	}

	c.say(`{"jsonrpc":"2.0","id":2,"method":"wait"}`)
	c.response.Body.Close()
	b.wait("the session ends with its stream", func() bool { return b.sessions.Len() == 0 && b.sessions.InFlight() == 0 })
	if status, text := b.post("me", c.endpoint, ping); status != http.StatusNotFound || text != refusal.Session.Reason {
		t.Errorf("a message for a session that has ended: status %d, %q", status, text)
	}
}

// TestStreamEndsWithItsSession: calls are answered first, and the end is a
// proper one.
func TestStreamEndsWithItsSession(t *testing.T) {
	b := newBed(t)
	c := b.open("me").initialize("2025-11-25")
	c.say(`{"jsonrpc":"2.0","id":2,"method":"wait"}`)
	_, id, _ := strings.Cut(c.endpoint, "=")
	s, refused := b.sessions.Find([]byte(id), "me", session.SSE)
	if refused != nil {
		t.Fatal(refused)
	}
	b.sessions.End(s, refusal.SessionEnd)
	c.want(string(refusal.SessionEnd.AppendJSON(nil, []byte("2"))))
	if rest := c.event(); rest != "" {
		t.Errorf("after the end came %q", rest)
	}
}

// TestRefusals: what a POST is refused for is in its own answer.
func TestRefusals(t *testing.T) {
	b := newBed(t)
	c := b.open("me").initialize("2025-11-25")
	c.say(`{"jsonrpc":"2.0","id":2,"method":"wait"}`)
	fresh := b.open("me")
	other, refused := b.sessions.Open("me", session.Streamable)
	if refused != nil {
		t.Fatal(refused)
	}
	for _, test := range []struct {
		name, principal, reference, body string
		status                           int
		want                             *refusal.Refusal
	}{
		{"no session", "me", "/messages", ping, 400, refusal.NoSession},
		{"an empty name", "me", "/messages?sessionId=", ping, 400, refusal.NoSession},
		{"no such session", "me", "/messages?sessionId=x", ping, 404, refusal.Session},
		{"two sessions", "me", c.endpoint + "&sessionId=x", ping, 400, refusal.BadHTTP},
		{"another caller's", "you", c.endpoint, ping, 404, refusal.Session},
		{"another door's", "me", "/messages?sessionId=" + other.ID(), ping, 404, refusal.Session},
		{"before initialize", "me", fresh.endpoint, ping, 400, refusal.Uninitialized},
		{"initialize again", "me", c.endpoint, strings.Replace(ping, "ping", "initialize", 1), 400, refusal.Initialized},
		{"an id in flight", "me", c.endpoint, `{"jsonrpc":"2.0","id":2,"method":"ping"}`, 400, refusal.DuplicateID},
		{"a batch of a later revision", "me", c.endpoint, "[" + ping + "]", 400, refusal.Envelope},
	} {
		if status, text := b.post(test.principal, test.reference, test.body); status != test.status || text != test.want.Reason {
			t.Errorf("%s: status %d, %q", test.name, status, text)
		}
	}
	if response := b.try("me"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one session too many: status %d", response.StatusCode)
	}
	c.say(`{"jsonrpc":"2.0","id":3,"method":"ping"}`) // none of it has harmed the session
	c.want(`{"jsonrpc":"2.0","id":3,"result":{}}`)
}

// TestBatch: the elements are answered one by one, and one that is refused is
// answered as well.
func TestBatch(t *testing.T) {
	c := newBed(t).open("me").initialize("2025-03-26")
	c.say(`[` + ping + `,{"jsonrpc":"1.0","id":7},{"jsonrpc":"2.0","method":"notifications/x"}]`)
	c.want(`{"jsonrpc":"2.0","id":1,"result":{}}`)
	c.want(string(refusal.Envelope.AppendJSON(nil, []byte("7"))))
	c.say(`[{"jsonrpc":"2.0","method":"notifications/y"}]`)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.told, func(s string) bool { return strings.Contains(s, "notifications/y") }) {
		t.Errorf("told %q", c.told)
	}
}

// TestWithoutInitialize: a stream is not held for a client that does not say
// what it wants, and as long as it likes for one that does.
func TestWithoutInitialize(t *testing.T) {
	b := newBed(t)
	b.frontend.options.Initialize = 2 * time.Second
	lively := b.open("me").initialize("2025-11-25")
	silent := b.open("me")
	if rest := silent.event(); rest != "" {
		t.Errorf("the silent client got %q", rest)
	}
	lively.say(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
	lively.want(`{"jsonrpc":"2.0","id":2,"result":{}}`)
	if n := b.sessions.Len(); n != 1 {
		t.Errorf("%d sessions are open", n)
	}
}
