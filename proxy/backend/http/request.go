package http

import (
	"bytes"
	"strconv"

	"sidegate/proxy/mcp"
)

// identity is in every request of the gate's own: nothing is unpacked here.
const identity = "Accept-Encoding: identity\r\n"

// appendRequest appends the beginning of a request's head, up to and with the
// headers that every request of the gate's own has.
func appendRequest(dst []byte, method, target, host string) []byte {
	return append(appendTarget(dst, method, target, host), identity...)
}

// appendTarget appends the request line and the Host header.
func appendTarget(dst []byte, method, target, host string) []byte {
	dst = append(append(append(append(dst, method...), ' '), target...), " HTTP/1.1\r\nHost: "...)
	return append(append(dst, host...), "\r\n"...)
}

// appendPost appends the beginning of the request that carries a message.
func appendPost(dst []byte, target, host string) []byte {
	dst = appendRequest(dst, "POST", target, host)
	return append(dst, "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"...)
}

// appendSession appends the headers that name the session and its revision.
// Servers of before 2025-06-18 know no header for that. (2025-06-18,
// basic/transports, "Protocol Version Header")
func appendSession(dst []byte, session, revision string) []byte {
	if session != "" {
		dst = append(append(append(dst, "Mcp-Session-Id: "...), session...), "\r\n"...)
	}
	if revision >= mcp.Revision20250618 {
		dst = append(append(append(dst, "MCP-Protocol-Version: "...), revision...), "\r\n"...)
	}
	return dst
}

// authorization is the Authorization line among header lines, nil without one.
func authorization(header []byte) []byte { return lineOf(header, "Authorization:") }

// lineOf is the line that begins so, nil without one.
func lineOf(header []byte, beginning string) []byte {
	for line := range bytes.Lines(header) {
		if begins(line, beginning) {
			return line
		}
	}
	return nil
}

// appendLength appends the end of a head whose body has so many bytes.
func appendLength(dst []byte, length int) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(length), 10)
	return append(dst, "\r\n\r\n"...)
}

const (
	maxSession  = 1 << 10 // bytes of a session's id
	maxRevision = 32      // bytes of a revision
)

// revisionOf is the revision that an answer names, if it may stand in a header.
func revisionOf(text []byte) string {
	if len(text) > maxRevision || !sendable(string(text)) {
		return ""
	}
	return string(text)
}

// eventIDOf is an event's id, if it may stand in a header.
func eventIDOf(id []byte) string {
	for _, c := range id {
		if c < ' ' || c == 0x7f {
			return ""
		}
	}
	return string(id)
}
