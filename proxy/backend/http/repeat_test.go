package http

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sidegate/proxy/backend"
)

// leaving is a server that has had enough of every connection after one
// request: it reads the second one and ends the connection, as a server does
// that closes an idle one while a request is on its way. It counts what it
// reads.
type leaving struct {
	reset bool // the end is a reset
	first string

	mu   sync.Mutex
	uses map[string]int // of a connection
	read int
}

func (s *leaving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.read++
	s.uses[r.RemoteAddr]++
	leaves := s.uses[r.RemoteAddr] > 1
	s.mu.Unlock()
	if leaves {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if s.reset {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		io.WriteString(c, s.first)
		c.Close()
		return
	}
	id, _ := idOf(string(body))
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
}

func (s *leaving) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read
}

// TestRepeated: what changes nothing is sent once more where a connection of the
// pool ends before the first byte of a response, and all else is not.
func TestRepeated(t *testing.T) {
	for _, test := range []struct {
		method string
		server *leaving
		reads  int
	}{
		{"initialize", &leaving{}, 3},
		{"ping", &leaving{}, 3},
		{"tools/list", &leaving{}, 3},
		{"tools/list", &leaving{reset: true}, 3},
		{"resources/templates/list", &leaving{}, 3},
		{"resources/read", &leaving{}, 3},
		{"completion/complete", &leaving{}, 3},
		{"tools/list", &leaving{first: "H"}, 2},
		{"tools/list", &leaving{first: "HTTP/1.1 103 Early Hints\r\n\r\n"}, 2},
		{"tools/call", &leaving{}, 2},
		{"tools/call", &leaving{reset: true}, 2},
		{"logging/setLevel", &leaving{}, 2},
		{"x/list", &leaving{}, 2},
	} {
		for name, params := range map[string]string{"small": "", "large": strings.Repeat("x", 2*directSize)} {
			t.Run(fmt.Sprintf("%s, %s, reset %v, first %q", test.method, name, test.server.reset, test.server.first), func(t *testing.T) {
				server := &leaving{reset: test.server.reset, first: test.server.first, uses: map[string]int{}}
				l := open(t, newBackend(t, serve(t, server)))
				l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
				l.Want(t, `"id":1,"result"`)
				l.say(t, `{"jsonrpc":"2.0","id":2,"method":%q,"params":{"x":%q}}`, test.method, params)
				if test.reads == 3 {
					l.Want(t, `"id":2,"result"`)
				} else {
					l.Want(t, "reply 2 502")
				}
				if n := server.count(); n != test.reads {
					t.Errorf("the server read %d requests, want %d", n, test.reads)
				}
			})
		}
	}
}

// TestModernRepeated: so it is with modern requests.
func TestModernRepeated(t *testing.T) {
	for text, reads := range map[string]int{
		`"method":"server/discover"`:                                 3,
		`"method":"prompts/list"`:                                    3,
		`"method":"prompts/get"`:                                     3,
		`"method":"subscriptions/listen"`:                            3,
		`"method":"resources/read","params":{"uri":"x"}`:             3,
		`"method":"resources/read","params":{"requestState":"x"}`:    2,
		`"method":"prompts/get","params":{"inputResponses":{"x":1}}`: 2,
		`"method":"tools/call"`:                                      2,
		`"method":"x"`:                                               2,
	} {
		server := &leaving{uses: map[string]int{}}
		l := open(t, newBackend(t, serve(t, server)))
		l.sayModern(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
		l.Want(t, `"id":1,"result"`)
		l.sayModern(t, `{"jsonrpc":"2.0","id":2,%s}`, text)
		if reads == 3 {
			l.Want(t, `"id":2,"result"`)
		} else {
			l.Want(t, "reply 2 502")
		}
		if n := server.count(); n != reads {
			t.Errorf("%s: the server read %d requests, want %d", text, n, reads)
		}
	}
}

// TestPassRepeated: so it is with requests for other paths.
func TestPassRepeated(t *testing.T) {
	for method, answered := range map[string]bool{"GET": true, "HEAD": true, "POST": false, "DELETE": false} {
		b := newBackend(t, serve(t, &leaving{uses: map[string]int{}}))
		b.pool.enter() // for the connection to be kept
		defer b.pool.leave()
		for i := range 2 {
			r, err := b.Pass(context.Background(), &backend.PassRequest{Method: method, Target: "/x"})
			if (err == nil) != (answered || i == 0) {
				t.Errorf("%s, time %d: %v", method, i, err)
			}
			if err == nil && r.Release != nil {
				r.Release()
			}
		}
	}
}

// TestIdleRace: a server that closes connections at about the time when they
// are used again loses no call that may be repeated.
func TestIdleRace(t *testing.T) {
	const idle = 3 * time.Millisecond
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, _ := idOf(string(body))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
	}))
	s.Config.IdleTimeout = idle
	s.Start()
	defer s.Close()
	l := open(t, newBackend(t, s.URL))
	for i := range 300 {
		l.say(t, `{"jsonrpc":"2.0","id":%d,"method":"tools/list"}`, i)
		l.Want(t, fmt.Sprintf(`"id":%d,"result"`, i))
		time.Sleep(idle - 500*time.Microsecond + time.Duration(i%10)*100*time.Microsecond)
	}
}

// TestIdleTime: a connection is kept for less long than servers keep it.
func TestIdleTime(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": idleTime, "Keep-Alive: max=5\r\n": idleTime, "Keep-Alive: timeout=5\r\n": 4 * time.Second,
		"Keep-Alive: timeout=30\r\n": 29 * time.Second, "Keep-Alive: timeout=900\r\n": maxIdleTime,
	} {
		b := newBackend(t, always(t, reply(200, header, "x").is).URL)
		b.pool.enter()
		if _, err := b.Pass(context.Background(), &backend.PassRequest{Method: "GET", Target: "/"}); err != nil {
			t.Fatal(err)
		}
		if u := b.pool.idle[0]; u.idle != want || want > maxIdleTime {
			t.Errorf("%q: kept for %v, want %v", header, u.idle, want)
		}
		b.pool.leave()
	}
}
