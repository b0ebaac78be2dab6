package e2e

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// TestServerSessionStaysInside: the client's session id is the gate's own, and
// the server's is the server's.
func TestServerSessionStaysInside(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := inFront(t, u)
	one, two := open(t, g), open(t, g)
	for _, s := range []*harness.Session{one, two} {
		resp := s.Do(t, harness.ToolCall("1", "echo", `{}`))
		resp.Answer(t)
		if id := resp.Header.Get("Mcp-Session-Id"); strings.Contains(s.ID+id, "upstream") || id != "" && id != s.ID {
			t.Errorf("the client was given %q and %q", s.ID, id)
		}
	}
	seen := map[string]bool{}
	for _, r := range u.Requests() {
		id := r.Header.Get("Mcp-Session-Id")
		if !strings.Contains(r.Body, `"initialize"`) && !strings.Contains(r.Body, `"server/discover"`) && !strings.HasPrefix(id, "upstream-session-") {
			t.Errorf("the server was sent the session id %q with %s", id, r.Body)
		}
		seen[id] = true
	}
	if !seen["upstream-session-1"] || !seen["upstream-session-2"] {
		t.Errorf("the server was sent the sessions %v, want one for each client", seen)
	}
	wantNowhere(t, u.Requests(), one.ID)
	wantNowhere(t, u.Requests(), two.ID)

	one.End(t)
	harness.Eventually(t, "the server's session is ended too", func() bool {
		return slices.ContainsFunc(u.Requests(), func(r upstreamRequest) bool { return r.Method == "DELETE" })
	})
	alive(t, two)
}

// TestUpstreamEvents: an event reaches the client before the server has written
// the next.
func TestUpstreamEvents(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := open(t, inFront(t, u))
	events := s.Begin(t, harness.ToolCallWithToken("7", `"mine"`, "events", `{"big":9007199254740993}`)).Events(t)
	for range 2 {
		if _, note := events.NextMessage(t); note.Method != "notifications/progress" || harness.Field(t, note.Params, "progressToken") != "mine" {
			t.Errorf("got %s", note.Raw)
		}
		u.proceed <- struct{}{}
	}
	if _, answer := events.NextMessage(t); string(answer.ID) != "7" || answer.Structured(t) != `{"big":9007199254740993}` {
		t.Errorf("got %s", answer.Raw)
	}
	events.WantProperEnd(t)
}

// TestUpstreamSize: an answer over the limit fails its call and no other,
// however the server sends it.
func TestUpstreamSize(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	big := strings.Repeat("x", 17<<20)
	u.Serve = func(w http.ResponseWriter, _ *http.Request, m upstreamMessage) bool {
		switch m.Params.Name {
		case "big event", "big event behind another":
			w.Header().Set("Content-Type", "text/event-stream")
			if m.Params.Name != "big event" {
				fmt.Fprintf(w, "data: %s\n\n", harness.Notification("notifications/progress", fmt.Sprintf(`{"progressToken":%s,"progress":1}`, m.Params.Meta.Token)))
				http.NewResponseController(w).Flush()
			}
			fmt.Fprintf(w, "data: %s\n\n", harness.Reply(string(m.ID), `{"big":"`+big+`"}`))
		case "big body":
			writeJSON(w, harness.Reply(string(m.ID), `{"big":"`+big+`"}`))
		default:
			return false
		}
		return true
	}
	s := open(t, inFront(t, u))
	other := s.Begin(t, harness.ToolCallWithToken("77", `1`, "events", `{"other":true}`)).Events(t)
	other.NextMessage(t)
	for i, tool := range []string{"big event", "big event behind another", "big body"} {
		t.Run(tool, func(t *testing.T) {
			id := fmt.Sprint(10 + i)
			resp := s.Do(t, harness.ToolCallWithToken(id, `2`, tool, `{}`))
			messages := resp.Messages(t)
			if last := messages[len(messages)-1]; last.Code() != tooLarge || string(last.ID) != id {
				t.Errorf("status %d with %s, want the code %d", resp.Status, harness.Short(last.Raw), tooLarge)
			}
			alive(t, s)
		})
	}
	u.proceed <- struct{}{}
	other.NextMessage(t)
	u.proceed <- struct{}{}
	if _, answer := other.NextMessage(t); answer.Structured(t) != `{"other":true}` {
		t.Errorf("the other call got %s", answer.Raw)
	}
}

