package http

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sidegate/proxy/backend/contract"
)

const eventsType = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

// TestResume: a stream that ends before the answer is asked to go on from its
// last event, as long as it brings something.
func TestResume(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	s := newScript(t, func(r *http.Request, _ string) text {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == "POST" {
			return text{eventsType + "id: 0\nretry: 1\ndata:\n\n", true}
		}
		last := r.Header.Get("Last-Event-ID")
		asked = append(asked, last)
		switch n := len(asked); {
		case n < 10:
			return text{eventsType + fmt.Sprintf("id: %d\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"n%d\"}\n\ndata: cut", n, n), true}
		case n == 10:
			return text{"", true}
		case n == 11:
			return reply(503, "", "")
		}
		return text{eventsType + "data: " + okBody + "\n\n", true}
	})
	l := open(t, newBackend(t, s.URL))
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
	for n := 1; n < 10; n++ {
		l.Want(t, fmt.Sprintf(`"n%d"`, n))
	}
	l.Want(t, okBody)
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(asked, " "); got != "0 1 2 3 4 5 6 7 8 9 9 9" {
		t.Errorf("asked to go on from %s", got)
	}
}

// TestNotResumed: a stream that does not go on has lost the call's answer.
func TestNotResumed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		event  string
		again  text
		resume bool
	}{
		"no id":        {"retry: 1\ndata: {}\n\n", text{"", true}, false},
		"an odd id":    {"retry: 1\nid: a\x01b\ndata: {}\n\n", text{"", true}, false},
		"refused":      {"retry: 1\nid: 1\ndata:\n\n", reply(400, "", ""), true},
		"no GET":       {"retry: 1\nid: 1\ndata:\n\n", reply(405, "", ""), true},
		"nothing more": {"retry: 1\nid: 1\ndata:\n\n", text{eventsType, true}, true},
		"always busy":  {"retry: 1\nid: 1\ndata:\n\n", reply(503, "", ""), true},
		"breaks":       {"retry: 1\nid: 1\ndata:\n\n", text{"", true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, func(r *http.Request, _ string) text {
				if r.Method == "POST" {
					return text{eventsType + test.event, true}
				}
				return test.again
			})
			l := open(t, newBackend(t, s.URL))
			l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
			got := l.Next(t)
			for strings.HasPrefix(got, "garbage") {
				got = l.Next(t)
			}
			if !strings.HasPrefix(got, "reply 1 502") || !strings.Contains(got, "ended its event stream") {
				t.Errorf("got %s", got)
			}
			if n := len(s.requests()); (n > 1) != test.resume || n > 1+maxResumes {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestListen: the stream for what is unasked is opened behind initialized, and
// again when it ends, from where it was.
func TestListen(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	s := newScript(t, func(r *http.Request, body string) text {
		if r.Method != "GET" {
			return answering(r, body)
		}
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Header.Get("Last-Event-ID"))
		switch n := len(asked); n {
		case 1:
			return text{eventsType + "retry: 1\nid: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"n1\"}\n\n", true}
		case 2:
			return text{eventsType + "retry: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"n2\"}\n\n", true}
		case 3: // it has forgotten the event
			return reply(400, "", "")
		case 4:
			return text{eventsType + "retry: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"n3\"}\n\n", true}
		}
		return reply(405, "", "")
	})
	l := open(t, newBackend(t, s.URL))
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	l.Want(t, `"id":1`)
	l.say(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	l.Want(t, "n1")
	l.Want(t, "n2")
	l.Want(t, "n3")
	contract.Eventually(t, "the stream is given up", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.streams) == 0
	})
	mu.Lock()
	defer mu.Unlock()
	if got := fmt.Sprintf("%q", asked); got != `["" "1" "1" "" ""]` {
		t.Errorf("asked from %s", got)
	}
}

// TestHears: what a server says unasked is heard while there is a stream for it,
// and each stream is told from the one before.
func TestHears(t *testing.T) {
	t.Parallel()
	var streams atomic.Int32
	s := newScript(t, func(r *http.Request, body string) text {
		switch {
		case r.Method != "GET":
			return answering(r, body)
		case streams.Add(1) <= 2: // it stays open
			return text{eventsType + "retry: 1\n\n", false}
		}
		return reply(405, "", "")
	})
	l := open(t, newBackend(t, s.URL))
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	l.Want(t, `"id":1`)
	if l.Hears() != 0 {
		t.Error("heard without a stream")
	}
	l.say(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	for _, want := range []uint64{1, 2, 0} {
		contract.Eventually(t, fmt.Sprintf("Hears is %d", want), func() bool { return l.Hears() == want })
		s.cut()
	}
	l.old.Store(new(exchange)) // as with HTTP+SSE
	if l.Hears() == 0 {
		t.Error("the stream of HTTP+SSE counts as none")
	}
	l.old.Store(nil)
}

// TestStreamAfterTheAnswer: what a server says behind an answer still counts,
// and a stream that it does not end is ended for it.
func TestStreamAfterTheAnswer(t *testing.T) {
	t.Parallel()
	l := open(t, newBackend(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"behind\"}\n\nevent: other\ndata: {}\n\n", okBody)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))))
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
	l.Want(t, okBody)
	l.Want(t, "behind")
	contract.Eventually(t, "the exchange is over", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.running) == 0
	})
	select {
	case got := <-l.Events:
		t.Errorf("got %s", got)
	default:
	}
}
