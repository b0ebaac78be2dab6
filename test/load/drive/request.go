package drive

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// The revisions that callers speak.
const (
	legacy = "2025-11-25"
	modern = "2026-07-28"
)

// A Door is where callers come in, and how.
type Door struct {
	Addr   string // HOST:PORT
	Path   string // empty: /mcp
	Modern bool   // stateless requests of 2026-07-28 instead of sessions
}

func (d Door) path() string {
	if d.Path == "" {
		return "/mcp"
	}
	return d.Path
}

// post is a whole POST of a message.
func (d Door) post(session, fields, body string) []byte {
	if session != "" {
		fields += "Mcp-Session-Id: " + session + "\r\nMCP-Protocol-Version: " + legacy + "\r\n"
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
		"Accept: application/json, text/event-stream\r\n%sContent-Length: %d\r\n\r\n%s", d.path(), d.Addr, fields, len(body), body)
}

// get is a GET for a stream.
func (d Door) get(path, session string) []byte {
	fields := ""
	if session != "" {
		fields = "Mcp-Session-Id: " + session + "\r\nMCP-Protocol-Version: " + legacy + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", path, d.Addr, fields)
}

// end is a DELETE of a session.
func (d Door) end(session string) []byte {
	return fmt.Appendf(nil, "DELETE %s HTTP/1.1\r\nHost: %s\r\nMcp-Session-Id: %s\r\nMCP-Protocol-Version: %s\r\n\r\n",
		d.path(), d.Addr, session, legacy)
}

// opening and opened are what a session begins with.
const (
	opening = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + legacy + `","capabilities":{},` +
		`"clientInfo":{"name":"load","version":"1"}}}`
	opened = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// What of a message is exchanged from call to call, in widths that do not
// vary, so that the message's length does not.
const (
	idWidth    = 14 // below 2^53
	tokenWidth = 16
	blankID    = "10000000000000"
	blankToken = "tttttttttttttttt"
)

// A message is a call, to be sent again and again with other ids and tokens.
type message struct {
	bytes     []byte
	id, token int // where they begin
	text      int // where the argument that comes back begins, and how long it is
	length    int
	want      int // how many bytes the result has at least
}

// echo is a call of the tool that returns its argument. The message has size
// bytes if that leaves room for the token.
func echo(isModern bool, size int) string {
	meta := ""
	if isModern {
		meta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modern + `",` +
			`"io.modelcontextprotocol/clientInfo":{"name":"load","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	}
	const before = `{"jsonrpc":"2.0","id":` + blankID + `,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` + blankToken
	after := `"}` + meta + `}}`
	padding := max(size-len(before)-len(after), 0)
	return before + strings.Repeat("x", padding) + after
}

// tool is a call of another tool, with raw arguments.
func tool(name, arguments string) string {
	return `{"jsonrpc":"2.0","id":` + blankID + `,"method":"tools/call","params":{"name":"` + name + `","arguments":` + arguments + `}}`
}

// prepare finds in b, which ends with body, what is exchanged.
func prepare(b []byte, body string) message {
	start := len(b) - len(body)
	m := message{bytes: b, id: start + strings.Index(body, blankID), token: -1}
	if i := strings.Index(body, blankToken); i >= 0 {
		m.token, m.text = start+i, start+i
		m.length = strings.IndexByte(body[i:], '"')
	}
	return m
}

// request prepares the POST of a call.
func (d Door) request(session, body string) message {
	fields := ""
	if d.Modern {
		fields = "MCP-Protocol-Version: " + modern + "\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n"
	}
	return prepare(d.post(session, fields, body), body)
}

// mark writes the id and the token of the next call into the message.
func (m *message) mark(caller, call uint64) {
	n := caller%100_000*100_000_000 + call%100_000_000
	for i := m.id + idWidth - 1; i > m.id; i-- { // the first digit stays 1
		m.bytes[i] = byte('0' + n%10)
		n /= 10
	}
	if m.token >= 0 {
		var raw [tokenWidth / 2]byte
		for i := range raw {
			raw[i] = byte((caller<<40 | call) >> (8 * (7 - i)))
		}
		hex.Encode(m.bytes[m.token:], raw[:])
	}
}

// markedID is the id as it was marked last, raw.
func (m *message) markedID() []byte { return m.bytes[m.id : m.id+idWidth] }

// markedText is what must come back, with its quotes.
func (m *message) markedText() []byte { return m.bytes[m.text-1 : m.text+m.length+1] }
