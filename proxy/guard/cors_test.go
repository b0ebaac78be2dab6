package guard

import (
	"strings"
	"testing"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
)

// mcpHeaders are all that the protocol knows: a page may read and set each.
var mcpHeaders = []string{mcp.HeaderSessionID, mcp.HeaderProtocolVersion, mcp.HeaderMethod, mcp.HeaderName}

// lists tells whether a header's list holds name, in whatever case.
func lists(list []byte, name string) bool {
	for _, n := range strings.Split(string(list), ", ") {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func TestCORS(t *testing.T) {
	g := mustNew(t, Config{TokenFile: tokenFile(t, "s3cret")})
	for _, c := range []struct {
		name string
		head []string
		want *refusal.Refusal
	}{
		{"what passes", []string{hostField, originField, tokenField, "Accept: text/event-stream"}, nil},
		{"what is refused for its token", []string{hostField, originField, "Authorization: Bearer wrong"}, unknown.refusal},
		{"what is refused for its form", []string{hostField, originField, tokenField}, refusal.Accept},
	} {
		ctx := request(t, loopback, "GET /mcp HTTP/1.1", c.head...)
		v, r := g.Door(ctx, endpoint)
		if r != c.want {
			t.Fatalf("%s: %v", c.name, r)
		}
		h := &ctx.Response.Header
		if got := string(h.Peek("Access-Control-Allow-Origin")); got != "http://localhost:6274" || v.Origin != got {
			t.Errorf("%s: Allow-Origin %q, visitor's %q", c.name, got, v.Origin)
		}
		if got := string(h.Peek("Vary")); got != "Origin" {
			t.Errorf("%s: Vary %q", c.name, got)
		}
		for _, name := range append(mcpHeaders, "WWW-Authenticate", "Retry-After") {
			if !lists(h.Peek("Access-Control-Expose-Headers"), name) {
				t.Errorf("%s: %s is not exposed", c.name, name)
			}
		}
		if got := h.Peek("Access-Control-Allow-Credentials"); got != nil {
			t.Errorf("%s: Allow-Credentials %q", c.name, got)
		}
	}
}

func TestNoCORSWithoutAnAllowedOrigin(t *testing.T) {
	g := mustNew(t, Config{})
	for _, head := range [][]string{
		{hostField, "Accept: text/event-stream"},
		{hostField, "Origin: https://evil.example"},
		{hostField, "Origin: null"},
		{"Host: evil.example", originField},
	} {
		ctx := request(t, loopback, "GET /mcp HTTP/1.1", head...)
		v, _ := g.Door(ctx, endpoint)
		for name := range ctx.Response.Header.All() {
			if strings.HasPrefix(string(name), "Access-Control-") {
				t.Errorf("%s: %s is set", head, name)
			}
		}
		if v.Origin != "" || len(v.AppendCORS(nil)) != 0 {
			t.Errorf("%s: the visitor's origin is %q", head, v.Origin)
		}
	}
}

// TestAppendCORS: the lines for a head of our own say what SetCORS says.
func TestAppendCORS(t *testing.T) {
	v := Visitor{Origin: "http://localhost:6274"}
	lines := string(v.AppendCORS([]byte("A: b\r\n")))
	if !strings.HasPrefix(lines, "A: b\r\n") || !strings.HasSuffix(lines, "\r\n") || strings.HasSuffix(lines, "\r\n\r\n") {
		t.Fatalf("%q are not whole lines", lines)
	}
	ctx := request(t, loopback, "GET /mcp HTTP/1.1", hostField)
	v.SetCORS(&ctx.Response.Header)
	n := 0
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\r\n"), "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		if got := string(ctx.Response.Header.Peek(name)); name != "A" && got != value {
			t.Errorf("%s: SetCORS says %q, AppendCORS %q", name, got, value)
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d lines: %q", n, lines)
	}
}

func TestPreflight(t *testing.T) {
	g := mustNew(t, Config{TokenFile: tokenFile(t, "s3cret"), Rate: 0.001, Burst: 1})
	for range 3 { // needs no token, and takes none of a caller's rate
		ctx := request(t, loopback, "OPTIONS /mcp HTTP/1.1", hostField, originField, "Access-Control-Request-Method: POST",
			"Access-Control-Request-Headers: content-type, mcp-param-city,MCP-Session-ID , mcp-, x-evil, mcp-a b, mcp-\u00e9",
			"Access-Control-Request-Private-Network: true")
		v, r := g.Door(ctx, endpoint)
		if r != nil || !v.Preflight {
			t.Fatalf("%+v, %v", v, r)
		}
		v.AnswerPreflight(ctx, endpoint)
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin":          "http://localhost:6274",
			"Access-Control-Allow-Methods":         "POST, GET, DELETE",
			"Access-Control-Allow-Headers":         allowed + ", mcp-param-city",
			"Access-Control-Max-Age":               "7200",
			"Access-Control-Allow-Private-Network": "true",
			"Access-Control-Allow-Credentials":     "",
			"Vary":                                 preflightVary,
		} {
			if got := string(ctx.Response.Header.Peek(name)); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if ctx.Response.StatusCode() != 204 {
			t.Errorf("status %d", ctx.Response.StatusCode())
		}
	}
	for _, name := range append(mcpHeaders, mcp.HeaderLastEventID, "Content-Type", "Accept", "Authorization") {
		if !lists([]byte(allowed), name) {
			t.Errorf("%s is not allowed", name)
		}
	}
}

func TestPreflightWithoutPrivateNetwork(t *testing.T) {
	ctx := request(t, loopback, "OPTIONS /healthz HTTP/1.1", hostField, originField, "Access-Control-Request-Method: GET")
	v, r := mustNew(t, Config{}).Door(ctx, health)
	if r != nil || !v.Preflight {
		t.Fatalf("%+v, %v", v, r)
	}
	v.AnswerPreflight(ctx, health)
	h := &ctx.Response.Header
	if got := string(h.Peek("Access-Control-Allow-Methods")); got != "GET, HEAD" {
		t.Errorf("Allow-Methods %q", got)
	}
	if got := h.Peek("Access-Control-Allow-Private-Network"); got != nil {
		t.Errorf("Allow-Private-Network %q, unasked", got)
	}
}
