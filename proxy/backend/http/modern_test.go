package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
	"sidegate/proxy/wire"
)

// ofModern is how the header of a modern message begins.
const ofModern = "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: x\r\n"

// relater tells for which request a message came, and what status a server
// gave.
type relater struct{ *contract.Recorder }

func (r relater) Related(id []byte, msg *wire.Buffer, _ *wire.Envelope) {
	r.Events <- fmt.Sprintf("related %s %s", id, msg.B)
	msg.Release()
}

func (r relater) Reply(id []byte, reply *backend.Reply) {
	r.Events <- fmt.Sprintf("reply %s %d said %d %s|%s|%s|%s", id, reply.Status, reply.Said, reply.Type, reply.Header, reply.Body, reply.Reason)
}

// openModern is open with a relater.
func openModern(t testing.TB, b *Backend) link {
	t.Helper()
	r := relater{contract.NewRecorder()}
	c, err := b.Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return link{c.(*conn), r.Recorder}
}

// sayModern sends a modern message.
func (l link) sayModern(t testing.TB, format string, args ...any) {
	t.Helper()
	l.sayWith(t, ofModern, format, args...)
}

// TestModernBeside: a modern message has nothing of a session, waits for
// nothing, and leaves no trace in the session.
func TestModernBeside(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	opened := make(chan bool)
	s := newScript(t, func(r *http.Request, body string) text {
		h := r.Header
		mu.Lock()
		seen = append(seen, fmt.Sprintf("%s %q %q %q %q %q", r.Method, h["Mcp-Session-Id"], h["Mcp-Protocol-Version"], h["Mcp-Method"], h["Authorization"], h["X-Client"]))
		mu.Unlock()
		if strings.Contains(body, `"initialize"`) {
			<-opened
			return reply(200, jsonType+"Mcp-Session-Id: s\r\n", `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}`)
		}
		return answering(r, body)
	})
	l := open(t, newBackend(t, s.URL))
	l.sayWith(t, "Authorization: Bearer a\r\n", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	l.sayWith(t, ofModern+"Authorization: Bearer b\r\nX-Client: 1\r\n", `{"jsonrpc":"2.0","id":2,"method":"x"}`)
	l.Want(t, `"id":2`)
	opened <- true
	l.Want(t, `"id":1`)
	l.sayWith(t, ofModern+"Authorization: Bearer b\r\n", `{"jsonrpc":"2.0","id":3,"method":"x"}`)
	l.Want(t, `"id":3`)
	l.Close(context.Background())
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(seen[:2]) // they went out side by side
	want := []string{
		`POST [] ["2026-07-28"] ["x"] ["Bearer b"] ["1"]`,
		`POST [] [] [] ["Bearer a"] []`,
		`POST [] ["2026-07-28"] ["x"] ["Bearer b"] []`,
		`DELETE ["s"] ["2025-11-25"] [] ["Bearer a"] []`,
	}
	if got := fmt.Sprintf("%q", seen); got != fmt.Sprintf("%q", want) {
		t.Errorf("the server saw\n%s, want\n%q", got, want)
	}
}

// TestModernAlone: what sends nothing but modern messages opens nothing, ends
// nothing, and learns nothing of the legacy transports.
func TestModernAlone(t *testing.T) {
	never := make(chan bool)
	s := newScript(t, func(r *http.Request, body string) text {
		if strings.Contains(body, "slow") {
			<-never
		}
		return answering(r, body)
	})
	b := newBackend(t, s.URL)
	l := open(t, b)
	l.sayModern(t, `{"jsonrpc":"2.0","id":1,"method":"slow"}`)
	l.sayModern(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	for id := range 20 {
		l.sayModern(t, `{"jsonrpc":"2.0","id":%d,"method":"initialize"}`, id+2)
		l.Want(t, fmt.Sprintf(`"id":%d`, id+2))
	}
	close(never)
	l.Want(t, `"id":1`)
	l.Close(context.Background())
	if err := l.End(t); err != nil {
		t.Errorf("Closed: %v", err)
	}
	for _, r := range s.requests() {
		if r != "POST /mcp" {
			t.Errorf("the server saw %s", r)
		}
	}
	if n := len(s.requests()); n != 22 || b.newer.Load() || b.older.Load() {
		t.Errorf("%d requests; Streamable HTTP %v, HTTP+SSE %v", n, b.newer.Load(), b.older.Load())
	}
	if err := l.SendWith(nothing(), []byte(ofModern)); err != backend.ErrClosed {
		t.Errorf("Send after Close: %v", err)
	}
}

// TestModernStream: what may be in the response to a modern request, and what
// may not.
func TestModernStream(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	progress := `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1}}`
	stream := eventsType + ": hello\n\n:\n\nid: 5\ndata: " + progress + "\n\n" +
		"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}\n\n" +
		"data: {\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}\n\n" +
		"data: {\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{},}\n\n" +
		"data: " + `{"jsonrpc":"2.0","id":7,"result":{}}` + "\n\n" +
		"data: " + progress + "\n\ndata: " + `{"jsonrpc":"2.0","id":7,"result":{"second":1}}` + "\n\n"
	s := newScript(t, func(*http.Request, string) text { return text{stream, true} })
	for _, opening := range []func(testing.TB, *Backend) link{open, openModern} {
		l := opening(t, newBackend(t, s.URL, func(c *Config) { c.Log = zap.New(core) }))
		l.sayModern(t, `{"jsonrpc":"2.0","id":7,"method":"x"}`)
		want := progress
		if l.receiver.relater != nil {
			want = "related 7 " + progress
		}
		if got := l.Next(t); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := l.Next(t); got != `{"jsonrpc":"2.0","id":7,"result":{}}` {
			t.Errorf("got %s", got)
		}
		l.Close(context.Background())
		if len(l.Events) > 0 {
			t.Errorf("got %s too", l.Next(t))
		}
	}
	for _, text := range []string{"a request of its own", "answer to another request", "no message"} {
		if logs.Filter(func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, text) }).Len() == 0 {
			t.Errorf("not logged: %s", text)
		}
	}
}

