package framing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// A record is one request as the server saw it.
type record struct {
	method, target, host string
	header               http.Header
	trailer              http.Header
	body                 []byte
	length               int64 // as the head announced it; -1: chunks
	err                  error // why the body was cut
	connection           int
}

// A server is the tool server at the end of each way: a small Streamable HTTP
// server at /mcp, and anything at any other path. It writes down all it sees.
type server struct {
	addr string
	http *http.Server

	mu          sync.Mutex
	records     []record
	unreadable  map[string][]string // by name: what the HTTP server itself refused: it was forwarded, and is no request
	connections int
}

// serverSession is the session id that the server gives.
const serverSession = "session-of-the-server"

type connectionKey struct{}

// newServer starts a server, which ends with the test.
func newServer(t *testing.T) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: ln.Addr().String(), unreadable: map[string][]string{}}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: harness.Patience, MaxHeaderBytes: 1 << 20, ConnContext: s.accepted}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.http.Serve(watched{ln, s})
	}()
	t.Cleanup(func() {
		s.http.Close()
		<-ended
	})
	return s
}

func (s *server) accepted(ctx context.Context, _ net.Conn) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections++
	return context.WithValue(ctx, connectionKey{}, s.connections)
}

// settle waits until nothing is being served any more.
func (s *server) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		t.Fatalf("the server is still busy: %v", err)
	}
}

// ServeHTTP writes a request down and answers with the name that it carries.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := record{
		method: r.Method, target: r.RequestURI, host: r.Host, header: r.Header.Clone(), length: r.ContentLength,
		connection: r.Context().Value(connectionKey{}).(int),
	}
	rec.body, rec.err = io.ReadAll(r.Body)
	rec.trailer = r.Trailer.Clone()
	s.mu.Lock()
	s.records = append(s.records, rec)
	s.mu.Unlock()
	switch {
	case r.URL.Path != "/mcp":
		fmt.Fprintf(w, "seen %s\n", rec.name())
	case r.Method == "POST":
		answerMessage(w, rec)
	case r.Method == "DELETE":
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// answerMessage is all that the server knows of MCP.
func answerMessage(w http.ResponseWriter, rec record) {
	var msg struct {
		ID     json.RawMessage
		Method string
	}
	_ = json.Unmarshal(rec.body, &msg) // what is no message has no id, and gets no answer
	if msg.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	result := fmt.Sprintf(`{"content":[],"structuredContent":{"seen":%q}}`, rec.name())
	if msg.Method == "initialize" {
		w.Header().Set("Mcp-Session-Id", serverSession)
		result = `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"framing","version":"1"}}`
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, msg.ID, result)
}

// aName is the name of a probe, or of the canary in it.
var aName = regexp.MustCompile(`(?:case|canary)-\d{4}`)

// name is the name of the probe that a request came from, or of the canary that
// it is: what stands in the head counts before what stands in the body.
func (r *record) name() string {
	for _, text := range []string{r.header.Get("X-Case"), r.target, string(r.body)} {
		if name := aName.FindString(text); name != "" {
			return name
		}
	}
	return ""
}

// watched tells which bytes the HTTP server refused to read: it then answers
// by itself, and no handler hears of it.
type watched struct {
	net.Listener
	server *server
}

// Accept implements net.Listener.
func (w watched) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: c, server: w.server}, nil
}

type watchedConn struct {
	net.Conn
	server *server
	mu     sync.Mutex
	last   []byte // the end of what was read
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	const most = 2000
	if c.last = append(c.last, p[:n]...); len(c.last) > most {
		c.last = c.last[len(c.last)-most:]
	}
	return n, err
}

// ownWords is how the HTTP server's own refusals begin, which our handler never
// writes.
var ownWords = regexp.MustCompile(`^HTTP/1\.[01] (400|413|417|431|5\d\d) `)

func (c *watchedConn) Write(p []byte) (int, error) {
	if ownWords.Match(p) {
		status, _, _ := bytes.Cut(p, []byte("\r\n"))
		c.mu.Lock()
		text, name := fmt.Sprintf("the server said %q to %q", status, c.last), ""
		if names := aName.FindAllString(string(c.last), -1); names != nil {
			name = names[len(names)-1] // of the last request on the connection
		}
		c.mu.Unlock()
		c.server.mu.Lock()
		c.server.unreadable[name] = append(c.server.unreadable[name], text)
		c.server.mu.Unlock()
	}
	return c.Conn.Write(p)
}

// CloseWrite lets the HTTP server end a connection in good order.
func (c *watchedConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// await waits until something listens at an address.
func await(t *testing.T, network, addr string) {
	t.Helper()
	harness.Eventually(t, addr+" listens", func() bool {
		c, err := net.DialTimeout(network, addr, time.Second)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}
