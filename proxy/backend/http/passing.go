package http

import (
	"bytes"
	"strings"
)

// stays are the response headers that are not the client's: those of one
// connection (RFC 9110, 7.6.1), those that the gate gives by itself, and those
// that would lead past it. appendPassing keeps back some more.
var stays = map[string]bool{
	"connection":          true,
	"keep-alive":          true,
	"proxy-connection":    true,
	"proxy-authenticate":  true,
	"proxy-authorization": true,
	"te":                  true,
	"trailer":             true,
	"transfer-encoding":   true,
	"upgrade":             true,

	"content-length":       true,
	"content-type":         true,
	"date":                 true,
	"server":               true,
	"x-accel-buffering":    true,
	"mcp-session-id":       true,
	"mcp-protocol-version": true,

	"alt-svc":  true,
	"location": true,
}

const longestStay = 24 // bytes: longer names stand not in stays

// appendPassing appends the header lines of a message's response that are for
// the client, each ended by CRLF. The gate writes the body anew, says by itself
// what of it may be kept in a cache, and what it depends on.
func (h *head) appendPassing(dst []byte) []byte {
	for _, f := range h.fields {
		name := h.nameOf(f)
		ofMessage := begins(name, "content-") || is(name, "Cache-Control") || is(name, "Vary")
		if !ofMessage && !h.keepsBack(name) {
			dst = appendLine(dst, name, h.valueOf(f))
		}
	}
	return dst
}

// appendPassed is appendPassing for a response that is no message's: its body is
// passed as it is, and so is what is said of it. A redirect within the server's
// origin, base, becomes one within the gate's.
func (h *head) appendPassed(dst []byte, base string) []byte {
	for _, f := range h.fields {
		switch name := h.nameOf(f); {
		case is(name, "Location"):
			dst = appendLine(dst, name, relative(h.valueOf(f), base))
		case !h.keepsBack(name):
			dst = appendLine(dst, name, h.valueOf(f))
		}
	}
	return dst
}

func appendLine(dst, name, value []byte) []byte {
	return append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
}

// keepsBack tells whether a header is not for the client.
func (h *head) keepsBack(name []byte) bool {
	var lower [longestStay]byte
	if len(name) <= len(lower) {
		for i, c := range name {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			lower[i] = c
		}
		if stays[string(lower[:len(name)])] {
			return true
		}
	}
	return begins(name, "access-control-") || h.hopByHop(name)
}

func begins(name []byte, want string) bool {
	return len(name) >= len(want) && is(name[:len(want)], want)
}

// hopByHop tells whether the Connection header names a header.
func (h *head) hopByHop(name []byte) bool {
	for _, f := range h.fields {
		if is(h.nameOf(f), "Connection") && lists(h.valueOf(f), string(name)) {
			return true
		}
	}
	return false
}

// relative makes a Location that leads to the server itself one that leads to
// the gate; others stay as they are.
func relative(location []byte, base string) []byte {
	rest, ok := bytes.CutPrefix(location, []byte(base))
	if ok && strings.HasPrefix(string(rest), "/") {
		return rest
	}
	return location
}