// TestModernStreamEnds: a stream that ends without the answer is not asked to
// go on.
func TestModernStreamEnds(t *testing.T) {
	for name, stream := range map[string]string{
		"at once": "", "behind an event with an id": "id: 1\nretry: 1\ndata:\n\n", "in an event": "data: {",
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, func(*http.Request, string) text { return text{eventsType + stream, true} })
			l := openModern(t, newBackend(t, s.URL))
			l.sayModern(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
			for got := l.Next(t); !strings.HasPrefix(got, "reply 1 502 said 200"); got = l.Next(t) {
				if !strings.HasPrefix(got, "garbage") {
					t.Fatalf("got %s", got)
				}
			}
			if got := s.requests(); len(got) != 1 {
				t.Errorf("the server saw %q", got)
			}
		})
	}
}

// TestModernStatuses: what comes of a response with a status that is none of an
// answer. The connection outlives all of them.
func TestModernStatuses(t *testing.T) {
	const fault = `"error":{"code":-32022,"message":"odd","data":{"supported":["2025-11-25"]}}}`
	const own, none, null, other = `{"jsonrpc":"2.0","id":1,` + fault, `{"jsonrpc":"2.0",` + fault, `{"jsonrpc":"2.0","id":null,` + fault, `{"jsonrpc":"2.0","id":"server-error",` + fault
	header := "WWW-Authenticate: Bearer\r\nX-Mine: 1\r\nMcp-Session-Id: x\r\n"
	const passed = "WWW-Authenticate: Bearer\r\nX-Mine: 1\r\n"
	for _, test := range []struct {
		name     string
		response text
		want     []string
	}{
		{"400, its id", reply(400, jsonType, own), []string{own}},
		{"400, no id", reply(400, jsonType, none), []string{own}},
		{"400, null", reply(400, jsonType, null), []string{own}},
		{"404, no id", reply(404, "Content-Type: application/json; charset=utf-8\r\n", none), []string{own}},
		{"500, no id, on lines", reply(500, jsonType, strings.ReplaceAll(none, `"odd",`, "\"odd\",\n ")), []string{strings.ReplaceAll(own, `"odd",`, `"odd",  `)}},
		{"429 with a header", reply(429, "Retry-After: 7\r\n"+jsonType, null), []string{"reply 1 200 said 0 |Retry-After: 7\r\n||", own}},
		{"200, no id", reply(200, jsonType, none), []string{own}},
		{"an event, null", text{eventsType + "data: " + null + "\n\n", true}, []string{own}},
		{"400, another id", reply(400, jsonType, other), []string{"reply 1 502 said 400 ", "status 400: odd"}},
		{"400, no JSON", reply(400, "Content-Type: text/plain\r\n", own), []string{"reply 1 502 said 400 "}},
		{"400, a large one", reply(400, jsonType, own+strings.Repeat(" ", maxReplyBody)), []string{"reply 1 502 said 400 "}},
		{"401", reply(401, header+jsonType, own), []string{"reply 1 401 said 401 application/json|" + passed + "|" + own + "|"}},
		{"403", reply(403, header+jsonType, none), []string{"reply 1 403 said 403 application/json|" + passed + "|" + none + "|"}},
		{"404", reply(404, "", "404 page not found"), []string{"reply 1 502 said 404 ", "is the URL that of an MCP endpoint?"}},
		{"405", reply(405, "", ""), []string{"reply 1 502 said 405 "}},
		{"500", reply(500, "", "oops"), []string{"reply 1 502 said 500 "}},
		{"503", reply(503, "Retry-After: 7\r\n", ""), []string{"reply 1 503 said 503 |Retry-After: 7\r\n||"}},
		{"302", reply(302, "Location: /x\r\n", ""), []string{"reply 1 502 said 302 ", "redirects"}},
		{"202", reply(202, "", ""), []string{"reply 1 502 said 202 "}},
		{"HTML", reply(200, "Content-Type: text/html\r\n", "<html>"), []string{"reply 1 502 said 200 "}},
		{"another answer", reply(200, jsonType, `{"jsonrpc":"2.0","id":2,"result":{}}`), []string{"reply 1 502 said 200 ", "no answer to the call"}},
		{"a request", reply(200, jsonType, `{"jsonrpc":"2.0","id":1,"method":"roots/list"}`), []string{"reply 1 502 said 200 "}},
		{"nothing", text{}, []string{"reply 1 502 said 0 "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, func(r *http.Request, body string) text {
				if strings.Contains(body, "again") {
					return answering(r, body)
				}
				return test.response
			})
			l := openModern(t, newBackend(t, s.URL))
			l.sayModern(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
			got := l.Next(t)
			for _, want := range test.want {
				if strings.HasPrefix(want, "{") && strings.HasPrefix(got, "reply 1 200") {
					got = l.Next(t)
				}
				if !strings.Contains(got, want) || strings.HasPrefix(want, "{") && got != want {
					t.Errorf("got\n%s, want\n%s", got, want)
				}
			}
			l.sayModern(t, `{"jsonrpc":"2.0","method":"x"}`)
			l.sayModern(t, `{"jsonrpc":"2.0","id":2,"method":"again"}`)
			l.Want(t, `"id":2`)
		})
	}
}

