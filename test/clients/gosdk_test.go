package clients

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"sidegate/test/e2e/harness"
)

// legacy is the revision that the client is pinned to, and modern the one that
// it finds if it is not: it begins with server/discover.
const (
	legacy = "2025-11-25"
	modern = "2026-07-28"
)

// TestGo drives both servers, which are legacy, with the Go SDK's client: once
// as it comes, which is modern with the gate, and once pinned to legacy.
func TestGo(t *testing.T) {
	for _, client := range []struct{ name, pinned string }{{"dual-era", ""}, {"pinned", legacy}} {
		t.Run(client.name, func(t *testing.T) {
			t.Run("everything", func(t *testing.T) { goEverything(t, client.pinned) })
			t.Run("filesystem", func(t *testing.T) { goFilesystem(t, client.pinned) })
		})
	}
}

// A goOperation is a thing to do with a server.
type goOperation struct {
	name string
	run  func(*testing.T, *running, string)
}

func goEverything(t *testing.T, pinned string) {
	operations := []goOperation{
		{"list", goList}, {"call", goCall}, {"progress", goProgress}, {"sampling", goSampling},
		{"elicitation", goElicitation}, {"roots", goRoots}, {"subscribe", goSubscribe}, {"cancel", goCancel},
	}
	if pinned == legacy {
		operations = append(operations, goOperation{"resume", goResume}, goOperation{"end", goEnd})
	} else { // there is no session to come back to or to end
		operations = append(operations, goOperation{"stay", goStay})
	}
	r := start(t, everything(t))
	for _, operation := range operations {
		t.Run(operation.name, func(t *testing.T) { operation.run(t, r, pinned) })
	}
}

// A goClient is a connected client of the Go SDK. Its methods fail the test.
type goClient struct {
	*mcp.ClientSession
	client *mcp.Client
	t      *testing.T
	ctx    context.Context // of the test, with a bound of patience
}

// connectGo opens a session at url, which ends with the test at the latest.
func connectGo(t *testing.T, url, pinned string, opts mcp.ClientOptions, roots ...*mcp.Root) *goClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	if opts.Capabilities == nil {
		opts.Capabilities = &mcp.ClientCapabilities{}
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "sidegate-test", Version: "1"}, &opts)
	client.AddRoots(roots...)
	pool := &http.Transport{}
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:   url,
		HTTPClient: &http.Client{Transport: pool},
	}, &mcp.ClientSessionOptions{ProtocolVersion: pinned})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = session.Close() // again, where the test has ended it
		pool.CloseIdleConnections()
	})
	if got, want := session.InitializeResult().ProtocolVersion, cmp.Or(pinned, modern); got != want {
		t.Errorf("negotiated %s, want %s", got, want)
	}
	return &goClient{ClientSession: session, client: client, t: t, ctx: ctx}
}

// noArguments are those of a tool that takes none: nil would be sent as null.
var noArguments = map[string]any{}

// call calls a tool and returns its text.
func (c *goClient) call(name string, args map[string]any) string {
	c.t.Helper()
	return c.callWith(&mcp.CallToolParams{Name: name, Arguments: args})
}

func (c *goClient) callWith(params *mcp.CallToolParams) string {
	c.t.Helper()
	result, err := c.CallTool(c.ctx, params)
	if err != nil {
		c.t.Fatalf("%s: %v", params.Name, err)
	}
	if result.IsError {
		c.t.Fatalf("%s failed: %s", params.Name, toolText(result))
	}
	return toolText(result)
}

// end closes the client, which ends a legacy session with DELETE.
func (c *goClient) end() {
	c.t.Helper()
	if err := c.Close(); err != nil {
		c.t.Errorf("end the session: %v", err)
	}
}

func toolText(result *mcp.CallToolResult) string {
	var texts []string
	for _, block := range result.Content {
		if text, ok := block.(*mcp.TextContent); ok {
			texts = append(texts, text.Text)
		}
	}
	return strings.Join(texts, "\n")
}

func goList(t *testing.T, r *running, pinned string) {
	c := connectGo(t, r.URL, pinned, mcp.ClientOptions{})
	tools, err := c.ListTools(c.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"echo", "get-sum", longOperation} {
		if !slices.ContainsFunc(tools.Tools, func(tool *mcp.Tool) bool { return tool.Name == name }) {
			t.Errorf("%s is not listed", name)
		}
	}
	if resources, err := c.ListResources(c.ctx, nil); err != nil || len(resources.Resources) == 0 {
		t.Errorf("resources: %+v, %v", resources, err)
	}
	if templates, err := c.ListResourceTemplates(c.ctx, nil); err != nil || len(templates.ResourceTemplates) == 0 {
		t.Errorf("resource templates: %+v, %v", templates, err)
	}
	if prompts, err := c.ListPrompts(c.ctx, nil); err != nil || len(prompts.Prompts) == 0 {
		t.Errorf("prompts: %+v, %v", prompts, err)
	}
	c.end()
}