// TestUpstreamRestart: the server starts anew between two calls, at the same
// port. The pooled connections are dead then.
func TestUpstreamRestart(t *testing.T) {
	t.Parallel()
	t.Run("stateless", func(t *testing.T) {
		u := newUpstream(t)
		u.Stateless = true
		s := open(t, inFront(t, u))
		for range 3 {
			alive(t, s)
			u.Stop()
			u.Start(t)
			alive(t, s)
		}
	})
	t.Run("stateful", func(t *testing.T) {
		u := newUpstream(t)
		g := inFront(t, u)
		s := open(t, g)
		alive(t, s)
		u.Stop()
		u.Start(t)
		resp := s.Do(t, harness.ToolCall("9", "echo", `{}`)) // finds out
		if m := harness.ParseMessage(t, string(resp.Body)); resp.Status != 404 || m.Error == nil || string(m.ID) != "9" {
			t.Errorf("status %d: %s", resp.Status, resp.Body)
		}
		s.Gone(t)
		alive(t, open(t, g))
	})
}

// TestUpstreamPool: calls one after the other, of many sessions, need no
// connection each.
func TestUpstreamPool(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	g := inFront(t, u)
	for range 5 {
		s := open(t, g)
		for range 10 {
			alive(t, s)
		}
		s.End(t)
	}
	if n := u.Accepted(); n > 15 { // 70 requests, and streams that the gate may hold open
		t.Errorf("%d connections were made", n)
	}
}

// TestUpstreamAsks: what the server asks in the middle of a call reaches the
// client, and the client's answer the server, each under the server's own id.
func TestUpstreamAsks(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	told := make(chan string, 1)
	u.Serve = func(w http.ResponseWriter, r *http.Request, m upstreamMessage) bool {
		switch {
		case m.Params.Name == "ask":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: %s\n\n", harness.RPC(`"q/1"`, "roots/list", ""))
			http.NewResponseController(w).Flush()
			select {
			case id := <-told:
				m.Params.Arguments = []byte(fmt.Sprintf(`{"told":%s}`, id))
				fmt.Fprintf(w, "data: %s\n\n", upstreamResult(m))
			case <-r.Context().Done():
			}
			return true
		case m.Method == "" && m.ID != nil: // an answer
			told <- string(m.ID)
		}
		return false
	}
	s := open(t, inFront(t, u))
	events := s.Begin(t, harness.ToolCall("1", "ask", `{}`)).Events(t)
	_, question := events.NextMessage(t)
	if question.Method != "roots/list" {
		t.Fatalf("got %s", question.Raw)
	}
	s.Accepted(t, harness.Reply(string(question.ID), `{"roots":[]}`))
	if _, answer := events.NextMessage(t); answer.Structured(t) != `{"told":"q/1"}` {
		t.Errorf("got %s", answer.Raw)
	}
}

