package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	"sidegate/test/e2e/harness"
)

// The JSON-RPC codes of the modern revisions.
const (
	noMethod          = -32601
	invalidParams     = -32602
	headerMismatch    = -32020
	missingCapability = -32021
	unsupported       = -32022
)

const modern = "2026-07-28"

// A modernCall is a request of a modern client. What is "" has the usual value.
type modernCall struct {
	id, method, params string // params without braces
	name               string // Mcp-Name
	capabilities       string
	meta               string // further members of _meta, each after a comma
	token              string
}

// body is the message.
func (c modernCall) body() string {
	capabilities, id, params := c.capabilities, c.id, c.params
	if capabilities == "" {
		capabilities = "{}"
	}
	if id == "" {
		id = "1"
	}
	if params != "" {
		params += ","
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s"_meta":{"io.modelcontextprotocol/protocolVersion":%q,`+
		`"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":%s%s}}}`,
		id, c.method, params, modern, capabilities, c.meta)
}

// request is the POST that carries it.
func (c modernCall) request() *harness.Request {
	r := harness.Post(c.body()).Add("MCP-Protocol-Version", modern).Add("Mcp-Method", c.method)
	if c.name != "" {
		r.Add("Mcp-Name", c.name)
	}
	if c.token != "" {
		r.Add("Authorization", "Bearer "+c.token)
	}
	return r
}

// modernTool is a call of a fixture's tool.
func modernTool(name, arguments string) modernCall {
	return modernCall{method: "tools/call", name: name, params: fmt.Sprintf(`"name":%q,"arguments":%s`, name, arguments)}
}

// able is a client that can be asked anything.
const able = `{"elicitation":{},"sampling":{},"roots":{}}`

// asking is a call that makes the fixture ask its client, and waits for the
// answer, which becomes its own.
func asking(message string) modernCall {
	c := modernTool("ask", fmt.Sprintf(`{"method":"elicitation/create","params":{"message":%q}}`, message))
	c.capabilities = able
	return c
}

// A modernResult is what is read of a modern result.
type modernResult struct {
	ResultType    string `json:"resultType"`
	RequestState  string `json:"requestState"`
	InputRequests map[string]struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	} `json:"inputRequests"`
	TTL   *int   `json:"ttlMs"`
	Scope string `json:"cacheScope"`
	Meta  struct {
		Server json.RawMessage `json:"io.modelcontextprotocol/serverInfo"`
	} `json:"_meta"`
	Structured json.RawMessage `json:"structuredContent"`
	Raw        string          `json:"-"`
}

func readResult(t *testing.T, m harness.Message) (r modernResult) {
	t.Helper()
	if m.Error != nil {
		t.Fatalf("an error instead of a result: %s", harness.Short(m.Raw))
	}
	decode(t, m.Result, &r)
	r.Raw = m.Raw
	return r
}

// ask sends a modern call and reads its result.
func (c modernCall) ask(t *testing.T, g *harness.Gate) modernResult {
	t.Helper()
	return readResult(t, g.Do(t, c.request()).Answer(t))
}

// retry is the same call with what its client was asked for; the answer to every
// question is response.
func (c modernCall) retry(t *testing.T, r modernResult, id, response string) modernCall {
	t.Helper()
	if r.ResultType != "input_required" || len(r.InputRequests) == 0 || r.RequestState == "" {
		t.Fatalf("the call is not parked: %s", harness.Short(r.Raw))
	}
	responses := map[string]json.RawMessage{}
	for key := range r.InputRequests {
		responses[key] = json.RawMessage(response)
	}
	text, err := json.Marshal(responses)
	if err != nil {
		t.Fatal(err)
	}
	c.id = id
	c.params += fmt.Sprintf(`,"inputResponses":%s,"requestState":%q`, text, r.RequestState)
	return c
}
