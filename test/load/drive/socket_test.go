package drive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sidegate/test/load/serve"
)

// peer answers each call on a WebSocket with what the twist makes of the right
// answer: no message, one, or several.
func peer(t *testing.T, twist func(call int, right []byte) [][]byte) Door {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{"mcp"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for call := -1; ; call++ { // initialize and initialized come first
			_, message, err := c.ReadMessage()
			if err != nil {
				return
			}
			answers := [][]byte{serve.Tools{}.Answer(nil, message)}
			if call > 0 {
				answers = twist(call, answers[0])
			}
			for _, answer := range answers {
				if len(answer) > 0 {
					c.WriteMessage(websocket.TextMessage, answer)
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	return Door{Addr: strings.TrimPrefix(server.URL, "http://"), Path: "/ws"}
}

// TestSocketBalance wants everything that a server can do to one of many
// answers under way to be seen.
func TestSocketBalance(t *testing.T) {
	var kept []byte
	for _, test := range []struct {
		name  string
		twist func(call int, right []byte) [][]byte
		want  func(b *Balance) bool
	}{
		{"right", func(_ int, right []byte) [][]byte { return [][]byte{right} },
			func(b *Balance) bool { return b.Good() && b.Sent >= 8 }},
		{"a notification between", func(_ int, right []byte) [][]byte {
			return [][]byte{[]byte(`{"jsonrpc":"2.0","method":"notifications/progress"}`), right}
		}, func(b *Balance) bool { return b.Good() }},
		{"out of order", func(call int, right []byte) [][]byte {
			switch {
			case call > 8: // of the first eight each has one behind it; the last of all would wait for ever
				return [][]byte{right}
			case call%2 == 1:
				kept = bytes.Clone(right)
				return nil
			}
			return [][]byte{right, kept}
		}, func(b *Balance) bool { return b.Good() }},
		{"twice", func(call int, right []byte) [][]byte {
			if call == 3 {
				return [][]byte{right, right}
			}
			return [][]byte{right}
		}, func(b *Balance) bool { return b.Twice == 1 && !b.Good() && b.Even() }},
		{"a result that is another's", func(call int, right []byte) [][]byte {
			if call == 3 {
				right = bytes.Replace(right, []byte("xxxx"), []byte("yyyy"), 1)
			}
			return [][]byte{right}
		}, func(b *Balance) bool { return b.Ended[Wrong] == 1 && b.Even() }},
		{"an id that nobody has used", func(call int, right []byte) [][]byte {
			if call == 3 {
				return [][]byte{[]byte(`{"jsonrpc":"2.0","id":77777777,"result":{}}`), right}
			}
			return [][]byte{right}
		}, func(b *Balance) bool { return b.Twice == 1 && !b.Good() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := OpenSocket(peer(t, test.twist), 300)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if report := s.Run(context.Background(), 8, 20*time.Millisecond); !test.want(&report.Balance) {
				t.Error(&report.Balance)
			}
		})
	}
}

// TestSocketLost wants answers that do not come before the end of the
// connection to be missed.
func TestSocketLost(t *testing.T) {
	s, err := OpenSocket(peer(t, func(int, []byte) [][]byte { return nil }), 300)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { s.conn.Conn.Close() })
	report := s.Run(context.Background(), 8, time.Second)
	if b := report.Balance; b.Sent != 8 || b.Ended[Lost] != 8 || b.Good() || !b.Even() {
		t.Error(&b)
	}
}

// TestSocketGone wants the end of a connection to be seen before more is sent.
func TestSocketGone(t *testing.T) {
	s, err := OpenSocket(peer(t, func(_ int, right []byte) [][]byte { return [][]byte{right} }), 300)
	if err != nil {
		t.Fatal(err)
	}
	if report := s.Run(context.Background(), 2, 0); s.Gone() || !report.Balance.Good() {
		t.Error("it is gone while the server is there", &report.Balance)
	}
	s.conn.Write(frame(closeFrame, []byte{3, 232})) // which the server answers
	for !s.Gone() {
		time.Sleep(time.Millisecond)
	}
}

// TestCrowd wants a crowd to tell streams that heard each notification once
// from those that heard it twice, not at all, or were cut.
func TestCrowd(t *testing.T) {
	tell := make(chan struct{})
	streams := make(chan int, 4)
	for i := range 4 {
		streams <- i
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Mcp-Session-Id", "s")
			if answer := (serve.Tools{}).Answer(nil, body); answer != nil {
				w.Write(answer)
			} else {
				w.WriteHeader(http.StatusAccepted)
			}
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-tell
		for range []int{1, 1, 2, 0}[<-streams] {
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	crowd, err := Gather(context.Background(), Door{Addr: strings.TrimPrefix(server.URL, "http://")}, GetStream, 4)
	if err != nil {
		t.Fatal(err)
	}
	close(tell)
	for crowd.got.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	if h := crowd.Await(1, 0); h.Right != 2 || h.Less != 1 || h.More != 1 || h.Cut != 0 {
		t.Errorf("%+v", h)
	}
	server.CloseClientConnections()
	for crowd.cut.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	crowd.Close()
}
