package http

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"sidegate/proxy/backend/contract"
)

// TestAuthorization: what the client is let in with goes along with what is
// asked for it, and other headers do not.
func TestAuthorization(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	s := newScript(t, func(r *http.Request, body string) text {
		mu.Lock()
		seen = append(seen, fmt.Sprintf("%s %s %s", r.Method, r.Header.Get("Authorization"), r.Header.Get("X-Client")))
		mu.Unlock()
		if r.Method == "POST" && r.Header.Get("X-Client") == "1" {
			return reply(200, jsonType+"Mcp-Session-Id: s\r\n", okBody)
		}
		return answering(r, body)
	})
	l := open(t, newBackend(t, s.URL))
	l.sayWith(t, "X-Client: 1\r\nauthorization: Bearer a\r\n", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	l.Want(t, okBody)
	l.sayWith(t, "X-Client: 2\r\nAuthorization: Bearer b\r\n", `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	contract.Eventually(t, "the stream for what is unasked", func() bool { return len(s.requests()) == 3 })
	l.Close(context.Background())
	mu.Lock()
	defer mu.Unlock()
	if got, want := fmt.Sprintf("%q", seen), `["POST Bearer a 1" "POST Bearer b 2" "GET Bearer b " "DELETE Bearer b "]`; got != want {
		t.Errorf("the server saw\n%s, want\n%s", got, want)
	}
}

// TestGateIsLetIn: what the gate says by itself is let in as the client is, and
// what a client says with what it says itself.
func TestGateIsLetIn(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]string{}
	s := newScript(t, func(r *http.Request, body string) text {
		var m struct{ Method string }
		_ = json.Unmarshal([]byte(body), &m) // a GET has none
		mu.Lock()
		seen[m.Method] = r.Header.Get("Authorization")
		mu.Unlock()
		if m.Method == "initialize" {
			return reply(200, jsonType+"Mcp-Session-Id: s\r\n", okBody)
		}
		return answering(r, body)
	})
	l := open(t, newBackend(t, s.URL))
	l.sayWith(t, "Authorization: Bearer a\r\n", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	l.Want(t, okBody)
	if err := l.Send(contract.Message(`{"jsonrpc":"2.0","method":"gate"}`)); err != nil {
		t.Fatal(err)
	}
	l.sayWith(t, "", `{"jsonrpc":"2.0","method":"client"}`)
	contract.Eventually(t, "all is there", func() bool { return len(s.requests()) == 3 })
	l.Close(context.Background())
	mu.Lock()
	defer mu.Unlock()
	if seen["gate"] != "Bearer a" || seen["client"] != "" {
		t.Errorf("the server was shown %q", seen)
	}
}

// TestOldRefuses: the stream of HTTP+SSE may not be for everybody; whoever is
// not let in learns how.
func TestOldRefuses(t *testing.T) {
	old := oldServer("/m")
	b := newBackend(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" && r.Header.Get("Authorization") != "Bearer good" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(401)
			return
		}
		old.ServeHTTP(w, r)
	})))
	for range 2 { // before the transport is known, and after
		l := open(t, b)
		l.sayWith(t, "Authorization: Bearer bad\r\n", initialize)
		l.Want(t, "reply 1 401", "Www-Authenticate: Bearer\r\n")
		l.Close(context.Background())
		if got := len(l.Events); got != 0 {
			t.Errorf("%d more reports: %s", got, l.Next(t))
		}
		l = open(t, b)
		l.sayWith(t, "Authorization: Bearer good\r\n", initialize)
		l.Want(t, `"path":"/m"`)
		l.Close(context.Background())
	}
}

// TestEarlyRefusal: a server that refuses a message before it has read all of it
// is heard.
func TestEarlyRefusal(t *testing.T) {
	l := open(t, newBackend(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(413)
	})), func(c *Config) { c.MaxQueue = 64 << 20 }))
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
	l.Want(t, "reply 1 502", "status 413")
	text := request(16 << 20)
	for range 3 {
		l.say(t, "%s", text)
		l.Want(t, "reply 1 502")
	}
}
