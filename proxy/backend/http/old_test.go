package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

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
		answers chan string
	}{answers: make(chan string, 10)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "GET":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: endpoint\ndata: %s\n\n", strings.ReplaceAll(endpoint, "HOST", r.Host))
			for {
				http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case answer := <-streams.answers:
					fmt.Fprintf(w, "event: message\ndata: %s\n\n", answer)
				}
			}
		case r.URL.Path == "/mcp":
			w.WriteHeader(http.StatusMethodNotAllowed)
		default:
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusAccepted)
			if strings.Contains(string(body), `"initialize"`) {
				streams.answers <- `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2024-11-05","path":"` + r.RequestURI + `"}}`
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
				l.want(t, want)
			case want == "":
				l.want(t, "reply 1 502", "status 405")
			default:
				if err := l.end(t); err == nil || !strings.Contains(err.Error(), want) {
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
		l.want(t, `"id":1,"result"`)
		l.Close(context.Background())
		if err := l.end(t); err != nil {
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
		l.want(t, "reply 1 502", fmt.Sprintf("status %d", status))
		l.say(t, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`) // and the connection lives on
		l.want(t, "reply 2 502")
	}
}
