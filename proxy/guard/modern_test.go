package guard

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// scanned is a message with what the scan finds in it.
func scanned(t testing.TB, text string) ([]byte, *wire.Envelope) {
	t.Helper()
	env := new(wire.Envelope)
	if r := Message([]byte(text), 1<<20, env); r != nil {
		t.Fatalf("%s: %v", text, r)
	}
	return []byte(text), env
}

func posted(t testing.TB, fields ...string) *fasthttp.RequestHeader {
	t.Helper()
	return &request(t, loopback, "POST /mcp HTTP/1.1", append(fields, hostField)...).Request.Header
}

const (
	metaField = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	modern    = "MCP-Protocol-Version: 2026-07-28"
)

// TestEraOf has the rules in their order, each with what would decide otherwise
// further down.
func TestEraOf(t *testing.T) {
	call := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `}}`
	}
	const unknown, legacy = "MCP-Protocol-Version: 2031-01-01", "MCP-Protocol-Version: 2025-06-18"
	unknownMeta := strings.Replace(metaField, "2026-07-28", "2031-01-01", 1)
	for _, c := range []struct {
		name   string
		fields []string
		msg    string
		want   Era
		status int // 0: not refused
	}{
		{"a legacy header", []string{legacy}, call("tools/list", ""), Legacy, 0},
		{"a legacy header outranks _meta", []string{legacy}, call("tools/list", metaField), Legacy, 0},
		{"every legacy revision does", []string{"MCP-Protocol-Version: 2024-11-05"}, call("tools/list", metaField), Legacy, 0},
		{"a modern header", []string{modern}, call("tools/list", metaField), Modern, 0},
		{"a modern header without _meta", []string{modern}, call("tools/list", ""), Modern, 0},
		{"a modern header with initialize", []string{modern}, call("initialize", `"protocolVersion":"2025-11-25"`), Modern, 0},
		{"a modern header with a session", []string{modern, "Mcp-Session-Id: s"}, call("tools/list", ""), Modern, 0},
		{"a modern header with a batch", []string{modern}, `[{"jsonrpc":"2.0","method":"a"}]`, Modern, 0},
		{"a modern header with an answer", []string{modern}, `{"jsonrpc":"2.0","id":1,"result":{}}`, Modern, 0},
		{"white space", []string{"MCP-Protocol-Version: \t2026-07-28 \t"}, call("tools/list", ""), Modern, 0},
		{"no header, _meta", nil, call("tools/list", metaField), Modern, 0},
		{"no header, an unknown revision", nil, call("tools/list", unknownMeta), Modern, 0},
		{"no header, a legacy revision in _meta", nil, call("tools/list", strings.Replace(metaField, "2026-07-28", "2025-11-25", 1)), Modern, 0},
		{"no header, no string", nil, call("tools/list", `"_meta":{"io.modelcontextprotocol/protocolVersion":7}`), Modern, 0},
		{"no header, null", nil, call("tools/list", `"_meta":{"io.modelcontextprotocol/protocolVersion":null}`), Modern, 0},
		{"no header, initialize with a version", nil, call("initialize", `"protocolVersion":"2025-11-25",`+metaField), Legacy, 0},
		{"no header, initialize with a version that is no string", nil, call("initialize", `"protocolVersion":1,`+metaField), Legacy, 0},
		{"no header, initialize without one", nil, call("initialize", metaField), Modern, 0},
		{"no header, initialize", nil, call("initialize", `"protocolVersion":"2025-11-25"`), Legacy, 0},
		{"an empty header is none", []string{"MCP-Protocol-Version:"}, call("tools/list", metaField), Modern, 0},
		{"an unknown header, _meta", []string{unknown}, call("tools/list", unknownMeta), Modern, 0},
		{"an unknown header, initialize with both", []string{unknown}, call("initialize", `"protocolVersion":"2025-11-25",`+metaField), Modern, 0},
		{"an unknown header", []string{unknown}, call("tools/list", ""), Legacy, 400},
		{"an unknown header with initialize", []string{unknown}, call("initialize", `"protocolVersion":"2025-11-25"`), Legacy, 400},
		{"other case", []string{"MCP-Protocol-Version: 2026-07-28X"}, call("tools/list", ""), Legacy, 400},
		{"nothing", nil, call("tools/list", ""), Legacy, 0},
		{"_meta without a revision", nil, call("tools/list", `"_meta":{"progressToken":1}`), Legacy, 0},
		{"_meta that is no object", nil, call("tools/list", `"_meta":[]`), Legacy, 0},
		{"a notification with _meta", nil, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{` + metaField + `}}`, Modern, 0},
		{"a batch", nil, `[{"jsonrpc":"2.0","method":"a"}]`, Legacy, 0},
	} {
		msg, env := scanned(t, c.msg)
		h := posted(t, c.fields...)
		if r := Headers(h); r != nil {
			t.Errorf("%s: refused before the body was read: %v", c.name, r)
		}
		got, r := EraOf(h, msg, env)
		status := 0
		if r != nil {
			status = r.Status
		}
		if got != c.want || status != c.status {
			t.Errorf("%s: era %d, %v", c.name, got, r)
		}
		if len(c.fields) == 0 && EraOfMessage(msg, env) != c.want {
			t.Errorf("%s: another era without headers", c.name)
		}
	}
}

// TestHeaders: what can be said before the body was read.
func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		line   string
		fields []string
		want   *refusal.Refusal // its reason and status
	}{
		{"POST /mcp HTTP/1.1", []string{modern, "Last-Event-ID: x"}, nil},
		{"POST /mcp HTTP/1.1", []string{modern, modern}, refusal.BadHTTP},
		{"POST /mcp HTTP/1.1", []string{"Mcp-Session-Id: a", "mcp-session-id: b"}, refusal.BadHTTP},
		{"GET /mcp HTTP/1.1", nil, nil},
		{"GET /mcp HTTP/1.1", []string{"MCP-Protocol-Version: 2025-11-25"}, nil},
		{"GET /mcp HTTP/1.1", []string{modern}, refusal.ModernMethod},
		{"DELETE /mcp HTTP/1.1", []string{modern, "Mcp-Session-Id: a"}, refusal.ModernMethod},
		{"DELETE /mcp HTTP/1.1", []string{"MCP-Protocol-Version: v9"}, refusal.Revision},
		{"GET /ws HTTP/1.1", []string{modern, "Upgrade: WebSocket"}, nil},
		{"DELETE /ws HTTP/1.1", []string{modern, "Upgrade: websocket"}, refusal.ModernMethod},
	} {
		r := Headers(&request(t, loopback, c.line, append(c.fields, hostField)...).Request.Header)
		if (r == nil) != (c.want == nil) || r != nil && (r.Reason != c.want.Reason || r.Status != c.want.Status) {
			t.Errorf("%s %v: %v", c.line, c.fields, r)
		}
	}
}

// TestCheckModern has every row of the table, and what comes first where
// several things are wrong.
func TestCheckModern(t *testing.T) {
	const (
		noMeta  = `{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}`
		list    = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + metaField + `}}`
		tool    = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wörk",` + metaField + `}}`
		read    = `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a","name":"b",` + metaField + `}}`
		listing = "Mcp-Method: tools/list"
		calling = "Mcp-Method: tools/call"
		reading = "Mcp-Method: resources/read"
	)
	with := func(old, replacement string) string { return strings.Replace(list, old, replacement, 1) }
	method := func(name string) string { return with("tools/list", name) }
	type fields []string
	for _, c := range []struct {
		name   string
		fields fields
		msg    string
		status int
		code   int
		plain  int // the code without headers, as over WebSocket
	}{
		{"all well", fields{modern, listing}, list, 0, 0, 0},
		{"case of names", fields{"mcp-PROTOCOL-version: 2026-07-28", "MCP-METHOD: tools/list"}, list, 0, 0, 0},
		{"white space", fields{modern, "Mcp-Method: \t tools/list \t"}, list, 0, 0, 0},
		{"a session and a place in a stream", fields{modern, listing, "Mcp-Session-Id: x", "Last-Event-ID: y"}, list, 0, 0, 0},
		{"no params", fields{modern, listing}, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, 400, -32602, -32602},
		{"params that are an array", fields{modern, listing}, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}`, 400, -32602, -32602},
		{"an encoded name", fields{modern, calling, "Mcp-Name: =?base64?d8O2cms=?="}, tool, 0, 0, 0},
		{"a uri", fields{modern, reading, "Mcp-Name: file:///a"}, read, 0, 0, 0},
		{"a name of another method", fields{modern, listing, "Mcp-Name: any"}, list, 0, 0, 0},
		{"a log level", fields{modern, listing}, with(`:{}}`, `:{},"io.modelcontextprotocol/logLevel":"emergency"}`), 0, 0, 0},
		{"an unknown method", fields{modern, "Mcp-Method: tasks/get"}, method("tasks/get"), 0, 0, 0},
		{"a notification", fields{modern}, `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, 0, 0, 0},
		{"a notification with headers of nothing", fields{modern, calling}, `{"jsonrpc":"2.0","method":"notifications/any","params":{}}`, 0, 0, 0},

		{"no _meta, no headers, no such method", fields{modern}, noMeta, 400, -32602, -32602},
		{"no _meta: initialize", fields{modern}, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`, 400, -32602, -32602},
		{"_meta that is no object", fields{modern, listing}, with(metaField, `"_meta":"x"`), 400, -32602, -32602},
		{"no revision", fields{modern, listing}, with(mcp.MetaRevision, "other"), 400, -32602, -32602},
		{"a revision that is no string", fields{modern, listing}, with(`"2026-07-28"`, "7"), 400, -32602, -32602},
		{"no capabilities", fields{modern, listing}, with(mcp.MetaCapabilities, "other"), 400, -32602, -32602},
		{"capabilities that are no object", fields{modern, listing}, with(`:{}}`, `:[]}`), 400, -32602, -32602},
		{"no capabilities, an unknown revision, other headers", fields{"MCP-Protocol-Version: v9", calling},
			strings.Replace(with(mcp.MetaCapabilities, "other"), "2026-07-28", "v9", 1), 400, -32602, -32602},
		{"no log level", fields{modern, listing}, with(`:{}}`, `:{},"io.modelcontextprotocol/logLevel":"loud"}`), 400, -32602, -32602},
		{"a log level that is no string, and no method header", fields{modern}, with(`:{}}`, `:{},"io.modelcontextprotocol/logLevel":1}`), 400, -32602, -32602},

		{"no version header", fields{listing}, list, 400, -32020, 0},
		{"an empty one", fields{"MCP-Protocol-Version:", listing}, list, 400, -32020, 0},
		{"no header, and an unknown revision", nil, with("2026-07-28", "v9"), 400, -32020, -32022},
		{"a known header, an unknown revision", fields{modern, listing}, with("2026-07-28", "v9"), 400, -32020, -32022},
		{"an unknown header, a known revision", fields{"MCP-Protocol-Version: v9", listing}, list, 400, -32020, 0},
		{"no method header", fields{modern}, list, 400, -32020, 0},
		{"another method", fields{modern, calling}, list, 400, -32020, 0},
		{"other case of a value", fields{modern, "Mcp-Method: TOOLS/LIST"}, list, 400, -32020, 0},
		{"a method is not encoded", fields{modern, "Mcp-Method: =?base64?dG9vbHMvbGlzdA==?="}, list, 400, -32020, 0},
		{"the method twice", fields{modern, listing, listing}, list, 400, -32020, 0},
		{"no name", fields{modern, calling}, tool, 400, -32020, 0},
		{"another name", fields{modern, calling, "Mcp-Name: other"}, tool, 400, -32020, 0},
		{"a name past ASCII", fields{modern, calling, "Mcp-Name: wörk"}, tool, 400, -32020, 0},
		{"a name that is badly encoded", fields{modern, calling, "Mcp-Name: =?base64?d8O2cms?="}, tool, 400, -32020, 0},
		{"the name twice", fields{modern, calling, "Mcp-Name: =?base64?d8O2cms=?=", "Mcp-Name: =?base64?d8O2cms=?="}, tool, 400, -32020, 0},
		{"the name in place of the uri", fields{modern, reading, "Mcp-Name: b"}, read, 400, -32020, 0},
		{"a name, and none in the body", fields{modern, calling, "Mcp-Name: x"}, strings.Replace(tool, `"name":"wörk",`, "", 1), 400, -32020, 0},
		{"an empty name, and none in the body", fields{modern, calling, "Mcp-Name:"}, strings.Replace(tool, `"name":"wörk",`, `"name":1,`, 1), 400, -32020, 0},
		{"another method, which is none", fields{modern, listing}, method("ping"), 400, -32020, -32601},

		{"an unknown revision", fields{"MCP-Protocol-Version: v9", listing}, with("2026-07-28", "v9"), 400, -32022, -32022},
		{"an unknown revision, and no such method", fields{"MCP-Protocol-Version: v9", "Mcp-Method: ping"}, strings.Replace(method("ping"), "2026-07-28", "v9", 1), 400, -32022, -32022},
		{"a legacy revision", fields{"MCP-Protocol-Version: 2025-11-25", listing}, with("2026-07-28", "2025-11-25"), 400, -32022, -32022},

		{"initialize", fields{modern, "Mcp-Method: initialize"}, method("initialize"), 404, -32601, -32601},
		{"ping", fields{modern, "Mcp-Method: ping"}, method("ping"), 404, -32601, -32601},
		{"logging/setLevel", fields{modern, "Mcp-Method: logging/setLevel"}, method("logging/setLevel"), 404, -32601, -32601},
		{"resources/subscribe", fields{modern, "Mcp-Method: resources/subscribe"}, method("resources/subscribe"), 404, -32601, -32601},
		{"resources/unsubscribe", fields{modern, "Mcp-Method: resources/unsubscribe"}, method("resources/unsubscribe"), 404, -32601, -32601},

		{"an answer", fields{modern}, `{"jsonrpc":"2.0","id":1,"result":{}}`, 400, -32600, -32600},
		{"an error", fields{modern, listing}, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}`, 400, -32600, -32600},
		{"a batch", fields{modern, listing}, `[` + list + `]`, 400, -32600, -32600},
	} {
		msg, env := scanned(t, c.msg)
		r := CheckModern(posted(t, c.fields...), msg, env)
		if r == nil && c.code != 0 || r != nil && (r.Code != c.code || r.Status != c.status) {
			t.Errorf("%s: %+v, want %d", c.name, r, c.code)
		}
		if r != nil && strings.Contains(r.Text, "wörk") {
			t.Errorf("%s: the text quotes the client: %s", c.name, r.Text)
		}
		if r := CheckModernMessage(msg, env); r == nil && c.plain != 0 || r != nil && r.Code != c.plain {
			t.Errorf("%s, without headers: %+v, want %d", c.name, r, c.plain)
		}
	}
}

