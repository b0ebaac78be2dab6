package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sidegate/proxy/backend"
)

func TestPass(t *testing.T) {
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/large":
			w.Write(make([]byte, 2000))
			return
		case "/moved":
			w.Header().Set("Location", "http://"+r.Host+"/new?x=y")
			w.WriteHeader(302)
			return
		case "/away":
			w.Header().Set("Location", "https://example.com/")
			w.WriteHeader(302)
			return
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/wait":
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Mine", "1")
		w.Header().Set("Cache-Control", "max-age=5")
		w.WriteHeader(203)
		fmt.Fprintf(w, "%s %s %s %s %s %d", r.Method, r.RequestURI, r.Header.Get("X-Client"), r.Header.Get("Content-Type"), body, r.ContentLength)
	}))
	b := newBackend(t, url, func(c *Config) { c.MaxMessage = 1000 })
	for _, test := range []struct {
		name    string
		request backend.PassRequest
		want    string
	}{
		{"GET", backend.PassRequest{Method: "GET", Target: "/.well-known/x?y=z", Header: []byte("X-Client: c\r\n")}, "203 text/plain|Cache-Control: max-age=5\r\nX-Mine: 1\r\n|GET /.well-known/x?y=z c   0"},
		{"POST", backend.PassRequest{Method: "POST", Target: "/register", Type: "application/json", Body: []byte("{}")}, "|POST /register  application/json {} 2"},
		{"POST without a body", backend.PassRequest{Method: "POST", Target: "/p"}, "|POST /p    0"},
		{"HEAD", backend.PassRequest{Method: "HEAD", Target: "/h"}, "203 text/plain|Cache-Control: max-age=5\r\nX-Mine: 1\r\n|"},
		{"a redirect within", backend.PassRequest{Method: "GET", Target: "/moved"}, "302 |Location: /new?x=y\r\n|"},
		{"a redirect elsewhere", backend.PassRequest{Method: "GET", Target: "/away"}, "302 |Location: https://example.com/\r\n|"},
		{"too large", backend.PassRequest{Method: "GET", Target: "/large"}, "larger than the limit"},
		{"too large a body", backend.PassRequest{Method: "POST", Target: "/", Body: make([]byte, 1001)}, "larger than the limit"},
		{"broken off", backend.PassRequest{Method: "GET", Target: "/abort"}, "without a response"},
		{"an odd method", backend.PassRequest{Method: "GET /x HTTP/1.1\r\n", Target: "/"}, "method"},
		{"an odd path", backend.PassRequest{Method: "GET", Target: "/ HTTP/1.1\r\nX: y"}, "path"},
		{"another server", backend.PassRequest{Method: "GET", Target: "http://example.com/"}, "path"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if reply, err := b.Pass(context.Background(), &test.request); err != nil {
				got = err.Error()
			} else {
				got = fmt.Sprintf("%d %s|%s|%s", reply.Status, reply.Type, reply.Header, reply.Body)
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("in time", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer context.AfterFunc(ctx, func() {})()
		go cancel()
		if _, err := b.Pass(ctx, &backend.PassRequest{Method: "GET", Target: "/wait"}); err == nil || !strings.Contains(err.Error(), "in time") {
			t.Errorf("error %v", err)
		}
	})
}

// TestPassEndToEnd: what is said of a body that is passed as it is goes along
// with it, both ways.
func TestPassEndToEnd(t *testing.T) {
	const lines = "Content-Encoding: gzip\r\nContent-Range: bytes 0-1/9\r\nContent-Security-Policy: default-src 'none'\r\nContent-Disposition: inline\r\nContent-Language: de\r\nVary: Accept\r\n"
	seen := make(chan http.Header, 1)
	s := newScript(t, func(r *http.Request, _ string) text {
		seen <- r.Header
		return reply(206, "Keep-Alive: timeout=9\r\nContent-Type: x/y\r\n"+lines, "\x1f\x8b")
	})
	b := newBackend(t, s.URL)
	for header, want := range map[string]string{"": "identity", "Accept-Encoding: gzip, br\r\n": "gzip, br", "X: y\r\naccept-encoding: br\r\n": "br"} {
		r, err := b.Pass(context.Background(), &backend.PassRequest{Method: "PUT", Target: "/x", Header: []byte(header + "Content-Encoding: br\r\n"), Body: []byte("b")})
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != 206 || r.Type != "x/y" || string(r.Header) != lines || string(r.Body) != "\x1f\x8b" {
			t.Errorf("got %d %s\n%s\n%q", r.Status, r.Type, r.Header, r.Body)
		}
		got := <-seen
		if coding := fmt.Sprint(got["Accept-Encoding"], got["Content-Encoding"]); coding != "["+want+"] [br]" {
			t.Errorf("with %q the server saw %s", header, coding)
		}
	}
}
