package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sidegate/proxy/backend/contract"
)

// sdkServer is a server of the Go SDK with a tool that reports progress, asks
// its client something, and answers.
func sdkServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, nil)
	type in struct {
		Text string `json:"text"`
	}
	mcp.AddTool(s, &mcp.Tool{Name: "echo"}, func(ctx context.Context, r *mcp.CallToolRequest, in in) (*mcp.CallToolResult, any, error) {
		if token := r.Params.GetProgressToken(); token != nil {
			_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: 1})
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "said " + in.Text}}}, nil, nil
	})
	mcp.AddTool(s, &mcp.Tool{Name: "ask"}, func(ctx context.Context, r *mcp.CallToolRequest, _ in) (*mcp.CallToolResult, any, error) {
		if err := r.Session.Ping(ctx, nil); err != nil {
			return nil, nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "the client is there"}}}, nil, nil
	})
	return s
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

// initialize opens the session.
func (l link) initialize(t testing.TB) {
	t.Helper()
	l.say(t, initialize)
	l.Want(t, `"id":1,`, `"protocolVersion":"2025-11-25"`)
	l.say(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

func (l link) wantEcho(t testing.TB, id int) {
	t.Helper()
	l.say(t, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"%d"}}}`, id, id)
	for {
		got := l.Next(t)
		if strings.Contains(got, "list_changed") {
			continue
		}
		if !strings.Contains(got, `"said `) {
			t.Fatalf("got %s", got)
		}
		return
	}
}

func TestSDK(t *testing.T) {
	var s *mcp.Server
	get := func(*http.Request) *mcp.Server { return s }
	for _, test := range []struct {
		name    string
		handler http.Handler
		asks    bool // the server can ask its client
		unasked bool // it says something unasked
	}{
		{"streamable", mcp.NewStreamableHTTPHandler(get, nil), true, true},
		{"streamable, resumable", mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{EventStore: mcp.NewMemoryEventStore(nil)}), true, true},
		{"streamable, JSON", mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{JSONResponse: true}), false, true},
		{"stateless", mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true}), false, false},
		{"stateless, JSON", mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}), false, false},
		{"HTTP+SSE", mcp.NewSSEHandler(get, nil), true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s = sdkServer()
			b := newBackend(t, serve(t, test.handler))
			for range 2 { // the second time the transport is known
				l := open(t, b)
				l.initialize(t)
				l.wantEcho(t, 2)
				if test.asks {
					l.say(t, `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{"text":"3"},"_meta":{"progressToken":3}}}`)
					l.Want(t, `"notifications/progress"`, `"progressToken":3`)
					l.Want(t, `"said 3"`)
					l.askPing(t)
				}
				if test.unasked {
					l.wantUnasked(t, s)
				}
				l.Close(context.Background())
				if err := l.End(t); err != nil {
					t.Errorf("Closed: %v", err)
				}
			}
		})
	}
}

// askPing has the server ask its client, and answers.
func (l link) askPing(t *testing.T) {
	t.Helper()
	l.say(t, `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"ask","arguments":{"text":""}}}`)
	question := l.Want(t, `"ping"`)
	_, id, _ := strings.Cut(question, `"id":`)
	id = id[:strings.IndexAny(id, ",}")]
	l.say(t, `{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
	l.Want(t, `the client is there`)
}

// wantUnasked has the server say something unasked until it is heard: the
// stream for it may not be open yet.
func (l link) wantUnasked(t *testing.T, s *mcp.Server) {
	t.Helper()
	contract.Eventually(t, "something unasked", func() bool {
		mcp.AddTool(s, &mcp.Tool{Name: "late"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return nil, nil, nil
		})
		select {
		case got := <-l.Events:
			return strings.Contains(got, "notifications/tools/list_changed")
		case <-time.After(100 * time.Millisecond):
			return false
		}
	})
}

// TestTLS: the certificate is checked, and a server with a good one is spoken to.
func TestTLS(t *testing.T) {
	s := sdkServer()
	server := httptest.NewUnstartedServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // one handshake has to fail
	server.StartTLS()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	good := newBackend(t, server.URL, func(c *Config) { c.TLS = &tls.Config{RootCAs: roots} })
	if err := good.Check(context.Background()); err != nil {
		t.Errorf("Check: %v", err)
	}
	l := open(t, good)
	l.initialize(t)
	for id := range 10 {
		l.wantEcho(t, id+2)
	}

	core, logs := observer.New(zap.WarnLevel)
	bad := newBackend(t, server.URL, func(c *Config) { c.Log = zap.New(core) })
	if err := bad.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Check of a server with a certificate of nobody's: %v", err)
	}
	l = open(t, bad)
	l.say(t, initialize)
	l.Want(t, "reply 1 503", "cannot be reached")
	if text := fmt.Sprint(logs.All()[0].ContextMap()); !strings.Contains(text, "TLS") || !strings.Contains(text, "certificate") {
		t.Errorf("logged %s", text)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tool.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := sdkServer()
	server := &http.Server{Handler: mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil)}
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-served })
	b := newBackend(t, "http+unix://"+strings.ReplaceAll(path, "/", "%2F")+"/mcp")
	if err := b.Check(context.Background()); err != nil {
		t.Errorf("Check: %v", err)
	}
	l := open(t, b)
	l.initialize(t)
	l.wantEcho(t, 2)
}