// TestUnsupportedVersion: a client that asks for too much is told what there is.
func TestUnsupportedVersion(t *testing.T) {
	asked := strings.Repeat("v", 100)
	msg, env := scanned(t, `{"jsonrpc":"2.0","id":1,"method":"m","params":{`+strings.Replace(metaField, "2026-07-28", asked, 1)+`}}`)
	r := CheckModernMessage(msg, env)
	const want = `{"supported":["2026-07-28"],"requested":"`
	if r == nil || string(r.Data) != want+asked[:longestRevision]+`"}` {
		t.Errorf("%+v", r)
	}
}

// TestAppendParams: a server behind has its headers made anew; what a tool's
// schema asks for passes, unless a header cannot hold it.
func TestAppendParams(t *testing.T) {
	h := posted(t, modern, "Mcp-Method: tools/call", "Mcp-Name: t", "mcp-param-city: Berlin", "MCP-PARAM-user_id: 7", "X_Under: n", "X-Any: 1", "Mcp-Params: n")
	h.Set("Mcp-Param-Bad", "a\x01b")
	got := string(AppendParams(nil, h))
	const want = "Mcp-Param-City: Berlin\r\nMcp-Param-User_id: 7\r\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	forwarded := string(mustNew(t, Config{}).AppendForwarded(nil, h, &Visitor{}))
	if want := want[:len(want)-len("Mcp-Param-User_id: 7\r\n")]; !strings.Contains(forwarded, want) || !strings.Contains(forwarded, "Mcp-Param-User_id: 7\r\n") {
		t.Errorf("%q", forwarded)
	}
	for _, never := range []string{"Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Param-Bad", "X_Under"} {
		if strings.Contains(forwarded, never) {
			t.Errorf("%s is forwarded: %q", never, forwarded)
		}
	}
}

func BenchmarkCheckModern(b *testing.B) {
	msg, env := scanned(b, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},`+metaField+`}}`)
	h := posted(b, modern, "Mcp-Method: tools/call", "Mcp-Name: echo")
	b.ReportAllocs()
	for b.Loop() {
		if era, r := EraOf(h, msg, env); era != Modern || r != nil {
			b.Fatal(r)
		}
		if r := CheckModern(h, msg, env); r != nil {
			b.Fatal(r)
		}
	}
}