func goCall(t *testing.T, r *running, pinned string) {
	c := connectGo(t, r.URL, pinned, mcp.ClientOptions{})
	const message = "Zürich\u200d \U0001f600 \"quoted\" \\ line\nline"
	if got := c.call("echo", map[string]any{"message": message}); got != "Echo: "+message {
		t.Errorf("got %q", got)
	}
	if got := c.call("get-sum", map[string]any{"a": 40, "b": 2}); !strings.Contains(got, "42") {
		t.Errorf("got %q", got)
	}
	c.end()
}

// A progressLog collects the progress of one call.
type progressLog struct {
	mu   sync.Mutex
	seen []float64
	hear func(step int) // called with each, may be nil
}

func (p *progressLog) handle(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
	p.mu.Lock()
	p.seen = append(p.seen, req.Params.Progress)
	p.mu.Unlock()
	if p.hear != nil {
		p.hear(int(req.Params.Progress))
	}
}

// check wants n steps, each once and in order. The client hands progress to
// its handler beside the call, so the last may come after the result.
func (p *progressLog) check(t *testing.T, n int) {
	t.Helper()
	snapshot := func() []float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.Clone(p.seen)
	}
	harness.Eventually(t, "all progress has come", func() bool { return len(snapshot()) >= n })
	if got := snapshot(); !slices.Equal(got, steps(n)) {
		t.Errorf("progress %v, want %v", got, steps(n))
	}
}

func longCall(seconds float64, steps int) *mcp.CallToolParams {
	params := &mcp.CallToolParams{Name: longOperation, Arguments: map[string]any{"duration": seconds, "steps": steps}}
	params.SetProgressToken("a token")
	return params
}

func goProgress(t *testing.T, r *running, pinned string) {
	var progress progressLog
	c := connectGo(t, r.URL, pinned, mcp.ClientOptions{ProgressNotificationHandler: progress.handle})
	if got := c.callWith(longCall(1, 4)); !strings.Contains(got, "completed") {
		t.Errorf("got %q", got)
	}
	progress.check(t, 4)
	c.end()
}

func goSampling(t *testing.T, r *running, pinned string) {
	c := connectGo(t, r.URL, pinned, mcp.ClientOptions{
		CreateMessageHandler: func(_ context.Context, req *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			if req.Params.MaxTokens != 7 {
				t.Errorf("asked for %d tokens, want 7", req.Params.MaxTokens)
			}
			return &mcp.CreateMessageResult{Model: "a-model", Role: "assistant", Content: &mcp.TextContent{Text: "sampled answer"}}, nil
		},
	})
	got := c.call("trigger-sampling-request", map[string]any{"prompt": "the prompt", "maxTokens": 7})
	if !strings.Contains(got, "sampled answer") {
		t.Errorf("got %q", got)
	}
	c.end()
}

func goElicitation(t *testing.T, r *running, pinned string) {
	c := connectGo(t, r.URL, pinned, mcp.ClientOptions{
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada", "check": true}}, nil
		},
	})
	if got := c.call("trigger-elicitation-request", noArguments); !strings.Contains(got, "Ada") {
		t.Errorf("got %q", got)
	}
	c.end()
}

// withRoots are the capabilities of a client that has roots.
func withRoots() mcp.ClientOptions {
	return mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{RootsV2: &mcp.RootCapabilities{ListChanged: true}}}
}

func goRoots(t *testing.T, r *running, pinned string) {
	c := connectGo(t, r.URL, pinned, withRoots(), &mcp.Root{URI: "file:///first", Name: "first"})
	if got := c.call("get-roots-list", noArguments); !strings.Contains(got, "file:///first") {
		t.Errorf("got %q", got)
	}
	if pinned != legacy {
		c.end()
		return // modern clients do not notify of their roots
	}
	// Adding a root notifies the server, which then asks by itself, for no
	// call's sake.
	c.client.AddRoots(&mcp.Root{URI: "file:///second", Name: "second"})
	harness.Eventually(t, "the server has the second root", func() bool {
		return strings.Contains(c.call("get-roots-list", noArguments), "file:///second")
	})
	c.end()
}

