package websocket

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	library "github.com/fasthttp/websocket"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
)

const answer = `{"jsonrpc":"2.0","id":1,"result":{}}`

// serve is a server in this process that does on every connection what the test
// is about.
func serve(t *testing.T, serve func(*library.Conn)) string {
	t.Helper()
	server := httptest.NewServer(upgrade(serve))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func upgrade(serve func(*library.Conn)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := library.Upgrader{Subprotocols: []string{"mcp"}, EnableCompression: true}
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		serve(c)
	})
}

// open connects and returns the gate's end, which ends with the test.
func open(t *testing.T, url string, change ...func(*Config)) (backend.Conn, *contract.Recorder) {
	t.Helper()
	r := contract.NewRecorder()
	c, err := newBackend(t, url, change...).Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c, r
}

// wantEnd wants the connection to have ended as how says, in an EndError.
func wantEnd(t *testing.T, r *contract.Recorder, how string) *EndError {
	t.Helper()
	err := r.End(t)
	var end *EndError
	if !errors.As(err, &end) || !strings.HasPrefix(end.How, how) {
		t.Fatalf("Closed: %v, want that the tool server %s", err, how)
	}
	if !strings.HasPrefix(end.Error(), end.Brief()+"; ") || !strings.HasPrefix(end.Brief(), `the tool server "test" `+how) {
		t.Errorf("%s\n%s", end.Brief(), end)
	}
	return end
}

// TestEnds: how a server ends a connection is told, its own words to the
// operator alone; and it is told what it did wrong.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		does func(*library.Conn)
		how  string
		told int // the code that the server gets
	}{
		{"goodbye", func(c *library.Conn) { bye(c, 1000, "") }, "closed the connection with code 1000", 1000},
		{"goodbye with words", func(c *library.Conn) { bye(c, 1011, "my secret is out") }, "closed the connection with code 1011", 1011},
		{"goodbye without a code", func(c *library.Conn) { bye(c, library.CloseNoStatusReceived, "") }, "closed the connection without a code", 1005},
		{"binary", func(c *library.Conn) { _ = c.WriteMessage(library.BinaryMessage, []byte(answer)) }, "sent a message as binary data", 1003},
		{"reserved bits", func(c *library.Conn) { raw(c, 0xf1, 0) }, "broke the rules of WebSocket", 1002},
		{"masked", func(c *library.Conn) { raw(c, 0x81, 0x80, 1, 2, 3, 4) }, "broke the rules of WebSocket", 1002},
		{"compressed", func(c *library.Conn) { raw(c, 0xc1, 0) }, "broke the rules of WebSocket", 1002},
		{"no goodbye", func(c *library.Conn) { _ = c.NetConn().(*net.TCPConn).CloseWrite() }, "broke the connection off without a goodbye", 1006},
		{"reset", func(c *library.Conn) {
			_ = c.NetConn().(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}, "broke the connection off", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := make(chan int, 1)
			_, r := open(t, serve(t, func(s *library.Conn) {
				_ = s.WriteMessage(library.TextMessage, []byte(answer))
				c.does(s)
				told <- code(s)
			}))
			if got := r.Next(t); got != answer {
				t.Errorf("message %s", got)
			}
			end := wantEnd(t, r, c.how)
			if strings.Contains(end.Brief(), "secret") || strings.Contains(c.name, "words") && !strings.Contains(end.Error(), `"my secret is out"`) {
				t.Errorf("%s\n%s", end.Brief(), end)
			}
			if got := <-told; c.told != 0 && got != c.told {
				t.Errorf("the server was told %d, want %d", got, c.told)
			}
		})
	}
}

func bye(c *library.Conn, code int, words string) {
	_ = c.WriteControl(library.CloseMessage, library.FormatCloseMessage(code, words), time.Now().Add(contract.Patience))
}

func raw(c *library.Conn, b ...byte) { _, _ = c.NetConn().Write(b) }

