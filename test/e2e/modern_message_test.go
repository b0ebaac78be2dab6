package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// metaOf is the _meta of a request of a revision.
func metaOf(revision string) string {
	return fmt.Sprintf(`"_meta":{"io.modelcontextprotocol/protocolVersion":%q,"io.modelcontextprotocol/clientCapabilities":{}}`, revision)
}

// listing is a request for the tools with params as they stand.
func listing(params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"q","method":"tools/list","params":{%s}}`, params)
}

// TestModernRefusals: what is wrong with a modern request, by status and code,
// and in the order of the specification's table where several things are wrong.
func TestModernRefusals(t *testing.T) {
	t.Parallel()
	g := gate(t)
	right := metaOf(modern)
	type fields map[string]string
	for _, row := range []struct {
		name, body string
		change     fields // of the header of a right request; "" takes one out
		status     int
		code       int
		id         string
	}{
		{"no _meta", listing(``), nil, 400, invalidParams, `"q"`},
		{"_meta is no object", listing(`"_meta":7`), nil, 400, invalidParams, `"q"`},
		{"no revision in _meta", listing(`"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}`), nil, 400, invalidParams, `"q"`},
		{"the revision is no text", listing(strings.Replace(right, `"2026-07-28"`, `20260728`, 1)), nil, 400, invalidParams, `"q"`},
		{"no capabilities", listing(`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`), nil, 400, invalidParams, `"q"`},
		{"capabilities are no object", listing(strings.Replace(right, `{}`, `[]`, 1)), nil, 400, invalidParams, `"q"`},
		{"no _meta, and no Mcp-Method", listing(``), fields{"Mcp-Method": ""}, 400, invalidParams, `"q"`},
		{"a log level that is none", listing(strings.Replace(right, `{}`, `{},"io.modelcontextprotocol/logLevel":"loud"`, 1)), nil, 400, invalidParams, `"q"`},
		{"no Mcp-Method", listing(right), fields{"Mcp-Method": ""}, 400, headerMismatch, `"q"`},
		{"another Mcp-Method", listing(right), fields{"Mcp-Method": "tools/call"}, 400, headerMismatch, `"q"`},
		{"Mcp-Method in capitals", listing(right), fields{"Mcp-Method": "TOOLS/LIST"}, 400, headerMismatch, `"q"`},
		{"another revision in the header", listing(metaOf("2025-11-25")), nil, 400, headerMismatch, `"q"`},
		{"another revision, and no Mcp-Method", listing(metaOf("1999-01-01")), fields{"Mcp-Protocol-Version": "1999-01-01", "Mcp-Method": ""}, 400, headerMismatch, `"q"`},
		{"no Mcp-Name", modernTool("echo", `{}`).body(), fields{"Mcp-Method": "tools/call"}, 400, headerMismatch, `1`},
		{"another Mcp-Name", modernTool("echo", `{}`).body(), fields{"Mcp-Method": "tools/call", "Mcp-Name": "size"}, 400, headerMismatch, `1`},
		{"an Mcp-Name that is malformed", modernTool("echo", `{}`).body(), fields{"Mcp-Method": "tools/call", "Mcp-Name": "=?base64?!?="}, 400, headerMismatch, `1`},
		{"a revision that is not served", listing(metaOf("1999-01-01")), fields{"Mcp-Protocol-Version": "1999-01-01"}, 400, unsupported, `"q"`},
		{"a legacy method", `{"jsonrpc":"2.0","id":"q","method":"ping","params":{` + right + `}}`, fields{"Mcp-Method": "ping"}, 404, noMethod, `"q"`},
		{"initialize", `{"jsonrpc":"2.0","id":"q","method":"initialize","params":{` + right + `}}`, fields{"Mcp-Method": "initialize"}, 404, noMethod, `"q"`},
		{"a method that the server does not know", `{"jsonrpc":"2.0","id":"q","method":"x/y","params":{` + right + `}}`, fields{"Mcp-Method": "x/y"}, 404, noMethod, `"q"`},
		{"a response", `{"jsonrpc":"2.0","id":"q","result":{}}`, nil, 400, invalidRequest, ``},
		{"a batch", `[` + listing(right) + `]`, nil, 400, invalidRequest, ``},
		{"not JSON", `{"jsonrpc"`, nil, 400, notJSON, ``},
		{"no text/event-stream in Accept", listing(right), fields{"Accept": "application/json"}, 406, invalidRequest, ``},
		{"another content type", listing(right), fields{"Content-Type": "text/plain"}, 415, invalidRequest, ``},
		{"a foreign origin", listing(right), fields{"Origin": "https://evil.example"}, 403, 403, ``},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := harness.Post(row.body).Add("Mcp-Protocol-Version", modern).Add("Mcp-Method", "tools/list")
			for name, value := range row.change {
				if r.Drop(name); value != "" {
					r.Add(name, value)
				}
			}
			resp := g.Do(t, r)
			if resp.Status != row.status {
				t.Errorf("status %d, want %d: %s", resp.Status, row.status, resp.Body)
			}
			if m := harness.ParseMessage(t, string(resp.Body)); row.status < 403 && m.Code() != row.code || string(m.ID) != row.id && row.status != 200 {
				t.Errorf("got %s, want code %d and id %q", resp.Body, row.code, row.id)
			}
		})
	}
	for _, method := range []string{"GET", "DELETE"} {
		for _, accept := range []string{"text/event-stream", "text/html"} {
			r := harness.Bare(method, "/mcp").Add("Accept", accept).Add("Mcp-Protocol-Version", modern)
			if resp := g.Do(t, r); resp.Status != 405 || resp.Header.Get("Allow") != "POST" {
				t.Errorf("%s with Accept %s got %d, Allow %q", method, accept, resp.Status, resp.Header.Get("Allow"))
			}
		}
	}
	note := harness.Post(`{"jsonrpc":"2.0","method":"notifications/x","params":{`+right+`}}`).Add("Mcp-Protocol-Version", modern)
	if resp := g.Do(t, note); resp.Status != 202 || len(resp.Body) > 0 {
		t.Errorf("a notification got %d %s", resp.Status, resp.Body)
	}
}

