package http

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// script is a server whose responses are text, so that they can be wrong. An
// empty one ends the connection; what is cut ends it behind the text.
type script struct {
	URL string

	mu    sync.Mutex
	seen  []string // "METHOD PATH" of every request
	conns map[net.Conn]bool
}

// text is a response. Behind it the connection ends where cut is set.
type text struct {
	is  string
	cut bool
}

func newScript(t testing.TB, respond func(r *http.Request, body string) text) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{URL: "http://" + l.Addr().String() + "/mcp", conns: map[net.Conn]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.note(c, true)
			serving.Go(func() { s.serve(c, respond) })
		}
	})
	t.Cleanup(func() { l.Close(); s.cut(); serving.Wait() })
	return s
}

func (s *script) note(c net.Conn, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c] = true; !open {
		delete(s.conns, c)
	}
}

// cut ends all connections.
func (s *script) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// count is how many connections there are.
func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// requests are those seen so far.
func (s *script) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

func (s *script) serve(c net.Conn, respond func(*http.Request, string) text) {
	defer s.note(c, false)
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.seen = append(s.seen, request.Method+" "+request.URL.Path)
		s.mu.Unlock()
		response := respond(request, string(body))
		if _, err := io.WriteString(c, response.is); err != nil || response.cut || response.is == "" {
			return
		}
	}
}

// always is a server that gives every request the same response.
func always(t testing.TB, response string) *script {
	return newScript(t, func(*http.Request, string) text { return text{response, false} })
}

// reply is a response with a body.
func reply(status int, header, body string) text {
	return text{fmt.Sprintf("HTTP/1.1 %d %s\r\n%sContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), header, len(body), body), false}
}

const jsonType = "Content-Type: application/json\r\n"
