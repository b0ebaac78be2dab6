// Package headers knows the headers of modern Streamable HTTP that say what the
// body says: the standard ones, how their values are encoded, and those that a
// tool's schema asks for by x-mcp-header. It is a leaf: bytes in, bytes out, no
// HTTP and no session.
// (2026-07-28, basic/transports/streamable-http, "Request Metadata")
package headers

import (
	"bytes"
	"encoding/base64"
	"errors"
	"unicode/utf8"

	"sidegate/proxy/mcp"
	"sidegate/proxy/wire"
)

// What stands round a value that is no plain ASCII. Case matters.
const (
	prefix = "=?base64?"
	suffix = "?="
)

var (
	errCharacters = errors.New("it holds characters that no header value may hold")
	errBase64     = errors.New("what stands in =?base64?...?= is no Base64 of UTF-8 text")
)

// Name is what Mcp-Name has to say of a request with this method: params.name
// or params.uri, nil where the member is missing. ok is false where the method
// has no such header.
func Name(method, name, uri []byte) (value []byte, ok bool) {
	switch string(method) {
	case mcp.MethodCallTool, mcp.MethodGetPrompt:
		return name, true
	case mcp.MethodReadResource:
		return uri, true
	}
	return nil, false
}

// Task is what Mcp-Name has to say of a request about a task, with which the
// server that has the task is found: params.taskId, nil for any other request
// (SEP-2663, "Streamable HTTP: Routing Headers"). msg has passed the scan.
func Task(method, msg []byte, params wire.Span) []byte {
	switch string(method) {
	case "tasks/get", "tasks/update", "tasks/cancel":
	default:
		return nil
	}
	id := text(wire.Find(msg, params, "taskId").Of(msg))
	if id == "" {
		return nil
	}
	return []byte(id)
}

// AppendStandard appends the header lines that every request of a modern
// revision has, each ended by CRLF, Mcp-Protocol-Version first. A method that is
// no header value is left out: no server knows it.
func AppendStandard(dst, method, name []byte, hasName bool) []byte {
	dst = append(dst, mcp.HeaderProtocolVersion+": "+mcp.Revision20260728+"\r\n"...)
	if isPlain(method) { // Mcp-Method has no encoding
		dst = append(append(append(dst, mcp.HeaderMethod+": "...), method...), "\r\n"...)
	}
	if hasName {
		dst = append(AppendValue(append(dst, mcp.HeaderName+": "...), name), "\r\n"...)
	}
	return dst
}

// AppendValue appends a text as a header value: as it is where nobody can
// misread it, else encoded ("Value Encoding").
func AppendValue(dst, value []byte) []byte {
	if isPlain(value) && !(bytes.HasPrefix(value, []byte(prefix)) && bytes.HasSuffix(value, []byte(suffix))) {
		return append(dst, value...)
	}
	dst = append(dst, prefix...)
	dst = base64.StdEncoding.AppendEncode(dst, value)
	return append(dst, suffix...)
}

// isPlain tells whether a text may stand in a header as it is. A tab may, and
// is not risked.
func isPlain(value []byte) bool {
	for _, c := range value {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(value) == 0 || value[0] != ' ' && value[len(value)-1] != ' '
}

// Decode is the text that a header value stands for: value itself without the
// white space round it, or a new slice where it was encoded. It is strict: what
// two readers could decode in two ways is an error.
func Decode(value []byte) ([]byte, error) {
	value = bytes.Trim(value, " \t")
	for _, c := range value {
		if (c < ' ' || c > '~') && c != '\t' {
			return nil, errCharacters
		}
	}
	if !bytes.HasPrefix(value, []byte(prefix)) || !bytes.HasSuffix(value, []byte(suffix)) {
		return value, nil
	}
	if len(value) < len(prefix)+len(suffix) { // both share a question mark
		return nil, errBase64
	}
	code := value[len(prefix) : len(value)-len(suffix)]
	text, err := base64.StdEncoding.Strict().AppendDecode(nil, code)
	if err != nil || !utf8.Valid(text) {
		return nil, errBase64
	}
	return text, nil
}

// isToken tells whether s is a token as header names are (RFC 9110, section
// 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