// code reads on to the end and returns the code that it came with.
func code(c *library.Conn) int {
	for {
		_, _, err := c.ReadMessage()
		var closed *library.CloseError
		if errors.As(err, &closed) {
			return closed.Code
		}
		if err != nil {
			return -1
		}
	}
}

// TestGoodbye: Close says it, with 1000, and what the server says before its own
// is still heard.
func TestGoodbye(t *testing.T) {
	told := make(chan int, 1)
	c, r := open(t, serve(t, func(s *library.Conn) {
		s.SetCloseHandler(func(code int, _ string) error {
			_ = s.WriteMessage(library.TextMessage, []byte(answer))
			bye(s, code, "")
			return nil
		})
		told <- code(s)
	}))
	c.Close(context.Background())
	if got := r.Next(t); got != answer {
		t.Errorf("message %s", got)
	}
	if err := r.End(t); err != nil {
		t.Errorf("Closed: %v", err)
	}
	if got := <-told; got != 1000 {
		t.Errorf("the server was told %d", got)
	}
}

// TestMessages: what servers write into one frame is one message, whatever its
// white space; what is none is skipped.
func TestMessages(t *testing.T) {
	long := `{"jsonrpc":"2.0","result":"` + strings.Repeat("x", 2000) + `","id":5}`
	_, r := open(t, serve(t, func(s *library.Conn) {
		for _, text := range []string{
			"{\n \"jsonrpc\":\"2.0\",\r\n \"id\":1,\"result\":{}}\n", "", "\n\n", "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"a\nb\"}", long, answer,
		} {
			_ = s.WriteMessage(library.TextMessage, []byte(text))
		}
		w, _ := s.NextWriter(library.TextMessage) // in fragments, with a ping in between
		for i := range len(long[:900]) / 100 {
			_, _ = io.WriteString(w, long[i*100:i*100+100])
			_ = s.WriteControl(library.PingMessage, nil, time.Now().Add(contract.Patience))
		}
		_, _ = io.WriteString(w, `","id":6}`)
		_ = w.Close()
		code(s)
	}), func(c *Config) { c.MaxMessage = 1000 })
	for _, want := range []string{
		`{  "jsonrpc":"2.0",   "id":1,"result":{}} `, "garbage", "garbage 2", "too long 5", answer, long[:900] + `","id":6}`,
	} {
		if got := strings.TrimSpace(r.Next(t)); got != strings.TrimSpace(want) {
			t.Errorf("got  %.200q\nwant %.200q", got, want)
		}
	}
}

// TestPing: a server that answers lives, whatever it does not say; one that does
// not is given up.
func TestPing(t *testing.T) {
	quick := func(c *Config) { c.Ping = 30 * time.Millisecond }
	pings := make(chan struct{}, 1000)
	c, r := open(t, serve(t, func(s *library.Conn) {
		answer := s.PingHandler()
		s.SetPingHandler(func(text string) error {
			pings <- struct{}{}
			return answer(text)
		})
		code(s)
	}), quick)
	for range 5 {
		<-pings
	}
	c.Close(context.Background())
	if err := r.End(t); err != nil {
		t.Errorf("Closed: %v", err)
	}

	done := make(chan struct{})
	defer close(done)
	_, r = open(t, serve(t, func(*library.Conn) { <-done }), quick)
	wantEnd(t, r, "cannot be reached any more: it does not answer pings")
}

// TestPingFlood: pings of a server that does not read are not remembered for
// ever, and do not keep what it says from being heard.
func TestPingFlood(t *testing.T) {
	_, r := open(t, serve(t, func(s *library.Conn) {
		for range 200_000 {
			raw(s, append([]byte{0x89, 125}, make([]byte, 125)...)...)
		}
		_ = s.WriteMessage(library.TextMessage, []byte(answer))
		code(s)
	}))
	if got := r.Next(t); got != answer {
		t.Errorf("message %s", got)
	}
}

