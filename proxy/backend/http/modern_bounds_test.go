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

// TestModernSameID: requests with one id, which should not be, disturb nothing.
func TestModernSameID(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}} {
		var m modern
		all := []*exchange{{id: []byte("1"), request: true}, {id: []byte("1"), request: true}, {id: []byte("1"), request: true, listens: true}}
		for _, x := range all {
			m.add(x)
		}
		left := 3
		for _, i := range order {
			m.remove(all[i])
			if left--; m.running() != left || (m.find([]byte("1")) != nil) != (left > 0) || m.find([]byte("1")) == all[i] {
				t.Errorf("%v: wrong after %d", order, i)
			}
		}
		if len(m.byID) != 0 {
			t.Errorf("%d are left", len(m.byID))
		}
	}
}

// TestModernLimits: listens, modern calls and those of the session are counted
// apart.
func TestModernLimits(t *testing.T) {
	l := openModern(t, newBackend(t, newScript(t, answering).URL))
	const listen, call = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}`, `{"jsonrpc":"2.0","id":2,"method":"x"}`
	count := func(calls, listens int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.modern.calls += calls
		l.modern.listens += listens
	}
	for _, full := range []struct{ calls, listens int }{{maxModernCalls, 0}, {0, maxListens}} {
		count(full.calls, full.listens)
		for text, refused := range map[string]bool{listen: full.listens > 0, call: full.calls > 0} {
			err := l.SendWith(contract.Message(text), []byte(ofModern))
			if (err == backend.ErrFull) != refused || err != nil && !refused {
				t.Errorf("%+v: %s: %v", full, text, err)
			}
			if !refused {
				l.Want(t, `"result"`)
			}
		}
		contract.Eventually(t, "nothing runs", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.modern.running() == full.calls+full.listens
		})
		count(-full.calls, -full.listens)
	}
}

// TestModernQueue: what the server does not take is bounded.
func TestModernQueue(t *testing.T) {
	done := make(chan struct{})
	l := openModern(t, newBackend(t, deaf(t, done), func(c *Config) { c.MaxQueue = 1 << 20 }))
	text := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"x","params":{"text":%q}}`, strings.Repeat("x", 16<<20))
	if err := l.SendWith(contract.Message(text), []byte(ofModern)); err != nil {
		t.Errorf("one message, nothing else waiting: %v", err)
	}
	if err := l.SendWith(contract.Message(text), []byte(ofModern)); err != backend.ErrFull {
		t.Errorf("and another: %v", err)
	}
	if !l.Cancel([]byte("1")) { // also while it is being written
		t.Error("it cannot be cancelled")
	}
	contract.Eventually(t, "there is room again", func() bool {
		err := l.SendWith(contract.Message(`{"jsonrpc":"2.0","id":2,"method":"x"}`), []byte(ofModern))
		return err == nil
	})
	l.Cancel([]byte("2"))
	close(done)
}

// TestModernTooLong: the answer is skipped, and no call is blamed for another.
func TestModernTooLong(t *testing.T) {
	large := strings.Repeat("x", 2000)
	for name, test := range map[string]struct{ response, want string }{
		"JSON":    {reply(200, jsonType, `{"jsonrpc":"2.0","id":1,"result":"`+large+`"}`).is, "too long 1"},
		"event":   {eventsType + "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"" + large + "\"}\n\n", "too long 1"},
		"another": {eventsType + "data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"" + large + "\"}\n\n", "reply 1 502"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, func(*http.Request, string) text { return text{test.response, true} })
			l := openModern(t, newBackend(t, s.URL, func(c *Config) { c.MaxMessage = 1000 }))
			l.sayModern(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
			l.Want(t, test.want)
			l.Close(context.Background())
			if len(l.Events) > 0 {
				t.Errorf("got %s", l.Next(t))
			}
		})
	}
}

// TestModernMany: calls, listens and their cancellations side by side, which
// leave nothing behind.
func TestModernMany(t *testing.T) {
	const clients, each = 8, 40
	l := openModern(t, newBackend(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, _ := idOf(string(body))
		if strings.Contains(string(body), "listen") {
			w.Header().Set("Content-Type", "text/event-stream")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
	}))))
	var saying sync.WaitGroup
	defer saying.Wait()
	for client := range clients {
		saying.Go(func() {
			for n := range each {
				id := 2 * (client*each + n)
				for kind, text := range []string{`{"jsonrpc":"2.0","id":%d,"method":"subscriptions/listen"}`, `{"jsonrpc":"2.0","id":%d,"method":"x"}`} {
					if err := l.SendWith(contract.Message(fmt.Sprintf(text, id+kind)), []byte(ofModern)); err != nil {
						t.Errorf("Send: %v", err)
					}
				}
				if n%4 > 0 && !l.Cancel(fmt.Append(nil, id)) {
					t.Errorf("listen %d is not known", id)
				}
			}
		})
	}
	want := map[string]bool{}
	for n := range clients * each {
		want[fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{}}`, 2*n+1)] = true
	}
	for len(want) > 0 {
		got := l.Next(t)
		if !want[got] {
			t.Fatalf("got %s", got)
		}
		delete(want, got)
	}
	saying.Wait()
	contract.Eventually(t, "the listens that were not cancelled are left", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.modern.calls == 0 && l.modern.listens == clients*each/4 && len(l.modern.byID) == clients*each/4
	})
	l.Close(context.Background())
	if len(l.Events) > 0 || len(l.running) > 0 || l.modern.running() > 0 || l.queued != 0 {
		t.Errorf("left over: %d events, %d exchanges, %d of them counted, %d bytes", len(l.Events), len(l.running), l.modern.running(), l.queued)
	}
}
