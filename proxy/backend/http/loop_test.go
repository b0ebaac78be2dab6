package http

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sidegate/proxy/backend"
)

// TestVia: every request says under which name it is sent, behind the names of
// those before.
func TestVia(t *testing.T) {
	var mu sync.Mutex
	heard := map[string][]string{}
	s := newScript(t, func(r *http.Request, body string) text {
		mu.Lock()
		defer mu.Unlock()
		heard[r.Method+" "+r.URL.Path] = r.Header["Via"]
		response := answering(r, body)
		response.is = strings.Replace(response.is, jsonType, jsonType+"Mcp-Session-Id: s\r\n", 1)
		return response
	})
	b := newBackend(t, s.URL, func(c *Config) { c.Via = "me" })
	l := open(t, b)
	l.sayWith(t, "Via: 1.1 who-asks\r\n", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	l.Want(t, `"id":1`)
	if _, err := b.Pass(context.Background(), &backend.PassRequest{Method: "POST", Target: "/other", Header: []byte("Via: 1.1 who-asks\r\n")}); err != nil {
		t.Error(err)
	}
	l.Close(context.Background())
	mu.Lock()
	defer mu.Unlock()
	for request, want := range map[string][]string{
		"POST /mcp": {"1.1 who-asks", "1.1 me"}, "POST /other": {"1.1 who-asks", "1.1 me"}, "DELETE /mcp": {"1.1 me"},
	} {
		if got := heard[request]; !slices.Equal(got, want) {
			t.Errorf("%s: Via is %q, want %q", request, got, want)
		}
	}
}

// TestLoops: a server that has answered that a request has been there before is
// not there, until it answers something else; the client gets the answer as it
// is.
func TestLoops(t *testing.T) {
	var loops atomic.Bool
	loops.Store(true)
	const refused = `{"jsonrpc":"2.0","error":{"code":508,"message":"been here"}}`
	s := newScript(t, func(r *http.Request, body string) text {
		if loops.Load() {
			return reply(508, jsonType, refused)
		}
		return answering(r, body)
	})
	b := newBackend(t, s.URL, func(c *Config) { c.Via = "me" })
	if err := b.Check(context.Background()); err != nil || len(s.requests()) > 0 {
		t.Errorf("before the first call: %v, and it was sent %q", err, s.requests())
	}
	for _, header := range []string{"", ofModern} {
		l := open(t, b)
		l.sayWith(t, header, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
		l.Want(t, "reply 1 508 application/json||"+refused+"|"+loopReason)
		l.Close(context.Background())
	}
	if err := b.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "--gate-uid") {
		t.Errorf("after a call that came back: %v", err)
	}
	loops.Store(false)
	if err := b.Check(context.Background()); err != nil {
		t.Errorf("when calls come back no more: %v", err)
	}
	sent := len(s.requests())
	if err := b.Check(context.Background()); err != nil || len(s.requests()) != sent {
		t.Errorf("a sound server is asked: %v, %q", err, s.requests()[sent:])
	}
}
