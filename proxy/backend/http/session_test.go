package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
)

// answering answers every request in JSON; what is no request with 202.
func answering(r *http.Request, body string) text {
	if r.Method != "POST" {
		return reply(405, "", "")
	}
	id, ok := idOf(body)
	if !ok {
		return reply(202, "", "")
	}
	return reply(200, jsonType, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25"}}`, id))
}

func idOf(body string) (string, bool) {
	_, rest, ok := strings.Cut(body, `"id":`)
	if !ok {
		return "", false
	}
	return rest[:strings.IndexAny(rest, ",}")], true
}

// TestStatuses: what comes of a response that is no answer.
func TestStatuses(t *testing.T) {
	const problem = `{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"odd"}}`
	const nobodys = `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad things"}}`
	header := "WWW-Authenticate: Bearer resource_metadata=\"https://x/.well-known/y\"\r\nX-Mine: 1\r\nServer: x\r\nMcp-Session-Id: x\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
	const passed = "WWW-Authenticate: Bearer resource_metadata=\"https://x/.well-known/y\"\r\nX-Mine: 1\r\n"
	for _, test := range []struct {
		name     string
		response text
		want     string
	}{
		{"401", reply(401, header+jsonType, `{"error":"invalid_token"}`), "reply 1 401 application/json|" + passed + `|{"error":"invalid_token"}|`},
		{"401 without a body", reply(401, header, ""), "reply 1 401 |" + passed + "||"},
		{"403", reply(403, header+"Content-Type: text/plain\r\n", "no"), "reply 1 403 text/plain|" + passed + "|no|"},
		{"403 with an answer", reply(403, header+jsonType, problem), "reply 1 403 application/json|" + passed + "|" + problem + "|"},
		{"401 with a large body", reply(401, header, strings.Repeat("x", maxReplyBody+1)), "reply 1 401 |" + passed + "||"},
		{"429", reply(429, "Retry-After: 7\r\n", "slow down"), "reply 1 429 |Retry-After: 7\r\n|slow down|"},
		{"503", reply(503, "Retry-After: 7\r\n", ""), "reply 1 503 |Retry-After: 7\r\n||"},
		{"503 with an answer", reply(503, jsonType, problem), problem},
		{"400 with an answer", reply(400, jsonType, problem), problem},
		{"404 with an answer", reply(404, jsonType, problem), problem},
		{"500 with an answer", reply(500, "Content-Type: application/json; charset=utf-8\r\n", problem), problem},
		{"400 with nobody's answer", reply(400, jsonType, nobodys), "|the tool server refused the call with status 400: Bad things"},
		{"500", reply(500, "", "oops"), "reply 1 502 |||the tool server refused the call with status 500"},
		{"500 with a large body", reply(500, "", strings.Repeat("x", maxReplyBody+1)), "status 500"},
		{"302", reply(302, "Location: http://127.0.0.1:1/\r\n", ""), "reply 1 502 |||the tool server redirects (status 302)"},
		{"304", text{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false}, "status 304"},
		{"202", reply(202, "", ""), "accepted the call (status 202)"},
		{"204", text{"HTTP/1.1 204 No Content\r\n\r\n", false}, "accepted the call (status 204)"},
		{"HTML", reply(200, "Content-Type: text/html; charset=utf-8\r\n", "<html>"), `content type "text/html; charset=utf-8"`},
		{"no type", reply(200, "", okBody), `content type ""`},
		{"201 with an answer", reply(201, jsonType, okBody), okBody},
		{"another answer", reply(200, jsonType, `{"jsonrpc":"2.0","id":2,"result":{}}`), `"id":2`},
		{"no JSON", reply(200, jsonType, `{"jsonrpc":"2.0","id":1,"result":{}`), "garbage"},
		{"an empty body", reply(200, jsonType, ""), "garbage"},
		{"an odd session id", reply(200, jsonType+"Mcp-Session-Id: a b\r\n", okBody), "session id that is none"},
		{"an endless session id", reply(200, jsonType+"Mcp-Session-Id: "+strings.Repeat("a", 2000)+"\r\n", okBody), "session id that is none"},
		{"a byte order mark", reply(200, jsonType, "\ufeff"+okBody), okBody},
		{"line breaks", reply(200, jsonType, "{\"jsonrpc\":\"2.0\",\r\n\"id\":1,\n\"result\":{}}\n"), "{\"jsonrpc\":\"2.0\",  \"id\":1, \"result\":{}}"},
		{"a batch", reply(200, jsonType, "["+okBody+"]"), okBody},
		{"headers beside an answer", reply(200, jsonType+"Date: x\r\nServer: y\r\nVary: z\r\nCache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\nX-Accel-Buffering: no\r\nKeep-Alive: timeout=5\r\nAlt-Svc: h3\r\nX-Mine: 2\r\n", okBody),
			"reply 1 200 |X-Mine: 2\r\n||"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, func(r *http.Request, _ string) text {
				if r.Method == "GET" {
					return reply(405, "", "")
				}
				return test.response
			})
			l := open(t, newBackend(t, s.URL))
			l.say(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
			l.Want(t, test.want)
			l.Close(context.Background())
			l.End(t)
		})
	}
}

