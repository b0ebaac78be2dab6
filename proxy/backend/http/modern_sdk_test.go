package http

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const ofRevision = "Mcp-Protocol-Version: 2026-07-28\r\n"

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{},"progressToken":7}`

// discover is the probe for a modern server.
func (l link) discover(t testing.TB) {
	t.Helper()
	l.sayWith(t, ofRevision+"Mcp-Method: server/discover\r\n", `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{%s}}`, modernMeta)
}

// TestModernSDK: a modern server is spoken to as such, and as a legacy one
// beside that.
func TestModernSDK(t *testing.T) {
	s := sdkServer()
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: true})
	b := newBackend(t, serve(t, handler))
	l := openModern(t, b)
	l.discover(t)
	l.Want(t, `"supportedVersions"`, `"2026-07-28"`)
	echo := ofRevision + "Mcp-Method: tools/call\r\nMcp-Name: echo\r\n"
	l.sayWith(t, echo, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"a"},%s}}`, modernMeta)
	l.Want(t, "related 2 ", `"notifications/progress"`)
	l.Want(t, `"id":2`, "said a")
	l.sayWith(t, strings.Replace(echo, "echo", "other", 1), `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{"text":"a"},%s}}`, modernMeta)
	l.Want(t, `"id":3`, "-32020")
	l.sayWith(t, ofRevision+"Mcp-Method: no/such\r\n", `{"jsonrpc":"2.0","id":4,"method":"no/such","params":{%s}}`, modernMeta)
	l.Want(t, `"id":4`, "-32601")

	l.sayWith(t, ofRevision+"Mcp-Method: subscriptions/listen\r\n", `{"jsonrpc":"2.0","id":5,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},%s}}`, modernMeta)
	l.Want(t, "related 5 ", "notifications/subscriptions/acknowledged")
	l.wantUnasked(t, s)
	if !l.Cancel([]byte("5")) {
		t.Error("the listen is not known")
	}

	old := open(t, b)
	old.initialize(t)
	old.wantEcho(t, 2)
}

// TestModernProbe: what a legacy server makes of a probe does not keep its
// transport from being found, on the same connection or on another.
func TestModernProbe(t *testing.T) {
	s := sdkServer()
	get := func(*http.Request) *mcp.Server { return s }
	for name, test := range map[string]struct {
		handler http.Handler
		want    []string
	}{
		"HTTP+SSE, 405":        {oldServer("/messages"), []string{"reply 1 502 said 405 "}},
		"HTTP+SSE of the SDK":  {mcp.NewSSEHandler(get, nil), []string{"reply 1 502 said 4"}},
		"Streamable HTTP, 400": {refusesModern(mcp.NewStreamableHTTPHandler(get, nil)), []string{"reply 1 502 said 400 ", "no such revision"}},
		"of the SDK":           {mcp.NewStreamableHTTPHandler(get, nil), []string{`"id":1`, `"2025-11-25"`}},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			b := newBackend(t, serve(t, test.handler), func(c *Config) { c.Log = zap.New(core) })
			l := openModern(t, b)
			l.discover(t)
			l.Want(t, test.want...)
			if logs.Len() > 0 {
				t.Errorf("logged %q, and nothing is wrong", logs.All()[0].Message)
			}
			for _, l := range []link{l, open(t, b)} {
				l.say(t, initialize)
				l.Want(t, `"id":1,`, `"protocolVersion":"`)
				if name != "HTTP+SSE, 405" { // whose server does no more
					l.say(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
					l.wantEcho(t, 2)
				}
				l.Close(context.Background())
			}
			if b.older.Load() != strings.HasPrefix(name, "HTTP+SSE") || b.older.Load() == b.newer.Load() {
				t.Errorf("HTTP+SSE: %v, Streamable HTTP: %v", b.older.Load(), b.newer.Load())
			}
		})
	}
}

// refusesModern is a legacy server that looks at the revision alone.
func refusesModern(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Protocol-Version") == "2026-07-28" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"no such revision"}}`))
			return
		}
		h.ServeHTTP(w, r)
	})
}
