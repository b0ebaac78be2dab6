package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// patience bounds what must happen soon on a machine that is busy.
const patience = 30 * time.Second

// demoClient answers what the demo's tools ask, and keeps what they tell.
type demoClient struct {
	session  *mcp.ClientSession
	progress chan *mcp.ProgressNotificationParams
	logs     chan *mcp.LoggingMessageParams
	updated  chan string
}

// connectDemo starts the demo as a process of its own, as any client would.
func connectDemo(t *testing.T, ctx context.Context, revision string) *demoClient {
	t.Helper()
	c := &demoClient{
		progress: make(chan *mcp.ProgressNotificationParams, 100),
		logs:     make(chan *mcp.LoggingMessageParams, 100),
		updated:  make(chan string, 100),
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, &mcp.ClientOptions{
		CreateMessageHandler: func(_ context.Context, req *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			prompt := req.Params.Messages[0].Content.(*mcp.TextContent).Text
			return &mcp.CreateMessageResult{Model: "test", Role: "assistant", Content: &mcp.TextContent{Text: "answer to " + prompt}}, nil
		},
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			if req.Params.Message == "refuse" {
				return &mcp.ElicitResult{Action: "decline"}, nil
			}
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": req.Params.Message}}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) { c.progress <- req.Params },
		LoggingMessageHandler:       func(_ context.Context, req *mcp.LoggingMessageRequest) { c.logs <- req.Params },
		ResourceUpdatedHandler:      func(_ context.Context, req *mcp.ResourceUpdatedNotificationRequest) { c.updated <- req.Params.URI },
	})
	client.AddRoots(&mcp.Root{URI: "file:///one", Name: "one"}, &mcp.Root{URI: "file:///two", Name: "two"})
	session, err := client.Connect(ctx, &mcp.CommandTransport{Command: gateProcess(t, "demo")}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Errorf("the demo did not end well: %v", err)
		}
	})
	c.session = session
	return c
}

// call calls a tool and returns the text of its result.
func (c *demoClient) call(t *testing.T, ctx context.Context, name string, arguments any) string {
	t.Helper()
	result, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if result.IsError || len(result.Content) != 1 {
		t.Fatalf("%s: %+v", name, result)
	}
	return result.Content[0].(*mcp.TextContent).Text
}

// eras runs a test once with a client of each era.
func eras(t *testing.T, test func(t *testing.T, ctx context.Context, c *demoClient)) {
	for _, revision := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(revision, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			test(t, ctx, connectDemo(t, ctx, revision))
		})
	}
}

func TestDemoOffers(t *testing.T) {
	eras(t, func(t *testing.T, ctx context.Context, c *demoClient) {
		var names []string
		for tool, err := range c.session.Tools(ctx, nil) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, tool.Name)
		}
		if got, want := strings.Join(names, " "), "echo elicit large log roots sample slow"; got != want {
			t.Errorf("tools are %s; want %s", got, want)
		}
		prompt, err := c.session.GetPrompt(ctx, &mcp.GetPromptParams{Name: "greet", Arguments: map[string]string{"name": "Ada"}})
		if err != nil || prompt.Messages[0].Content.(*mcp.TextContent).Text != "Greet Ada in one sentence." {
			t.Errorf("the prompt is %+v, %v", prompt, err)
		}
	})
}

// What the echo says is what it was sent, to the byte.
func TestDemoEcho(t *testing.T) {
	const arguments = `{"z":9007199254740993,"a":123456789012345678901234567890,"s":"\u200d\u00ad \u0000 <&>","n":null,"l":[1.0,-0]}`
	eras(t, func(t *testing.T, ctx context.Context, c *demoClient) {
		if got := c.call(t, ctx, "echo", json.RawMessage(arguments)); unescapeHTML(got) != arguments {
			t.Errorf("echo returned %s; want %s", got, arguments)
		}
		if got := c.call(t, ctx, "echo", nil); got != "{}" {
			t.Errorf("echo of nothing returned %s", got)
		}
	})
}

// unescapeHTML takes back what the client's encoder did to <, > and &.
func unescapeHTML(s string) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(s)
}

func TestDemoAsks(t *testing.T) {
	eras(t, func(t *testing.T, ctx context.Context, c *demoClient) {
		for _, q := range []struct {
			tool      string
			arguments any
			want      string
		}{
			{"sample", sampleInput{"ping"}, "answer to ping"},
			{"elicit", elicitInput{"Ada"}, "accept: Ada"},
			{"elicit", elicitInput{"refuse"}, "decline"},
			{"roots", nil, "file:///one\nfile:///two"},
		} {
			if got := c.call(t, ctx, q.tool, q.arguments); got != q.want {
				t.Errorf("%s: %q; want %q", q.tool, got, q.want)
			}
		}
	})
}

