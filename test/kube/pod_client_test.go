//go:build linux

package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"sidegate/test/e2e/harness"
)

// Calls with which a tool server asks its client back, so that they last for as
// long as the client likes.
var (
	demoAsks    = &mcp.CallToolParams{Name: "elicit", Arguments: map[string]any{"message": "Who is it?"}}
	fixtureAsks = &mcp.CallToolParams{Name: "ask", Arguments: map[string]any{
		"method": "elicitation/create",
		"params": map[string]any{"message": "Who is it?", "requestedSchema": map[string]any{"type": "object", "properties": map[string]any{}}},
	}}
)

// A caller is an MCP client on another host, which may be asked something.
type caller struct {
	t       testing.TB
	session *mcp.ClientSession
	web     *http.Client
	asked   chan struct{}
	free    chan struct{} // closed: it answers
}

func connect(t testing.TB, p *pod, url string) *caller {
	t.Helper()
	c := &caller{t: t, web: p.client(p.net.Host), asked: make(chan struct{}), free: make(chan struct{})}
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, &mcp.ClientOptions{ElicitationHandler: c.elicited})
	ctx, cancel := context.WithTimeout(t.Context(), 2*harness.Patience)
	t.Cleanup(cancel)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: c.web, DisableStandaloneSSE: true},
		&mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	t.Cleanup(func() { _ = session.Close() }) // the gate may be gone
	c.session = session
	return c
}

func (c *caller) elicited(ctx context.Context, _ *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
	close(c.asked)
	select {
	case <-c.free:
	case <-ctx.Done():
	}
	return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada"}}, nil
}

func (c *caller) echo() {
	c.t.Helper()
	result, err := c.session.CallTool(c.t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "through"}})
	if err != nil {
		c.t.Fatal(err)
	}
	if values, _ := result.StructuredContent.(map[string]any); values["text"] != "through" {
		c.t.Errorf("echo: %v", result.StructuredContent)
	}
}

// ask makes a call, and returns when the tool server has asked back.
func (c *caller) ask(params *mcp.CallToolParams) <-chan error {
	c.t.Helper()
	answered := make(chan error, 1)
	go func() {
		result, err := c.session.CallTool(context.Background(), params)
		if err == nil && result.IsError {
			err = fmt.Errorf("the tool server says: %v", result.Content)
		}
		answered <- err
	}()
	select {
	case <-c.asked:
	case err := <-answered:
		c.t.Fatalf("the call was answered (%v) before it was asked", err)
	}
	return answered
}

// answer lets the client answer what it was asked.
func (c *caller) answer() { close(c.free) }

// awaitTurnedAway waits until the gate takes no new sessions: then the drain
// has come to where only calls in flight are served. Meanwhile the listener is
// open: a client that comes is told, and not cut off.
func (c *caller) awaitTurnedAway(url string) {
	c.t.Helper()
	harness.Eventually(c.t, "new sessions are turned away", func() bool {
		time.Sleep(500 * time.Millisecond) // each session that is opened is a process
		response := c.send(http.MethodPost, url, initialize, "")
		if response.StatusCode == http.StatusServiceUnavailable {
			return true
		}
		c.send(http.MethodDelete, url, "", response.Header.Get("Mcp-Session-Id"))
		return false
	})
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"late","version":"0"}}}`

func (c *caller) send(method, url, body, session string) *http.Response {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	request.Header.Set("Mcp-Session-Id", session)
	response, err := c.web.Do(request)
	if err != nil {
		c.t.Fatalf("the gate cuts clients off while a call is in flight: %v", err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		c.t.Fatal(err)
	}
	return response
}
