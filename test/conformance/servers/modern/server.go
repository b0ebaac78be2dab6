package main

import (
	"context"
	"encoding/json"
	"errors"

	"sidegate/test/conformance/servers/tools"
)

const revision = "2026-07-28"

// metaPrefix is before every key of _meta that is the protocol's.
const metaPrefix = "io.modelcontextprotocol/"

// The JSON-RPC codes that this server uses.
const (
	codeParse              = -32700
	codeInvalidRequest     = -32600
	codeNotFound           = -32601
	codeInvalidParams      = -32602
	codeInternal           = -32603
	codeHeaderMismatch     = -32020
	codeMissingCapability  = -32021
	codeUnsupportedVersion = -32022
)

// A request is one that was read, whatever it came by.
type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`

	meta      meta
	name      string // params.name or params.uri
	state     string
	responses map[string]json.RawMessage
}

type meta struct {
	Revision     string                     `json:"io.modelcontextprotocol/protocolVersion"`
	Capabilities map[string]json.RawMessage `json:"io.modelcontextprotocol/clientCapabilities"`
	LogLevel     string                     `json:"io.modelcontextprotocol/logLevel"`
	Token        json.RawMessage            `json:"progressToken"`
}

// read fills in what the server reads of the parameters, and tells what is
// wrong with _meta.
func (r *request) read() error {
	var p struct {
		Meta           meta `json:"_meta"`
		Name, URI      string
		RequestState   string
		InputResponses map[string]json.RawMessage
	}
	if err := json.Unmarshal(r.Params, &p); err != nil && r.Params != nil {
		return &tools.Error{Code: codeInvalidParams, Message: err.Error()}
	}
	r.meta, r.name, r.state, r.responses = p.Meta, p.Name+p.URI, p.RequestState, p.InputResponses
	if p.Meta.Revision == "" || p.Meta.Capabilities == nil {
		return &tools.Error{Code: codeInvalidParams, Message: "_meta has no protocolVersion or no clientCapabilities"}
	}
	return nil
}

// A server keeps nothing but its listeners: each request brings what it needs.
type server struct {
	sealer    sealer
	listeners listeners
}

func newServer() *server { return &server{sealer: newSealer()} }

// answer is the response to a request that has been read. What is to be told
// before it goes through tell, which may be called by this goroutine alone.
func (s *server) answer(ctx context.Context, r *request, tell func(tools.Result)) tools.Result {
	if r.meta.Revision != revision {
		return failed(r, &tools.Error{Code: codeUnsupportedVersion, Message: "unsupported protocol version",
			Data: tools.Result{"supported": []string{revision}, "requested": r.meta.Revision}})
	}
	switch r.Method {
	case "server/discover":
		return completed(r, tools.Result{"supportedVersions": []string{revision}, "capabilities": tools.Capabilities()})
	case "subscriptions/listen":
		if err := s.listen(ctx, r, tell); err != nil {
			return failed(r, err)
		}
		return completed(r, tools.Result{"_meta": tools.Result{metaPrefix + "subscriptionId": r.ID}})
	}
	c := &call{server: s, request: r, tell: tell}
	answers, err := s.sealer.open(r)
	if err != nil {
		return failed(r, err)
	}
	c.answers = answers
	result, err := tools.Serve(c, r.Method, r.Params)
	if unanswered := (*unanswered)(nil); errors.As(err, &unanswered) {
		return s.inputRequired(c, unanswered)
	}
	if err != nil {
		return failed(r, err)
	}
	return completed(r, result)
}

// inputRequired ends a call that has asked.
func (s *server) inputRequired(c *call, asked *unanswered) tools.Result {
	requests := tools.Result{}
	for _, q := range asked.questions {
		requests[q.Key] = q
	}
	return response(c.request, tools.Result{
		"resultType": "input_required", "inputRequests": requests, "requestState": s.sealer.seal(c.request, c.answers),
	})
}

// caching is how long what may be kept, and by whom: lists by all, for they
// are the same for all, and a resource by nobody.
var caching = map[string]tools.Result{
	"server/discover":          {"ttlMs": 60_000, "cacheScope": "public"},
	"tools/list":               {"ttlMs": 60_000, "cacheScope": "public"},
	"prompts/list":             {"ttlMs": 60_000, "cacheScope": "public"},
	"resources/list":           {"ttlMs": 60_000, "cacheScope": "public"},
	"resources/templates/list": {"ttlMs": 60_000, "cacheScope": "public"},
	"resources/read":           {"ttlMs": 0, "cacheScope": "private"},
}

func completed(r *request, result tools.Result) tools.Result {
	result["resultType"] = "complete"
	for name, value := range caching[r.Method] {
		result[name] = value
	}
	return response(r, result)
}

func response(r *request, result tools.Result) tools.Result {
	m, told := result["_meta"].(tools.Result)
	if !told {
		m = tools.Result{}
		result["_meta"] = m
	}
	m[metaPrefix+"serverInfo"] = tools.Result{"name": "modern-test-server", "version": "1"}
	return tools.Result{"jsonrpc": "2.0", "id": r.ID, "result": result}
}

// failed is an error as the response to a request.
func failed(r *request, err error) tools.Result {
	known := &tools.Error{Code: codeInternal, Message: err.Error()}
	if missing := (*tools.Missing)(nil); errors.As(err, &missing) {
		known = &tools.Error{Code: codeInvalidParams, Message: "resource not found", Data: tools.Result{"uri": missing.URI}}
	}
	errors.As(err, &known)
	m := tools.Result{"jsonrpc": "2.0", "error": known}
	if r.ID != nil { // where none could be read there is none
		m["id"] = r.ID
	}
	return m
}