func TestDemoSlow(t *testing.T) {
	eras(t, func(t *testing.T, ctx context.Context, c *demoClient) {
		params := &mcp.CallToolParams{Name: "slow", Arguments: slowInput{DurationMS: 40, Steps: 3}}
		params.SetProgressToken("token")
		if _, err := c.session.CallTool(ctx, params); err != nil {
			t.Fatal(err)
		}
		for step := 1; step <= 3; step++ {
			p := receive(t, ctx, c.progress)
			if p.ProgressToken != "token" || p.Progress != float64(step) || p.Total != 3 {
				t.Errorf("step %d is %+v", step, p)
			}
		}
	})
}

// A cancelled call stops, at the client and in the tool.
func TestDemoSlowIsCancelled(t *testing.T) {
	eras(t, func(t *testing.T, ctx context.Context, c *demoClient) {
		calling, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		params := &mcp.CallToolParams{Name: "slow", Arguments: slowInput{DurationMS: 3_600_000, Steps: 10_000}}
		params.SetProgressToken(1)
		go func() {
			_, err := c.session.CallTool(calling, params)
			ended <- err
		}()
		receive(t, ctx, c.progress)
		cancel()
		if err := receive(t, ctx, ended); err == nil {
			t.Error("a cancelled call had a result")
		}
	})
}

func TestDemoSlowStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := demoSlow(ctx, &mcp.CallToolRequest{Params: &mcp.CallToolParamsRaw{}}, slowInput{DurationMS: 3_600_000})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the tool ended with %v", err)
	}
}

// The end of its input is how a stdio server is told to end.
func TestDemoEndsWithItsInput(t *testing.T) {
	if out, errs, code := finish(t, gateProcess(t, "demo")); code != exitDone || out+errs != "" {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

func TestDemoRefusesNonsense(t *testing.T) {
	eras(t, func(t *testing.T, ctx context.Context, c *demoClient) {
		for _, call := range []*mcp.CallToolParams{
			{Name: "slow", Arguments: slowInput{DurationMS: -1}},
			{Name: "slow", Arguments: slowInput{Steps: 1_000_000}},
			{Name: "large", Arguments: largeInput{Bytes: -1}},
			{Name: "large", Arguments: largeInput{Bytes: 1 << 40}},
		} {
			result, err := c.session.CallTool(ctx, call)
			if err != nil || !result.IsError {
				t.Errorf("%s %+v: %+v, %v; want a tool's error", call.Name, call.Arguments, result, err)
			}
		}
	})
}

func TestDemoLog(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := connectDemo(t, ctx, "2025-11-25")
	if err := c.session.SetLoggingLevel(ctx, &mcp.SetLoggingLevelParams{Level: "warning"}); err != nil {
		t.Fatal(err)
	}
	c.call(t, ctx, "log", logInput{Level: "info", Message: "too low"})
	c.call(t, ctx, "log", logInput{Level: "error", Message: "heard"})
	if m := receive(t, ctx, c.logs); m.Level != "error" || m.Data != "heard" {
		t.Errorf("logged %+v", m)
	}
}

func TestDemoLarge(t *testing.T) {
	eras(t, func(t *testing.T, ctx context.Context, c *demoClient) {
		for _, size := range []int{0, 1, 1 << 20} {
			if got := c.call(t, ctx, "large", largeInput{size}); len(got) != size {
				t.Errorf("large returned %d bytes; want %d", len(got), size)
			}
		}
	})
}

func TestDemoSubscription(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := connectDemo(t, ctx, "2025-11-25")
	if err := c.session.Subscribe(ctx, &mcp.SubscribeParams{URI: demoCounterURI}); err != nil {
		t.Fatal(err)
	}
	c.call(t, ctx, "echo", nil)
	if uri := receive(t, ctx, c.updated); uri != demoCounterURI {
		t.Errorf("%s was updated", uri)
	}
	result, err := c.session.ReadResource(ctx, &mcp.ReadResourceParams{URI: demoCounterURI})
	if err != nil || result.Contents[0].Text != fmt.Sprint(1) {
		t.Errorf("the counter is %+v, %v; want 1", result, err)
	}
}

func receive[T any](t *testing.T, ctx context.Context, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-ctx.Done():
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
