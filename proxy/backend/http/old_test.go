package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
)

func TestContractOld(t *testing.T) {
	contract.Run(t, func(t *testing.T, s contract.Settings) backend.Backend {
		url := ""
		if s.Peer == contract.Deaf {
			url = deaf(t, s.Done)
		} else {
			url = serve(t, oldPeer(s.Peer))
		}
		return newBackend(t, url, settings(s))
	}, contract.Framed, contract.Loose)
}

// oldPeer speaks HTTP+SSE: what is posted goes to the one stream that is open.
func oldPeer(peer string) http.Handler {
	posted := make(chan []byte, 4096)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /messages", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		posted <- body
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "Accepted")
	})
	mux.HandleFunc("GET /mcp", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: endpoint\ndata: /messages?session=1\n\n")
		http.NewResponseController(w).Flush()
		over := r.Context().Done()
		half := make(chan struct{})
		p := &httpPeer{w: w}
		cut := contract.ServeMessages(peer, func() ([]byte, error) {
			select {
			case body := <-posted:
				return body, nil
			case <-over:
				return nil, io.EOF
			case <-half:
				return nil, io.EOF
			}
		}, func(msg []byte) error {
			if msg == nil { // it reads on until the gate closes, which is the end of both
				defer close(half)
			}
			return p.send(msg)
		})
		switch {
		case p.half || r.Context().Err() != nil:
			return
		case cut != nil:
			fmt.Fprintf(w, "event: message\ndata: %s", cut[:len(cut)/2])
			http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	return mux
}

// oldServer is an old server that names endpoint, and answers initialize.
func oldServer(endpoint string) http.Handler {
	streams := struct {
		sync.Mutex
		last chan string // of the stream that was opened last: one whose client has left may not know it yet
	}{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "GET":
			answers := make(chan string, 10)
			streams.Lock()
			streams.last = answers
			streams.Unlock()
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: endpoint\ndata: %s\n\n", strings.ReplaceAll(endpoint, "HOST", r.Host))
			for {
				http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case answer := <-answers:
					fmt.Fprintf(w, "event: message\ndata: %s\n\n", answer)
				}
			}
		case r.URL.Path == "/mcp":
			w.WriteHeader(http.StatusMethodNotAllowed)
		default:
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusAccepted)
			if strings.Contains(string(body), `"initialize"`) {
				streams.Lock()
				defer streams.Unlock()
				streams.last <- `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2024-11-05","path":"` + r.RequestURI + `"}}`
			}
		}
	})
}

// TestOldEndpoints: messages are posted within the origin of the URL only.
func TestOldEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"/messages?s=1":           `"path":"/messages?s=1"`,
		"messages/2":              `"path":"/messages/2"`,
		"?s=3":                    "", // the endpoint is /mcp itself, which this server does not serve
		"http://HOST/m":           `"path":"/m"`,
		"HTTP://HOST/m":           `"path":"/m"`,
		"//HOST/m":                `"path":"/m"`,
		"https://HOST/m":          "another origin",
		"http://127.0.0.1:1/m":    "another origin",
		"//example.com/m":         "another origin",
		"http://user@HOST/m":      "another origin",
		"http://HOST@evil.test/m": "another origin",
		"javascript:alert(1)":     "another origin",
		"/m m":                    "no URL",
		"/m\u00e9":                "no URL",
	} {
		t.Run(endpoint, func(t *testing.T) {
			l := open(t, newBackend(t, serve(t, oldServer(endpoint))))
			l.say(t, initialize)
			switch {
			case strings.HasPrefix(want, `"path"`):
				l.Want(t, want)
			case want == "":
				l.Want(t, "reply 1 502", "status 405")
			default:
				l.Want(t, "reply 1 502", "names an endpoint", want)
				if err := l.End(t); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Closed: %v, want %q in it", err, want)
				}
			}
		})
	}
}