// TestOpenFails with words that help.
func TestOpenFails(t *testing.T) {
	status := func(code int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
		t.Cleanup(server.Close)
		return "ws" + strings.TrimPrefix(server.URL, "http")
	}
	says := func(text string) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
				_, _ = io.WriteString(c, text)
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		}()
		return "ws://" + ln.Addr().String()
	}
	closed := says("")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	for _, c := range []struct{ url, want string }{
		{status(401), "status 401 (Unauthorized); it lets in only who has leave"},
		{status(404), "is this its path?"},
		{status(301), "does not follow"},
		{status(200), "does it speak WebSocket"},
		{status(502), "its own log says why"},
		{says(switching + "\r\n"), "is not a valid one"},
		{says("SSH-2.0-OpenSSH_9.6\r\n\r\n"), "malformed HTTP"},
		{says("HTTP/1.1 101 x\r\nA: " + strings.Repeat("x", 100<<10)), "does not end"},
		{closed, "it does not answer"},
		{"ws://" + ln.Addr().String(), "nobody listens there"},
		{"wss" + strings.TrimPrefix(status(200), "ws"), "is it ws:// instead of wss://?"},
		{"ws://no-such-host.invalid", "not known here"},
	} {
		b := newBackend(t, c.url, func(config *Config) { config.ConnectTimeout = 300 * time.Millisecond })
		_, err := b.Open(context.Background(), contract.NewRecorder())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), `the tool server "test" cannot be reached: `) {
			t.Errorf("%s: %v, want %q", c.url, err, c.want)
		}
	}
}

// TestHandshakeTerms: what a server agrees to that was not offered.
func TestHandshakeTerms(t *testing.T) {
	for head, want := range map[string]string{
		"Sec-WebSocket-Protocol: chat\r\n": `speaks the subprotocol "chat"`,
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n": "an extension that it was not offered",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			fmt.Fprintf(buffered, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n", accept(r), head)
			_ = buffered.Flush()
			_, _ = io.Copy(io.Discard, c)
		}))
		_, err := newBackend(t, "ws"+strings.TrimPrefix(server.URL, "http")).Open(context.Background(), contract.NewRecorder())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", head, err)
		}
		server.Close()
	}
}

// accept is the answer to a handshake's key (RFC 6455, section 4.2.2).
func accept(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// TestTLS: the certificate is looked at, and what is sent along arrives.
func TestTLS(t *testing.T) {
	got := make(chan string, 1)
	handler := upgrade(func(c *library.Conn) {
		_ = c.WriteMessage(library.TextMessage, []byte(answer))
		code(c)
	})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization") + " " + r.URL.String()
		handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	url := "wss" + strings.TrimPrefix(server.URL, "https") + "/a/b?c=d"

	_, err := newBackend(t, url).Open(context.Background(), contract.NewRecorder())
	if err == nil || !strings.Contains(err.Error(), "its certificate is not trusted") {
		t.Errorf("Open: %v", err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	c, r := open(t, url, func(c *Config) {
		c.TLS = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
		c.Header = http.Header{"Authorization": {"Bearer x"}}
	})
	if text := r.Next(t); text != answer {
		t.Errorf("message %s", text)
	}
	if seen := <-got; seen != "Bearer x /a/b?c=d" {
		t.Errorf("the server saw %q", seen)
	}
	c.Close(context.Background())
}

func TestNewRefuses(t *testing.T) {
	for _, url := range []string{"", "ws://", "http://host", "host:80", "ws:///path", "ws://host/#x", "ws://user:secret@host", "ws://ho st"} {
		if _, err := New(Config{URL: url}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	b, err := New(Config{URL: "wss://host/path?token=secret"})
	if err != nil || b.String() != "wss://host/path" || b.address != "host:443" {
		t.Errorf("%v %s, %v", b, b.address, err)
	}
}

func TestCheck(t *testing.T) {
	url := serve(t, func(*library.Conn) { t.Error("Check did a handshake") })
	var b backend.Checker = newBackend(t, url+"/path")
	if err := b.Check(context.Background()); err != nil {
		t.Error(err)
	}
	b = newBackend(t, "ws://127.0.0.1:1")
	if err := b.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("Check: %v", err)
	}
}