// TestUpstreamStream: what the server says outside of any call, on the stream
// that a GET opens, reaches the client's stream.
func TestUpstreamStream(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.Serve = func(w http.ResponseWriter, r *http.Request, _ upstreamMessage) bool {
		if r.Method != "GET" {
			return false
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\n", harness.Notification("notifications/tools/list_changed", ""))
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
	s := open(t, inFront(t, u))
	if _, note := s.Stream(t, "").NextMessage(t); note.Method != "notifications/tools/list_changed" {
		t.Errorf("got %s", note.Raw)
	}
	alive(t, s)
}

// TestUpstreamOnlySSE: a server of the first revision, which has HTTP+SSE and
// nothing else, serves clients of the latest transport.
func TestUpstreamOnlySSE(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	answers := make(chan string)
	u.Serve = func(w http.ResponseWriter, r *http.Request, m upstreamMessage) bool {
		switch {
		case r.Method == "GET" && r.URL.Path == "/mcp":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "event: endpoint\ndata: /messages?secret=upstream-session-old\n\n")
			for {
				http.NewResponseController(w).Flush()
				select {
				case answer := <-answers:
					fmt.Fprintf(w, "event: message\ndata: %s\n\n", answer)
				case <-r.Context().Done():
					return true
				}
			}
		case r.Method == "POST" && r.URL.Path == "/messages" && r.URL.RawQuery == "secret=upstream-session-old":
			w.WriteHeader(http.StatusAccepted)
			http.NewResponseController(w).Flush()
			answer := upstreamResult(m)
			if m.Method == "initialize" {
				answer = harness.Reply(string(m.ID), `{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"1"}}`)
			}
			if m.ID != nil {
				select {
				case answers <- answer:
				case <-r.Context().Done():
				}
			}
		default:
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return true
	}
	s := open(t, inFront(t, u))
	if s.Revision != "2024-11-05" {
		t.Errorf("the revision is %s", s.Revision)
	}
	alive(t, s)
	alive(t, s)
}

// TestUpstreamDown: a server that is not there is told of, and taken in again
// once it is.
func TestUpstreamDown(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.Stop()
	g := inFront(t, u, "--pass", "/open/")
	resp := g.Do(t, harness.Client{ID: "3"}.Initialize())
	m := harness.ParseMessage(t, string(resp.Body))
	if resp.Status != unavailable && resp.Status != badGateway || m.Error == nil || len(strings.Fields(m.Error.Message)) < 5 || resp.Header.Get("Mcp-Session-Id") != "" {
		t.Errorf("status %d, %v, %s", resp.Status, resp.Header, resp.Body)
	}
	if resp := g.Do(t, harness.Bare("GET", "/open/x")); resp.Status != unavailable && resp.Status != badGateway {
		t.Errorf("a path that is passed got status %d: %s", resp.Status, resp.Body)
	}
	harness.Eventually(t, "/readyz says that the server is down", func() bool { return g.Ready(t) == unavailable })
	u.Start(t)
	harness.Eventually(t, "/readyz says that the server is up", func() bool { return g.Ready(t) == 200 })
	s := open(t, g)
	alive(t, s)
	u.Stop()
	if resp := s.Do(t, harness.ToolCall("4", "echo", `{}`)); resp.Status != unavailable && resp.Status != badGateway {
		t.Errorf("a call got status %d: %s", resp.Status, resp.Body)
	}
	harness.Eventually(t, "/readyz says that the server is down again", func() bool { return g.Ready(t) == unavailable })
}

// TestUpstreamOnUnixSocket: http+unix:// with the socket's path encoded.
func TestUpstreamOnUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "upstream") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{}
	u.startOn(ln)
	t.Cleanup(u.Stop)
	s := open(t, before(t, []string{"http+unix://" + strings.ReplaceAll(path, "/", "%2F") + "/mcp"}))
	alive(t, s)
	wantNowhere(t, u.Requests(), path)
}

// TestUpstreamTLS: a certificate that somebody vouches for is taken, and no
// other.
func TestUpstreamTLS(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("who is trusted is told by SSL_CERT_FILE, which only Linux reads")
	}
	u := &upstream{Stateless: true}
	server := httptest.NewUnstartedServer(u)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(env ...string) *harness.Gate {
		return harness.Start(t, harness.Setup{Command: []string{}, Env: env, Flags: []string{"--backend", server.URL + "/mcp"}})
	}
	g := start()
	resp := g.Do(t, harness.Client{}.Initialize())
	if resp.Status != unavailable && resp.Status != badGateway || strings.Contains(string(resp.Body), "127.0.0.1") {
		t.Errorf("status %d: %s", resp.Status, resp.Body)
	}
	harness.Eventually(t, "the operator is told that it is for the certificate", func() bool {
		return strings.Contains(g.Log(), "certificate")
	})
	if came := u.Requests(); len(came) != 0 {
		t.Errorf("a server that nobody vouches for was sent %v", came)
	}
	alive(t, open(t, start("SSL_CERT_FILE="+roots)))
}

// TestUpstreamMisframes: what the server says in two ways at once is not passed
// on, and does not touch the next call.
func TestUpstreamMisframes(t *testing.T) {
	t.Parallel()
	const answer = `{"jsonrpc":"2.0","id":0,"result":{}}`
	hidden := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n" + answer
	for name, raw := range map[string]string{
		"length and chunks": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"two lengths":       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + hidden,
		"a cut body":        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n" + answer,
		"a fold":            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Any: a\r\n Content-Length: 37\r\n\r\n" + answer,
		"bare LF":           "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 37\n\n" + answer,
		"switching":         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
		"no HTTP":           "SSH-2.0-OpenSSH_9.2\r\n",
		"nothing":           "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			u.Serve = func(w http.ResponseWriter, _ *http.Request, m upstreamMessage) bool {
				if m.Params.Name != "raw" {
					return false
				}
				c, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return true
				}
				c.SetDeadline(time.Now().Add(harness.Patience))
				c.Write([]byte(raw))
				c.Close()
				return true
			}
			s := open(t, inFront(t, u))
			resp := s.Do(t, harness.ToolCall("1", "raw", `{}`))
			messages := resp.Messages(t)
			if m := messages[len(messages)-1]; m.Error == nil || string(m.ID) != "1" || len(messages) != 1 {
				t.Errorf("status %d: %s", resp.Status, resp.Body)
			}
			alive(t, s)
		})
	}
}
