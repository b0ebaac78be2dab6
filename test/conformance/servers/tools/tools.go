// Package tools is what the conformance suite wants to find in a server: tools,
// prompts and resources by the names it calls them. It is the same for our
// server of the legacy era and for that of the modern one: what differs between
// the eras, how a server asks, tells progress and logs, stands behind Client.
//
// It knows no transport and no revision.
package tools

import (
	"encoding/json"
	"errors"
	"fmt"
)

// JSON-RPC error codes that a server of either era uses.
const (
	codeNotFound      = -32601
	codeInvalidParams = -32602
	codeInternal      = -32603
)

// Client is what a call may want of the client that made it.
type Client interface {
	// Ask puts questions to the client, all at the same time, and returns its
	// answers by the questions' keys. A call returns the error as it is: in the
	// modern era it ends the call, which runs anew with the answers.
	Ask(questions ...Question) (Answers, error)
	// Has tells whether the client declared a capability.
	Has(capability string) bool
	Progress(done, total float64, message string)
	Log(level, text string)
	// Changed tells all clients that a list, "tools" or "prompts", has changed.
	Changed(list string)
}

// A Question is a request to the client, under a key that the suite knows.
type Question struct {
	Key    string `json:"-"`
	Method string `json:"method"`
	Params any    `json:"params"`
}

// Answers are the client's results, by the keys of the questions.
type Answers map[string]json.RawMessage

// An Error is a JSON-RPC error.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// A Result is a result's members.
type Result = map[string]any

// A Missing resource is what the two eras have different codes for.
type Missing struct{ URI string }

func (m *Missing) Error() string { return "no such resource: " + m.URI }

// Serve answers a request that the eras have in common.
func Serve(c Client, method string, params json.RawMessage) (Result, error) {
	switch method {
	case "tools/list":
		return Result{"tools": listTools()}, nil
	case "tools/call":
		return call(c, params)
	case "prompts/list":
		return Result{"prompts": listPrompts()}, nil
	case "prompts/get":
		return getPrompt(c, params)
	case "resources/list":
		return Result{"resources": resources}, nil
	case "resources/templates/list":
		return Result{"resourceTemplates": templates}, nil
	case "resources/read":
		return read(params)
	case "completion/complete":
		return Result{"completion": Result{"values": []string{}, "total": 0, "hasMore": false}}, nil
	}
	return nil, &Error{Code: codeNotFound, Message: "method not found: " + method}
}

// Capabilities are what a server with these tools declares.
func Capabilities() Result {
	return Result{
		"tools": Result{"listChanged": true}, "prompts": Result{"listChanged": true},
		"resources": Result{"subscribe": true, "listChanged": true}, "completions": Result{}, "logging": Result{},
	}
}

// A tool's schema is "" where it takes no arguments.
type tool struct {
	name, about, schema string
	run                 func(Client, json.RawMessage) (Result, error)
}

func listTools() []Result {
	var list []Result
	for _, t := range allTools {
		schema := t.schema
		if schema == "" {
			schema = `{"type":"object"}`
		}
		list = append(list, Result{"name": t.name, "description": t.about, "inputSchema": json.RawMessage(schema)})
	}
	return list
}

// call runs a tool. What a tool says that is no JSON-RPC error and no question
// is a result with isError, as the specification has it.
func call(c Client, params json.RawMessage) (Result, error) {
	var p struct {
		Name      string
		Arguments json.RawMessage
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, &Error{Code: codeInvalidParams, Message: err.Error()}
	}
	for _, t := range allTools {
		if t.name != p.Name {
			continue
		}
		result, err := t.run(c, p.Arguments)
		if failed := (*Failure)(nil); errors.As(err, &failed) {
			return Result{"content": []Result{text(failed.What)}, "isError": true}, nil
		}
		return result, err
	}
	return nil, &Error{Code: codeInvalidParams, Message: "unknown tool: " + p.Name}
}

// A Failure is a tool's own: it is told in a result.
type Failure struct{ What string }

func (f *Failure) Error() string { return f.What }

// said is the result of a tool that says one thing.
func said(format string, args ...any) Result {
	return Result{"content": []Result{text(fmt.Sprintf(format, args...))}}
}

func text(s string) Result { return Result{"type": "text", "text": s} }