// TestTransportIsLookedForAgain: a server may be replaced by a newer one, or by
// an older.
func TestTransportIsLookedForAgain(t *testing.T) {
	var mu sync.Mutex
	var handler http.Handler
	b := newBackend(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := handler
		mu.Unlock()
		h.ServeHTTP(w, r)
	})))
	newer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18"}}`)
	})
	for i, h := range []http.Handler{oldServer("/m"), oldServer("/m"), newer, newer, oldServer("/m"), newer} {
		mu.Lock()
		handler = h
		mu.Unlock()
		l := open(t, b)
		l.say(t, initialize)
		l.Want(t, `"id":1,"result"`)
		l.Close(context.Background())
		if err := l.End(t); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestNeither: a server that speaks neither is said to have refused the call.
func TestNeither(t *testing.T) {
	for _, status := range []int{400, 404, 405} {
		l := open(t, newBackend(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", status)
		}))))
		l.say(t, initialize)
		l.Want(t, "reply 1 502", fmt.Sprintf("status %d", status))
		l.say(t, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`) // and the connection lives on
		l.Want(t, "reply 2 502")
	}
}

// oldScript is an old server that opens its stream with opening, and answers a
// POST to /m with body and to the endpoint itself with 405.
func oldScript(opening, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "GET":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, opening)
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case r.URL.Path == "/m":
			_, _ = io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, body)
		default:
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
}

// TestOldFirstEvents: the endpoint may come behind events of other types, and
// not behind a message.
func TestOldFirstEvents(t *testing.T) {
	const endpoint = "event: endpoint\ndata: /m\n\n"
	for opening, want := range map[string]string{
		"event: hello\ndata: x\n\nevent: ping\ndata: y\n\n" + endpoint: `"result"`,
		": a comment\n\n" + endpoint:                                   `"result"`,
		"event: message\ndata: {}\n\n" + endpoint:                      "status 405; is the URL",
		"data: {}\n\n" + endpoint:                                      "status 405; is the URL",
	} {
		l := open(t, newBackend(t, serve(t, oldScript(opening, okBody))))
		l.say(t, initialize)
		l.Want(t, want)
	}
}

// TestOldAnsweredAtOnce: the answer may be in the response to the POST. What is
// no answer to the call there is dropped.
func TestOldAnsweredAtOnce(t *testing.T) {
	const stream = "event: endpoint\ndata: /m\n\nevent: message\ndata: " + `{"jsonrpc":"2.0","id":1,"result":{"on":"the stream"}}` + "\n\n"
	for body, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}`: `"message":"m"`,
		`{"status":"ok"}`: "the stream",
		`{"jsonrpc":"2.0","id":7,"result":{"on":"the POST"}}`: "the stream",
		`Accepted`: "the stream",
	} {
		opening := stream
		if want != "the stream" {
			opening = stream[:strings.Index(stream, "event: message")]
		}
		l := open(t, newBackend(t, serve(t, oldScript(opening, body))))
		l.say(t, initialize)
		l.Want(t, want)
		if want == "the stream" {
			continue
		}
		l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`) // and the session is open
		l.Want(t, want)
	}
}

// TestOldLookIsBounded: a server that says nothing to the look for HTTP+SSE is
// one that has none.
func TestOldLookIsBounded(t *testing.T) {
	t.Parallel()
	l := open(t, newBackend(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))))
	l.say(t, initialize)
	l.Want(t, "reply 1 502", "status 404; is the URL")
}

// TestPlainToTLS: an operator is asked whether the URL should be one of https
// where the first exchange ends as one does with a server that speaks TLS. It
// may be the probe for a modern one.
func TestPlainToTLS(t *testing.T) {
	for first, hint := range map[string]bool{"": true, "\x15\x03\x01\x00\x02\x02\x0a": true, "\x15\x03\x01\x00\x02\x02\x46": true, "220 mail\r\n": false, "HTTP": false} {
		s := newScript(t, func(*http.Request, string) text { return text{first, true} })
		for _, say := range []func(link){func(l link) { l.say(t, initialize) }, func(l link) { l.discover(t) }} {
			core, logs := observer.New(zap.WarnLevel)
			l := open(t, newBackend(t, s.URL, func(c *Config) { c.Log = zap.New(core) }))
			say(l)
			l.Want(t, "reply 1 502")
			if text := fmt.Sprint(logs.All()[0].ContextMap()); strings.Contains(text, "HTTPS?") != hint {
				t.Errorf("%q: logged %s", first, text)
			}
		}
	}
}
