package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// question is the key of the one thing that a demo tool asks.
const question = "question"

func ask(request mcp.InputRequest) *mcp.CallToolResult {
	return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{question: request}}
}

type sampleInput struct {
	Prompt string `json:"prompt"`
}

func demoSample(_ context.Context, req *mcp.CallToolRequest, in sampleInput) (*mcp.CallToolResult, any, error) {
	switch answer := req.Params.InputResponses[question].(type) {
	case nil:
		return ask(&mcp.CreateMessageParams{
			MaxTokens: 100,
			Messages:  []*mcp.SamplingMessage{{Role: "user", Content: &mcp.TextContent{Text: in.Prompt}}},
		}), nil, nil
	case *mcp.CreateMessageWithToolsResult:
		return textResult(joinText(answer.Content)), nil, nil
	default:
		return nil, nil, errors.New("the client's answer is no sampling result")
	}
}

func joinText(content []mcp.Content) string {
	var b strings.Builder
	for _, c := range content {
		if t, ok := c.(*mcp.TextContent); ok {
			b.WriteString(t.Text)
		}
	}
	return b.String()
}

type elicitInput struct {
	Message string `json:"message" jsonschema:"what the user is shown"`
}

func demoElicit(_ context.Context, req *mcp.CallToolRequest, in elicitInput) (*mcp.CallToolResult, any, error) {
	switch answer := req.Params.InputResponses[question].(type) {
	case nil:
		return ask(&mcp.ElicitParams{
			Message: in.Message,
			RequestedSchema: map[string]any{
				"type":       "object",
				"properties": map[string]any{"name": map[string]any{"type": "string", "description": "your name"}},
				"required":   []string{"name"},
			},
		}), nil, nil
	case *mcp.ElicitResult:
		if answer.Action != "accept" {
			return textResult(answer.Action), nil, nil
		}
		return textResult(fmt.Sprintf("accept: %v", answer.Content["name"])), nil, nil
	default:
		return nil, nil, errors.New("the client's answer is no elicitation result")
	}
}

func demoRoots(_ context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
	switch answer := req.Params.InputResponses[question].(type) {
	case nil:
		return ask(&mcp.ListRootsParams{}), nil, nil
	case *mcp.ListRootsResult:
		uris := make([]string, len(answer.Roots))
		for i, r := range answer.Roots {
			uris[i] = r.URI
		}
		return textResult(strings.Join(uris, "\n")), nil, nil
	default:
		return nil, nil, errors.New("the client's answer is no list of roots")
	}
}