func goSubscribe(t *testing.T, r *running, pinned string) {
	const uri = "demo://resource/dynamic/text/1"
	updates := make(chan string, 16)
	c := connectGo(t, r.URL, pinned, mcp.ClientOptions{
		ResourceUpdatedHandler: func(_ context.Context, req *mcp.ResourceUpdatedNotificationRequest) {
			updates <- req.Params.URI
		},
	})
	if err := c.Subscribe(c.ctx, &mcp.SubscribeParams{URI: uri}); err != nil {
		t.Fatal(err)
	}
	c.call("toggle-subscriber-updates", noArguments)
	// The first comes with the call, the second 5 s later, when nothing is in
	// flight and the session's own stream is the only way.
	for range 2 {
		select {
		case got := <-updates:
			if got != uri {
				t.Errorf("updated %s, want %s", got, uri)
			}
		case <-c.ctx.Done():
			t.Fatal("no update came")
		}
	}
	c.call("toggle-subscriber-updates", noArguments)
	if err := c.Unsubscribe(c.ctx, &mcp.UnsubscribeParams{URI: uri}); err != nil {
		t.Error(err)
	}
	c.end()
}

func goCancel(t *testing.T, r *running, pinned string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	progress := progressLog{hear: func(int) { cancel() }}
	c := connectGo(t, r.URL, pinned, mcp.ClientOptions{ProgressNotificationHandler: progress.handle})
	if result, err := c.CallTool(ctx, longCall(50, 100)); err == nil {
		t.Errorf("the cancelled call was answered: %s", toolText(result))
	}
	waitCancelled(t, r)
	if got := c.call("echo", map[string]any{"message": "still here"}); got != "Echo: still here" {
		t.Errorf("got %q", got)
	}
	c.end()
}

func goResume(t *testing.T, r *running, pinned string) {
	cut := cutting{relay: newRelay(t, r.URL)}
	progress := progressLog{hear: cut.progress}
	c := connectGo(t, cut.relay.URL, pinned, mcp.ClientOptions{ProgressNotificationHandler: progress.handle})
	if got := c.callWith(longCall(3, 10)); !strings.Contains(got, "completed") {
		t.Errorf("got %q", got)
	}
	progress.check(t, 10)
	c.end()
	cut.check(t)
}

func goEnd(t *testing.T, r *running, pinned string) {
	c := connectGo(t, r.URL, pinned, mcp.ClientOptions{})
	server := c.server()
	session := c.ID()
	c.end()
	waitGone(t, server)
	checkEnded(t, r.URL, session)
}

// goStay wants a caller that comes back to find the server that it left, which
// may keep state for it.
func goStay(t *testing.T, r *running, pinned string) {
	var servers [2]int
	for i := range servers {
		c := connectGo(t, r.URL, pinned, mcp.ClientOptions{})
		servers[i] = c.server()
		c.end()
	}
	if servers[0] != servers[1] {
		t.Errorf("the calls reached the processes %v, want one", servers)
	}
}

// server is the pid of the server's process.
func (c *goClient) server() int {
	c.t.Helper()
	var environment struct {
		Server int `json:"SERVER_PID,string"`
	}
	if err := json.Unmarshal([]byte(c.call("get-env", noArguments)), &environment); err != nil {
		c.t.Fatal(err)
	}
	if environment.Server == 0 {
		c.t.Fatal("the server did not tell its pid")
	}
	return environment.Server
}

func goFilesystem(t *testing.T, pinned string) {
	directory := realDir(t)
	r := start(t, filesystem(t, directory))
	t.Run("list", func(t *testing.T) {
		c := connectGo(t, r.URL, pinned, mcp.ClientOptions{})
		tools, err := c.ListTools(c.ctx, nil)
		if err != nil || !slices.ContainsFunc(tools.Tools, func(tool *mcp.Tool) bool { return tool.Name == "read_text_file" }) {
			t.Errorf("tools: %+v, %v", tools, err)
		}
		c.end()
	})
	t.Run("call", func(t *testing.T) {
		c := connectGo(t, r.URL, pinned, mcp.ClientOptions{})
		path, content := filepath.Join(directory, "note.txt"), strings.Repeat("Zürich\u200d \U0001f600\n", 1000)
		c.call("write_file", map[string]any{"path": path, "content": content})
		if got := c.call("read_text_file", map[string]any{"path": path}); got != content {
			t.Errorf("read back %d bytes, wrote %d", len(got), len(content))
		}
		c.end()
	})
	t.Run("roots", func(t *testing.T) {
		root := filepath.Join(directory, "root")
		if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
		c := connectGo(t, r.URL, pinned, withRoots(), &mcp.Root{URI: "file://" + root})
		harness.Eventually(t, "the server allows the client's root alone", func() bool {
			return c.call("list_allowed_directories", noArguments) == "Allowed directories:\n"+root
		})
		c.end()
	})
	if pinned != legacy {
		return
	}
	t.Run("end", func(t *testing.T) {
		c := connectGo(t, r.URL, pinned, mcp.ClientOptions{})
		session := c.ID()
		c.end()
		checkEnded(t, r.URL, session)
	})
}
