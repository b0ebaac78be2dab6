package http

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
	"sidegate/proxy/wire"
)

// hosting is a backend whose every message comes on a goroutine that lends
// itself.
type hosting struct{ backend.Backend }

func (h hosting) Open(ctx context.Context, r backend.Receiver) (backend.Conn, error) {
	c, err := h.Backend.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	return &hostingConn{Conn: c}, nil
}

// hostingConn serves each host on a goroutine of its own, since tests send from
// where they may not wait.
type hostingConn struct{ backend.Conn }

func (c *hostingConn) Send(msg *wire.Buffer) error {
	host := &wire.Host{}
	msg.Host = host
	err := c.Conn.Send(msg)
	go host.Serve() // it ends before the connection does
	return err
}

func TestContractOnHosts(t *testing.T) {
	contract.Run(t, func(t *testing.T, s contract.Settings) backend.Backend {
		url := ""
		if s.Peer == contract.Deaf {
			url = deaf(t, s.Done)
		} else {
			url = serve(t, streamablePeer(s.Peer))
		}
		return hosting{newBackend(t, url, settings(s))}
	}, contract.Framed, contract.Apart)
}

// heard is a receiver that hands over what comes.
type heard struct{ came chan string }

func (h *heard) Message(msg *wire.Buffer, _ *wire.Envelope) {
	h.came <- string(msg.B)
	msg.Release()
}
func (h *heard) TooLong([]byte, int64)            { h.came <- "too long" }
func (h *heard) Garbage([]byte)                   { h.came <- "garbage" }
func (h *heard) Reply(_ []byte, r *backend.Reply) { h.came <- fmt.Sprintf("status %d", r.Status) }
func (h *heard) Closed(error)                     {}

// TestHosted: whatever the server does with the second request, on the
// connection of the first, its answer comes; on the host's goroutine where it is
// short and whole, and soon, which on a busy machine takes some tries.
func TestHosted(t *testing.T) {
	const answer = `{"jsonrpc":"2.0","id":2,"result":{}}`
	long := answer[:len(answer)-1] + strings.Repeat(" ", 9000) + "}"
	later := func(s string) []string { return []string{"", s} }
	for _, row := range []struct {
		name   string
		parts  []string // written with a pause between them, longer than a host waits
		want   string
		hosted bool
	}{
		{"at once", []string{jsonResponse(answer)}, answer, true},
		{"late", later(jsonResponse(answer)), answer, false},
		{"cut in the head", []string{jsonResponse(answer)[:20], jsonResponse(answer)[20:]}, answer, false},
		{"cut in the body", []string{jsonResponse(answer)[:len(jsonResponse(answer))-5], answer[len(answer)-5:]}, answer, false},
		{"long", []string{jsonResponse(long)}, long, false},
		{"after another head", []string{"HTTP/1.1 103 Early Hints\r\n\r\n" + jsonResponse(answer)}, answer, false},
		{"an event", []string{fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\ndata: %s\n\n\r\n0\r\n\r\n", len(answer)+8, answer)}, answer, false},
		{"refused", []string{"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"}, "status 502", false},
		{"misframed", []string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"}, "status 502", true},
		{"closed", nil, "status 502", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			for range 100 {
				got, served := callTwice(t, second(t, row.parts))
				if got != row.want {
					t.Fatalf("got %.200s", got)
				}
				if served || !row.hosted {
					return
				}
			}
			t.Error("it was never on the host's goroutine")
		})
	}
}

// callTwice makes two calls and returns the answer to the second, and whether it
// was there when the host had served.
func callTwice(t *testing.T, url string) (answer string, served bool) {
	t.Helper()
	r := &heard{make(chan string, 1)}
	c, err := newBackend(t, url).Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	hostedSend(t, c, 1)
	<-r.came
	served = hostedSend(t, c, 2)
	select {
	case answer = <-r.came:
	case <-time.After(time.Minute):
		t.Fatal("there was no answer")
	}
	return answer, served
}

// hostedSend sends a call on this goroutine, and tells whether its answer was
// there when the host had served.
func hostedSend(t *testing.T, c backend.Conn, id int) (answered bool) {
	t.Helper()
	msg := wire.Acquire(100)
	msg.B = fmt.Appendf(msg.B, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"x"}}`, id)
	host := &wire.Host{}
	msg.Host = host
	if err := c.Send(msg); err != nil {
		t.Fatal(err)
	}
	r := c.(*conn).receiver.to.(*heard)
	host.Serve()
	return len(r.came) > 0
}

// second answers the first request on a connection, and to the second writes
// the parts and then closes.
func second(t *testing.T, parts []string) string {
	t.Helper()
	var requests atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if requests.Add(1) == 1 {
						io.WriteString(c, jsonResponse(`{"jsonrpc":"2.0","id":1,"result":{}}`))
						continue
					}
					for i, part := range parts {
						if i > 0 {
							time.Sleep(3 * wire.HostPatience)
						}
						io.WriteString(c, part)
					}
					return
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return "http://" + l.Addr().String() + "/mcp"
}

// TestHostedCancel: a call that its host waits for can be broken off.
func TestHostedCancel(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"id":1,`) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
			return
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	b := newBackend(t, url)
	r := &heard{make(chan string, 1)}
	c, err := b.Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	hostedSend(t, c, 1)
	<-r.came
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ended := make(chan struct{})
	go func() {
		time.Sleep(wire.HostPatience / 2)
		c.Close(ctx)
		close(ended)
	}()
	hostedSend(t, c, 2)
	<-ended
}