// TestModernCancel: a cancelled request is broken off before its response and
// within it, is not heard of again, and no other is touched.
func TestModernCancel(t *testing.T) {
	arrived, gone := make(chan string, 2), make(chan string, 2)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, _ := idOf(string(body))
		if strings.Contains(string(body), "quick") {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
			return
		}
		if strings.Contains(string(body), "stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"note\"}\n\n")
			http.NewResponseController(w).Flush()
		}
		arrived <- id
		<-r.Context().Done()
		gone <- id
	})
	t.Run("http", func(t *testing.T) { testModernCancel(t, newBackend(t, serve(t, handler)), arrived, gone) })
	t.Run("https", func(t *testing.T) {
		s := httptest.NewTLSServer(handler)
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		testModernCancel(t, newBackend(t, s.URL, func(c *Config) { c.TLS = &tls.Config{RootCAs: roots} }), arrived, gone)
	})
}

func testModernCancel(t *testing.T, b *Backend, arrived, gone <-chan string) {
	l := openModern(t, b)
	for id, method := range map[string]string{"1": "silent", "2": "stream"} {
		l.sayModern(t, `{"jsonrpc":"2.0","id":%s,"method":%q}`, id, method)
		<-arrived
		if method == "stream" {
			l.Want(t, "related 2 ", "note")
		}
		if !l.Cancel([]byte(id)) {
			t.Errorf("%s is not known", method)
		}
		if got := <-gone; got != id {
			t.Errorf("%s was broken off instead of %s", got, id)
		}
		l.Cancel([]byte(id)) // again, or after its end
	}
	l.sayModern(t, `{"jsonrpc":"2.0","id":3,"method":"quick"}`)
	l.Want(t, `"id":3`)
	contract.Eventually(t, "what was cancelled is not counted", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.modern.running() == 0 && len(l.modern.byID) == 0 && len(l.running) == 0
	})
	if !l.Cancel([]byte("9")) {
		t.Error("a request of a connection that has modern ones alone is taken for a legacy one")
	}
	l.say(t, `{"jsonrpc":"2.0","id":4,"method":"quick"}`)
	l.Want(t, `"id":4`)
	if l.Cancel([]byte("4")) {
		t.Error("a legacy request is taken for a modern one")
	}
	if len(l.Events) > 0 {
		t.Errorf("got %s", l.Next(t))
	}
}