// TestTooLong: what is too large for the gate is no reason to hold it.
func TestTooLong(t *testing.T) {
	large := `{"jsonrpc":"2.0","id":1,"result":"` + strings.Repeat("x", 2000) + `"}`
	for name, response := range map[string]string{
		"length": reply(200, jsonType, large).is,
		"chunks": fmt.Sprintf("HTTP/1.1 200 OK\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", jsonType, len(large), large),
		"end":    "HTTP/1.1 200 OK\r\n" + jsonType + "Connection: close\r\n\r\n" + large,
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, newBackend(t, always(t, response).URL, func(c *Config) { c.MaxMessage = 1000 }))
			l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
			l.Want(t, "too long 1")
		})
	}
}

// TestSession: the server's session id and revision go along from the answer to
// initialize on, and the session is ended with DELETE.
func TestSession(t *testing.T) {
	for revision, sent := range map[string]string{"2025-11-25": "2025-11-25", "2025-06-18": "2025-06-18", "2025-03-26": "", "2024-11-05": "", "9\u00e9": "", strings.Repeat("9", 40): ""} {
		var mu sync.Mutex
		var seen []string
		s := newScript(t, func(r *http.Request, body string) text {
			mu.Lock()
			seen = append(seen, fmt.Sprintf("%s %s %s|%s|%s", r.Method, r.RequestURI, r.Header.Get("Mcp-Session-Id"), r.Header.Get("Mcp-Protocol-Version"), r.Header.Get("X-Client")))
			mu.Unlock()
			if strings.Contains(body, "initialize\"") {
				return reply(200, jsonType+"mcp-session-id: s~1\r\n", `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"`+revision+`"}}`)
			}
			return answering(r, body)
		})
		l := open(t, newBackend(t, s.URL+"/path?k=v"))
		l.sayWith(t, "X-Client: a\r\n", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
		l.sayWith(t, "X-Client: b\r\n", `{"jsonrpc":"2.0","id":2,"method":"x"}`)
		l.Want(t, `"id":1`)
		l.Want(t, `"id":2`)
		l.Close(context.Background())
		want := fmt.Sprintf(`["POST /mcp/path?k=v ||a" "POST /mcp/path?k=v s~1|%s|b" "DELETE /mcp/path?k=v s~1|%s|"]`, sent, sent)
		mu.Lock()
		if got := fmt.Sprintf("%q", seen); got != want {
			t.Errorf("the server saw\n%s, want\n%s", got, want)
		}
		mu.Unlock()
		if err := l.End(t); err != nil {
			t.Errorf("Closed: %v", err)
		}
	}
}

// TestSessionGone: the server does not know the session any more.
func TestSessionGone(t *testing.T) {
	for name, response := range map[string]text{
		"404":                reply(404, "", ""),
		"404 with an error":  reply(404, jsonType, `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`),
		"404 with an answer": reply(404, jsonType, `{"jsonrpc":"2.0","id":2,"error":{"code":-32001,"message":"Session not found"}}`),
		"400 as some do":     reply(400, jsonType, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}`),
	} {
		for what, message := range map[string]string{
			"request":      `{"jsonrpc":"2.0","id":2,"method":"x"}`,
			"notification": `{"jsonrpc":"2.0","method":"x"}`,
		} {
			if what == "notification" && !strings.HasPrefix(name, "404") {
				continue
			}
			t.Run(name+" "+what, func(t *testing.T) {
				s := newScript(t, func(r *http.Request, body string) text {
					if strings.Contains(body, "initialize") {
						return reply(200, jsonType+"Mcp-Session-Id: s\r\n", `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}`)
					}
					return response
				})
				l := open(t, newBackend(t, s.URL))
				l.say(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
				l.Want(t, `"id":1`)
				l.say(t, "%s", message)
				err := l.End(t)
				if brief, ok := err.(interface{ Brief() string }); !ok || !strings.Contains(brief.Brief(), "has ended the session") {
					t.Errorf("Closed: %v", err)
				}
				if err := l.Send(nothing()); err != backend.ErrClosed {
					t.Errorf("Send: %v", err)
				}
			})
		}
	}
	t.Run("404 for a method", func(t *testing.T) {
		s := newScript(t, func(r *http.Request, body string) text {
			if strings.Contains(body, "initialize") {
				return reply(200, jsonType+"Mcp-Session-Id: s\r\n", `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}`)
			}
			return reply(404, jsonType, `{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"no such method"}}`)
		})
		l := open(t, newBackend(t, s.URL))
		l.say(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
		l.Want(t, `"id":1`)
		for range 2 {
			l.say(t, `{"jsonrpc":"2.0","id":2,"method":"x"}`)
			l.Want(t, "no such method")
		}
	})
}

// TestRestart: a server that was restarted between two calls is not noticed by
// one that keeps no session, and every call has an answer while it is away.
func TestRestart(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, _ := idOf(string(body))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
	})
	s := httptest.NewServer(handler)
	address := s.Listener.Addr().String()
	b := newBackend(t, s.URL)
	l := open(t, b)
	for n := range 5 {
		for id := range 8 { // connections enough for some to lie in the pool
			l.say(t, `{"jsonrpc":"2.0","id":%d,"method":"x"}`, id)
		}
		for range 8 {
			l.Want(t, `"result":{}`)
		}
		s.CloseClientConnections()
		s.Close()
		if n == 2 {
			l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
			l.Want(t, "reply 1 503", "the tool server cannot be reached; try again shortly")
			if err := b.Check(context.Background()); err == nil {
				t.Error("Check says that a server is there")
			}
		}
		s = httptest.NewUnstartedServer(handler)
		s.Listener.Close()
		contract.Eventually(t, "the port is free", func() (ok bool) {
			s.Listener, ok = listenAt(address)
			return ok
		})
		s.Start()
	}
	s.CloseClientConnections()
	s.Close()
}

// TestPool: connections are used again, a few are kept, and with the last link
// none.
func TestPool(t *testing.T) {
	s := newScript(t, answering)
	b := newBackend(t, s.URL)
	one, two := open(t, b), open(t, b)
	for id := range 50 {
		one.say(t, `{"jsonrpc":"2.0","id":%d,"method":"x"}`, id)
		one.Want(t, `"result"`)
		two.say(t, `{"jsonrpc":"2.0","id":%d,"method":"x"}`, id)
		two.Want(t, `"result"`)
	}
	if n := s.count(); n > 2 {
		t.Errorf("%d connections for one call at a time", n)
	}
	one.Close(context.Background())
	if n := s.count(); n == 0 {
		t.Error("the connections were closed while there was a link")
	}
	two.Close(context.Background())
	contract.Eventually(t, "the connections are closed", func() bool { return s.count() == 0 })
}

// TestPoolExpires: a connection is not kept for longer than the server says.
func TestPoolExpires(t *testing.T) {
	t.Parallel()
	s := newScript(t, func(r *http.Request, body string) text {
		return reply(200, jsonType+"Keep-Alive: timeout=2\r\n", okBody)
	})
	l := open(t, newBackend(t, s.URL))
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
	l.Want(t, okBody)
	contract.Eventually(t, "the connection is closed", func() bool { return s.count() == 0 })
}

// TestOrder: everything waits for the answer to initialize, and nothing
// overtakes a notification or an answer, while requests overtake each other.
func TestOrder(t *testing.T) {
	arrived := make(chan string, 10)
	let := map[string]chan bool{"initialize": make(chan bool), "note": make(chan bool), "slow": make(chan bool)}
	s := newScript(t, func(r *http.Request, body string) text {
		for what, c := range let {
			if strings.Contains(body, what) {
				arrived <- what
				<-c
				return answering(r, body)
			}
		}
		arrived <- "other"
		return answering(r, body)
	})
	l := open(t, newBackend(t, s.URL))
	next := func(want string) {
		t.Helper()
		select {
		case got := <-arrived:
			if got != want {
				t.Fatalf("%s arrived, want %s", got, want)
			}
		case <-time.After(contract.Patience):
			t.Fatal("nothing arrived")
		}
	}
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	l.say(t, `{"jsonrpc":"2.0","method":"note"}`)
	l.say(t, `{"jsonrpc":"2.0","id":2,"method":"slow"}`)
	l.say(t, `{"jsonrpc":"2.0","id":3,"method":"x"}`)
	next("initialize")
	let["initialize"] <- true
	next("note")
	l.Want(t, `"id":1`)
	let["note"] <- true
	if a, b := <-arrived, <-arrived; a+b != "slowother" && a+b != "otherslow" {
		t.Errorf("%s and %s arrived", a, b)
	}
	l.Want(t, `"id":3`)
	l.say(t, `{"jsonrpc":"2.0","id":7,"result":"note"}`) // an answer waits for nobody's answer
	next("note")
	l.say(t, `{"jsonrpc":"2.0","id":4,"method":"x"}`)
	let["note"] <- true
	next("other")
	l.Want(t, `"id":4`)
	let["slow"] <- true
	l.Want(t, `"id":2`)
}

// TestCancelledCallsEnd: what was cancelled does not hold its connection for
// ever.
func TestCancelledCallsEnd(t *testing.T) {
	t.Parallel()
	gone := make(chan bool, 1)
	l := open(t, newBackend(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "slow") {
			<-r.Context().Done()
			gone <- true
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(200)
		io.WriteString(w, okBody)
	}))))
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
	l.Want(t, okBody)
	l.say(t, `{"jsonrpc":"2.0","id":2,"method":"slow"}`)
	l.say(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
	select {
	case <-gone:
	case <-time.After(contract.Patience):
		t.Error("the connection of a cancelled call is held")
	}
	select {
	case got := <-l.Events:
		t.Errorf("got %s", got)
	default:
	}
}
