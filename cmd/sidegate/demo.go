package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Be a tool server on standard input and output, to try the gate with",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), &mcp.StdioTransport{MaxLineLength: demoMaxLine})
		},
	}
}

// demoMaxLine leaves the judgement of what is too big to the gate in front.
const demoMaxLine = 64 << 20

// demo serves until its input ends, which is how a client of stdio says so.
func demo(ctx context.Context, transport mcp.Transport) error {
	session, err := newDemo().Connect(ctx, transport, nil)
	if err != nil {
		return err
	}
	if err := session.Wait(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// newDemo is a server of both eras: its tools that ask the client something
// return the question, and the SDK either sends that result (2026-07-28) or
// asks with a request of its own (before) and calls the tool again.
func newDemo() *mcp.Server {
	allow := func(context.Context, *mcp.SubscribeRequest) error { return nil }
	forget := func(context.Context, *mcp.UnsubscribeRequest) error { return nil }
	server := mcp.NewServer(&mcp.Implementation{Name: "sidegate-demo", Version: buildVersion()}, &mcp.ServerOptions{
		Instructions:       "Tools to try a gate with. Nothing here has an effect on anything.",
		SubscribeHandler:   allow,
		UnsubscribeHandler: forget,
	})
	server.AddTool(&mcp.Tool{Name: "echo", Description: "Returns its arguments, byte for byte in the text",
		InputSchema: json.RawMessage(`{"type":"object"}`)}, demoEcho)
	mcp.AddTool(server, &mcp.Tool{Name: "slow", Description: "Takes its time and tells the progress"}, demoSlow)
	mcp.AddTool(server, &mcp.Tool{Name: "log", Description: "Sends a log message"}, demoLog)
	mcp.AddTool(server, &mcp.Tool{Name: "sample", Description: "Lets the client's model answer a prompt"}, demoSample)
	mcp.AddTool(server, &mcp.Tool{Name: "elicit", Description: "Asks the client's user for a name"}, demoElicit)
	mcp.AddTool(server, &mcp.Tool{Name: "roots", Description: "Lists the client's roots"}, demoRoots)
	mcp.AddTool(server, &mcp.Tool{Name: "large", Description: "Returns a text of that many bytes"}, demoLarge)
	addDemoPrompt(server)
	addDemoCounter(server)
	return server
}

func textResult(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

func demoEcho(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	arguments := req.Params.Arguments
	if len(arguments) == 0 {
		arguments = json.RawMessage("{}")
	}
	result := textResult(string(arguments))
	result.StructuredContent = arguments
	return result, nil
}

type slowInput struct {
	DurationMS int `json:"duration_ms" jsonschema:"milliseconds until the answer"`
	Steps      int `json:"steps,omitempty" jsonschema:"progress notifications on the way"`
}

func demoSlow(ctx context.Context, req *mcp.CallToolRequest, in slowInput) (*mcp.CallToolResult, any, error) {
	if in.DurationMS < 0 || in.Steps < 0 || in.Steps > 10_000 {
		return nil, nil, errors.New("duration_ms must not be negative, and steps must be from 0 to 10000")
	}
	pause := time.Duration(in.DurationMS) * time.Millisecond / time.Duration(in.Steps+1)
	for step := 1; ; step++ {
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(pause):
		}
		if step > in.Steps {
			return textResult(fmt.Sprintf("done after %d ms", in.DurationMS)), nil, nil
		}
		if err := demoProgress(ctx, req, step, in.Steps); err != nil {
			return nil, nil, err
		}
	}
}

// demoProgress tells a client that has asked for it.
func demoProgress(ctx context.Context, req *mcp.CallToolRequest, step, steps int) error {
	token := req.Params.GetProgressToken()
	if token == nil {
		return nil
	}
	return req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
		ProgressToken: token,
		Progress:      float64(step),
		Total:         float64(steps),
		Message:       fmt.Sprintf("step %d of %d", step, steps),
	})
}

type logInput struct {
	Level   string `json:"level" jsonschema:"debug, info, notice, warning, error, critical, alert or emergency"`
	Message string `json:"message"`
}

func demoLog(ctx context.Context, req *mcp.CallToolRequest, in logInput) (*mcp.CallToolResult, any, error) {
	err := req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: mcp.LoggingLevel(in.Level), Logger: "demo", Data: in.Message})
	return textResult("logged, if the client asked for that level"), nil, err
}

type largeInput struct {
	Bytes int `json:"bytes" jsonschema:"how many, up to 67108864"`
}

func demoLarge(_ context.Context, _ *mcp.CallToolRequest, in largeInput) (*mcp.CallToolResult, any, error) {
	if in.Bytes < 0 || in.Bytes > demoMaxLine {
		return nil, nil, fmt.Errorf("bytes must be from 0 to %d", demoMaxLine)
	}
	return textResult(strings.Repeat("x", in.Bytes)), nil, nil
}

func addDemoPrompt(server *mcp.Server) {
	server.AddPrompt(&mcp.Prompt{
		Name:        "greet",
		Description: "A greeting",
		Arguments:   []*mcp.PromptArgument{{Name: "name", Description: "who is greeted", Required: true}},
	}, func(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{
			Role:    "user",
			Content: &mcp.TextContent{Text: "Greet " + req.Params.Arguments["name"] + " in one sentence."},
		}}}, nil
	})
}

// demoCounterURI is a resource that changes with every tool call, for clients
// that subscribe.
const demoCounterURI = "demo://calls"

func addDemoCounter(server *mcp.Server) {
	var calls atomic.Int64
	server.AddResource(&mcp.Resource{
		URI: demoCounterURI, Name: "calls", MIMEType: "text/plain",
		Description: "How many tool calls this process has been sent",
	}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{
			URI: demoCounterURI, MIMEType: "text/plain", Text: fmt.Sprint(calls.Load()),
		}}}, nil
	})
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			if method == "tools/call" {
				calls.Add(1)
				if err := server.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: demoCounterURI}); err != nil {
					return nil, err
				}
			}
			return next(ctx, method, req)
		}
	})
}