// TestModernArguments: the headers that a tool's schema asks for say what the
// arguments say, also where the tool server cannot see them; and only where the
// request has headers.
func TestModernArguments(t *testing.T) {
	t.Parallel()
	g := gate(t)
	for _, row := range []struct {
		name, arguments string
		header          [][2]string
		right           bool
	}{
		{"both", `{"region":"eu","count":42}`, [][2]string{{"Mcp-Param-Region", "eu"}, {"mcp-param-COUNT", "42"}}, true},
		{"numbers are compared as such", `{"count":42}`, [][2]string{{"Mcp-Param-Count", "42.0"}}, true},
		{"encoded", `{"region":"Köln"}`, [][2]string{{"Mcp-Param-Region", "=?base64?S8O2bG4=?="}}, true},
		{"no argument, no header", `{"region":null}`, nil, true},
		{"a header that no schema asks for", `{}`, [][2]string{{"Mcp-Param-Other", "x"}}, true},
		{"no header", `{"region":"eu"}`, nil, false},
		{"another value", `{"region":"eu"}`, [][2]string{{"Mcp-Param-Region", "EU"}}, false},
		{"another number", `{"count":42}`, [][2]string{{"Mcp-Param-Count", "43"}}, false},
		{"no argument", `{}`, [][2]string{{"Mcp-Param-Region", "eu"}}, false},
		{"twice", `{"region":"eu"}`, [][2]string{{"Mcp-Param-Region", "eu"}, {"Mcp-Param-Region", "eu"}}, false},
		{"malformed", `{"region":"eu"}`, [][2]string{{"Mcp-Param-Region", "=?base64?!?="}}, false},
		{"no ASCII", `{"region":"Köln"}`, [][2]string{{"Mcp-Param-Region", "Köln"}}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := modernTool("mirrored", row.arguments).request()
			for _, f := range row.header {
				r.Add(f[0], f[1])
			}
			resp := g.Do(t, r)
			if !row.right {
				resp.WantRefusal(t, 400, headerMismatch, "1")
			} else if got := readResult(t, resp.Answer(t)); string(got.Structured) != row.arguments {
				t.Errorf("got %s", got.Raw)
			}
		})
	}
	c := rawSocket(t, g)
	c.say(modernTool("mirrored", `{"region":"eu"}`).body())
	c.want(`"structuredContent":{"region":"eu"}`)
}