// TestModernListen: a listen lasts as long as both sides want, in silence too,
// holds up no call and no end, and is ended by the server with its answer.
func TestModernListen(t *testing.T) {
	say := make(chan string)
	gone := make(chan bool, 1)
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), "listen") {
			id, _ := idOf(string(body))
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			http.NewResponseController(w).Flush()
			select {
			case text := <-say:
				fmt.Fprint(w, text)
				if strings.Contains(text, "result") {
					return
				}
			case <-r.Context().Done():
				gone <- true
				return
			}
		}
	}))
	const note = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	l := openModern(t, newBackend(t, url, func(c *Config) { c.StopTimeout = contract.Patience }))
	l.sayModern(t, `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}`)
	for id := range 100 {
		l.sayModern(t, `{"jsonrpc":"2.0","id":%d,"method":"x"}`, id+2)
		l.Want(t, fmt.Sprintf(`"id":%d`, id+2))
	}
	say <- ":\r\n"
	say <- "data: " + note + "\n\n"
	if got := l.Next(t); got != "related 1 "+note {
		t.Errorf("got %s", got)
	}
	say <- "data: " + `{"jsonrpc":"2.0","id":1,"result":{}}` + "\n\n"
	l.Want(t, `"id":1,"result"`)

	l.sayModern(t, `{"jsonrpc":"2.0","id":200,"method":"subscriptions/listen"}`)
	say <- "data: " + note + "\n\n"
	l.Want(t, "related 200 ")
	ctx, cancel := context.WithTimeout(context.Background(), contract.Patience/2)
	defer cancel()
	l.Close(ctx)
	if ctx.Err() != nil {
		t.Error("Close has waited for a listen")
	}
	<-gone
	if len(l.Events) > 0 {
		t.Errorf("got %s", l.Next(t))
	}
}
