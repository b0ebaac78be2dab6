package http

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newBackend makes a backend for url.
func newBackend(t testing.TB, url string, change ...func(*Config)) *Backend {
	t.Helper()
	config := Config{Name: "test", URL: url, StopTimeout: time.Second}
	for _, f := range change {
		f(&config)
	}
	b, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve serves handler until the test's end, and returns its URL.
func serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL + "/mcp"
}

// deaf is a server that takes connections and reads nothing, until done.
func deaf(t testing.TB, done <-chan struct{}) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { <-done; c.Close() }()
		}
	}()
	t.Cleanup(func() { l.Close(); <-stopped })
	return "http://" + l.Addr().String() + "/mcp"
}

func TestContractStreamable(t *testing.T) {
	contract.Run(t, func(t *testing.T, s contract.Settings) backend.Backend {
		url := ""
		if s.Peer == contract.Deaf {
			url = deaf(t, s.Done)
		} else {
			url = serve(t, streamablePeer(s.Peer))
		}
		return newBackend(t, url, settings(s))
	}, contract.Framed, contract.Apart)
}

func settings(s contract.Settings) func(*Config) {
	return func(c *Config) {
		c.MaxMessage, c.MaxQueue, c.Budget, c.StopTimeout = s.MaxMessage, s.MaxQueue, s.Budget, s.StopTimeout
	}
}

// streamablePeer answers every request with an event stream of its own.
func streamablePeer(peer string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if peer == contract.Silent {
			<-r.Context().Done()
			return
		}
		p := &httpPeer{w: w, body: body}
		p.start()
		cut := contract.ServeMessages(peer, p.next, p.send)
		switch {
		case p.half || p.asked > 1:
		case cut != nil:
			fmt.Fprintf(w, "data: %s", cut[:len(cut)/2])
			http.NewResponseController(w).Flush()
			fallthrough
		default:
			panic(http.ErrAbortHandler)
		}
	})
}

// httpPeer is the peer's side of one request.
type httpPeer struct {
	w     http.ResponseWriter
	body  []byte
	asked int
	half  bool
}

func (p *httpPeer) start() { p.w.Header().Set("Content-Type", "text/event-stream") }

func (p *httpPeer) next() ([]byte, error) {
	if p.asked++; p.asked > 1 {
		return nil, io.EOF
	}
	return p.body, nil
}

func (p *httpPeer) send(msg []byte) error {
	if msg == nil {
		p.half = true
		return halfClose(p.w)
	}
	if _, err := p.w.Write(wire.AppendEventHead(nil, nil)); err != nil {
		return err
	}
	if _, err := p.w.Write(msg); err != nil {
		return err
	}
	_, err := io.WriteString(p.w, wire.EventTail)
	http.NewResponseController(p.w).Flush()
	return err
}

// halfClose ends what the server says and reads on.
func halfClose(w http.ResponseWriter) error {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.(*net.TCPConn).CloseWrite()
	_, err = io.Copy(io.Discard, c)
	return err
}

// link is one connection of a test, which ends with it.
type link struct {
	*conn
	*contract.Recorder
}

func open(t testing.TB, b *Backend) link {
	t.Helper()
	r := contract.NewRecorder()
	c, err := b.Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return link{c.(*conn), r}
}

// say sends a message.
func (l link) say(t testing.TB, format string, args ...any) {
	t.Helper()
	l.sayWith(t, "", format, args...)
}

func (l link) sayWith(t testing.TB, header, format string, args ...any) {
	t.Helper()
	msg := wire.Acquire(0)
	msg.B = fmt.Appendf(msg.B, format, args...)
	if err := l.SendWith(msg, []byte(header)); err != nil {
		t.Fatalf("Send: %v", err)
	}
}
