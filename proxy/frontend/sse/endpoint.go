package sse

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
)

// headerPrefix is where a proxy in front of the gate says which path it has
// taken away.
const headerPrefix = "X-Forwarded-Prefix"

// longestPrefix bounds it, in bytes.
const longestPrefix = 256

// endpoint is the reference to which the session's messages are POSTed. It
// begins with a path, so it is right whatever name the client has for the gate:
// clients resolve it against the URL of their stream, and the SDKs refuse
// another origin.
func (f *Frontend) endpoint(r *Request, id string) string {
	return f.prefix(&r.HTTP.Request.Header) + r.Below + "/messages?" + sessionID + "=" + id
}

// prefix is the path below which the client sees the gate: what the operator
// said, else what a proxy says. The header is believed whoever sends it: it
// changes the sender's own answer and nothing else, and what could lead to
// another origin is not taken.
func (f *Frontend) prefix(h *fasthttp.RequestHeader) string {
	if u := f.options.PublicURL; u != nil {
		return strings.TrimRight(u.EscapedPath(), "/")
	}
	if said := h.PeekAll(headerPrefix); len(said) == 1 && isPlainPath(said[0]) {
		return string(bytes.TrimSuffix(said[0], []byte("/")))
	}
	return ""
}

// isPlainPath tells whether p is an absolute path that every reader of URLs
// takes in the same way: no empty segment, none of dots alone, nothing but
// unreserved characters and escapes, and no escape for what means something in
// a path (RFC 3986, sections 2.3 and 3.3).
func isPlainPath(p []byte) bool {
	if len(p) == 0 || len(p) > longestPrefix || p[0] != '/' {
		return false
	}
	segments := strings.Split(string(p[1:]), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		if s == "" && !last || s == "." || s == ".." || !isPlainSegment(s) {
			return false
		}
	}
	return true
}

func isPlainSegment(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0:
		case c == '%' && i+2 < len(s) && isPlainEscape(s[i+1], s[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

// isPlainEscape tells whether %XY stands for a character that is only itself:
// no control character, and none of the dot, slash and backslash, which some
// readers decode first and ask about afterwards.
func isPlainEscape(x, y byte) bool {
	high, low := hex(x), hex(y)
	if high < 0 || low < 0 {
		return false
	}
	c := byte(high<<4 | low)
	return c >= ' ' && c != 0x7f && strings.IndexByte("./\\", c) < 0
}

// hex is the value of a hexadecimal digit, -1 for what is none.
func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
