package guard

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// What the gate allows the pages of an allowed origin (Fetch Standard, "CORS
// protocol"). There is never a "*", and never Access-Control-Allow-Credentials:
// a token is sent in a header, and cookies mean nothing here.
const (
	// exposed are the headers of an answer that a page may read.
	exposed = "Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, WWW-Authenticate, Retry-After"
	// allowed are the headers of a request that a page may set; every other
	// Mcp-* header is added when a page asks for it.
	allowed = "Content-Type, Accept, Authorization, Last-Event-ID, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name"
	// maxAge is how many seconds a browser may remember a preflight's answer.
	// No browser keeps one for longer than two hours.
	maxAge = "7200"

	preflightVary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network"
)

const (
	headerRequestPrivateNetwork = "Access-Control-Request-Private-Network"
	headerAllowPrivateNetwork   = "Access-Control-Allow-Private-Network"
)

// SetCORS sets what every answer to an allowed origin carries. Door has done
// it on its ctx's response; who resets that response does it again.
func (v *Visitor) SetCORS(h *fasthttp.ResponseHeader) {
	if v.Origin == "" {
		return
	}
	h.Set(fasthttp.HeaderAccessControlAllowOrigin, v.Origin)
	h.Set(fasthttp.HeaderAccessControlExposeHeaders, exposed)
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
}

// AppendCORS appends the same as whole lines, for a head that is written past
// fasthttp.
func (v *Visitor) AppendCORS(dst []byte) []byte {
	if v.Origin == "" {
		return dst
	}
	dst = append(dst, "Access-Control-Allow-Origin: "...)
	dst = append(dst, v.Origin...) // holds no line break: it was parsed
	return append(dst, "\r\nAccess-Control-Expose-Headers: "+exposed+"\r\nVary: Origin\r\n"...)
}

// isPreflight tells whether a browser asks, for a page of an allowed origin,
// what that page may send.
func isPreflight(ctx *fasthttp.RequestCtx, v *Visitor) bool {
	return v.Origin != "" && ctx.IsOptions() &&
		len(ctx.Request.Header.Peek(fasthttp.HeaderAccessControlRequestMethod)) > 0
}

// AnswerPreflight answers the request of a visitor whose Preflight is set, with
// 204. Whether the asked-for method and headers are among the allowed ones is
// for the browser to see.
func (v *Visitor) AnswerPreflight(ctx *fasthttp.RequestCtx, room *Room) {
	request, response := &ctx.Request.Header, &ctx.Response.Header
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	v.SetCORS(response)
	response.Set(fasthttp.HeaderVary, preflightVary)
	response.Set(fasthttp.HeaderAccessControlAllowMethods, room.Allow)
	response.SetBytesV(fasthttp.HeaderAccessControlAllowHeaders,
		appendAllowed(nil, request.PeekAll(fasthttp.HeaderAccessControlRequestHeaders)))
	response.Set(fasthttp.HeaderAccessControlMaxAge, maxAge)
	if equalFold(request.Peek(headerRequestPrivateNetwork), "true") {
		response.Set(headerAllowPrivateNetwork, "true")
	}
}

// appendAllowed appends allowed, and each Mcp-* header of asked that is not
// among them, such as Mcp-Param-*.
func appendAllowed(dst []byte, asked [][]byte) []byte {
	dst = append(dst, allowed...)
	for _, list := range asked {
		for name := range bytes.SplitSeq(list, []byte(",")) {
			name = bytes.Trim(name, " \t")
			if len(name) > len("mcp-") && equalFold(name[:len("mcp-")], "mcp-") && isToken(name) && !listed(name) {
				dst = append(dst, ", "...)
				dst = append(dst, name...)
			}
		}
	}
	return dst
}

// listed tells whether name stands in allowed.
func listed(name []byte) bool {
	for known := range bytes.SplitSeq([]byte(allowed), []byte(", ")) {
		if bytes.EqualFold(known, name) { // both are ASCII
			return true
		}
	}
	return false
}