// TestEraOrder: how a request's era is told. A legacy request without a session
// is refused as such, which shows that it was taken for one.
func TestEraOrder(t *testing.T) {
	t.Parallel()
	g := gate(t)
	const opening = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}%s}}`
	both := fmt.Sprintf(opening, ","+metaOf(modern))
	for _, row := range []struct {
		name, revision, method, body string
		more                         [2]string
		status, code                 int
	}{
		{"a legacy header outranks modern _meta", "2025-11-25", "", both, [2]string{}, 200, 0},
		{"a legacy header, without a session", "2025-11-25", "", listing(metaOf(modern)), [2]string{}, 400, invalidRequest},
		{"a modern header", modern, "tools/list", listing(metaOf(modern)), [2]string{}, 200, 0},
		{"a modern header with initialize", modern, "initialize", both, [2]string{}, 404, noMethod},
		{"a modern header with a session id", modern, "tools/list", listing(metaOf(modern)), [2]string{"Mcp-Session-Id", "nobody's"}, 200, 0},
		{"no header, modern _meta", "", "tools/list", listing(metaOf(modern)), [2]string{}, 400, headerMismatch},
		{"no header, initialize as legacy clients send it, with _meta", "", "", both, [2]string{}, 200, 0},
		{"no header, nothing", "", "", listing(``), [2]string{}, 400, invalidRequest},
		{"no header, initialize", "", "", fmt.Sprintf(opening, ""), [2]string{}, 200, 0},
		{"an unknown header, _meta that says the same", "2031-01-01", "tools/list", listing(metaOf("2031-01-01")), [2]string{}, 400, unsupported},
		{"an unknown header, nothing", "2031-01-01", "", listing(``), [2]string{}, 400, invalidRequest},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := harness.Post(row.body)
			for _, f := range [][2]string{{"Mcp-Protocol-Version", row.revision}, {"Mcp-Method", row.method}, row.more} {
				if f[1] != "" {
					r.Add(f[0], f[1])
				}
			}
			resp := g.Do(t, r)
			if m := harness.ParseMessage(t, string(resp.Body)); resp.Status != row.status || m.Code() != row.code {
				t.Errorf("got %d %s, want %d and code %d", resp.Status, resp.Body, row.status, row.code)
			}
			if s := resp.Header.Get("Mcp-Session-Id"); (s != "") != (row.status == 200 && strings.Contains(row.body, "initialize")) {
				t.Errorf("the session id is %q", s)
			}
		})
	}
}

// TestModernFidelity: what a legacy server is sent is the client's own request
// without what only modern servers know, byte for byte.
func TestModernFidelity(t *testing.T) {
	t.Parallel()
	g := gate(t)
	c := modernTool("echo", `{"z":1,"a":9007199254740993,"u":"\u00e9\ud83d\ude00","n":[1.0,1e2,-0]}`)
	c.meta = `,"example.com/key":{"deep":[1]},"traceparent":"00-1-2-01","progressToken":"p"`
	if r := c.ask(t, g); string(r.Structured) != `{"z":1,"a":9007199254740993,"u":"\u00e9\ud83d\ude00","n":[1.0,1e2,-0]}` || r.ResultType != "complete" || r.Meta.Server == nil {
		t.Errorf("the result is %s", r.Raw)
	}
	seen := string(modernTool("seen", `{"method":"tools/call"}`).ask(t, g).Structured)
	for _, want := range []string{`"example.com/key":{"deep":[1]}`, `"traceparent":"00-1-2-01"`, `"progressToken":`} {
		if !strings.Contains(seen, want) {
			t.Errorf("the server did not see %s: %s", want, seen)
		}
	}
	if strings.Contains(seen, "io.modelcontextprotocol/") {
		t.Errorf("the server saw what is not for it: %s", seen)
	}
	list := modernCall{method: "tools/list"}.ask(t, g)
	if list.TTL == nil || list.Scope == "" || list.ResultType != "complete" {
		t.Errorf("the list is %s", harness.Short(list.Raw))
	}
	found := modernCall{method: "server/discover"}.ask(t, g)
	if !strings.Contains(found.Raw, `"supportedVersions":["2026-07-28"`) || found.TTL == nil || !strings.Contains(string(found.Meta.Server), `"fixture"`) {
		t.Errorf("the server is told as %s", found.Raw)
	}
	m := g.Do(t, modernTool("progress", `{"steps":2,"tag":"s"}`).withMeta(`,"progressToken":"mine"`).request()).Messages(t)
	if len(m) != 3 || !strings.Contains(m[0].Raw, `"progressToken":"mine"`) {
		t.Errorf("progress came as %v", m)
	}
}

// withMeta adds members to _meta, each after a comma.
func (c modernCall) withMeta(members string) modernCall {
	c.meta += members
	return c
}

// TestModernLogs: log messages come on the stream of the call that wants them,
// and nowhere else.
func TestModernLogs(t *testing.T) {
	t.Parallel()
	g := gate(t)
	logs := modernTool("log", `{"level":"error","text":"words","count":2}`)
	if m := g.Do(t, logs.request()).Messages(t); len(m) != 1 {
		t.Errorf("without a level came %v", m)
	}
	m := g.Do(t, logs.withMeta(`,"io.modelcontextprotocol/logLevel":"info"`).request()).Messages(t)
	if len(m) != 3 || m[0].Method != "notifications/message" || !strings.Contains(m[1].Raw, "words") || m[2].Result == nil {
		t.Errorf("with a level came %v", m)
	}
}

// TestUndeclaredCapability: a server that asks for what the client cannot do
// ends its call with what is missing.
func TestUndeclaredCapability(t *testing.T) {
	t.Parallel()
	g := gate(t)
	c := asking("m")
	c.capabilities = `{"roots":{}}`
	resp := g.Do(t, c.request())
	resp.WantRefusal(t, 400, missingCapability, "1")
	if m := harness.ParseMessage(t, string(resp.Body)); m.Error == nil || string(m.Error.Data) != `{"requiredCapabilities":{"elicitation":{}}}` {
		t.Errorf("the refusal is %s", resp.Body)
	}
}
