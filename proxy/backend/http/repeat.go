package http

import (
	"errors"
	"io"
	"syscall"

	"sidegate/proxy/mcp"
)

// repeatable tells whether a request of method may be sent a second time where
// it is not known whether the server got the first: it changes nothing there,
// or nothing that anybody has seen. What is not known is never repeated, nor is
// a call of a tool.
func repeatable(method []byte) bool {
	switch string(method) {
	case mcp.MethodInitialize, mcp.MethodPing, mcp.MethodReadResource, mcp.MethodComplete,
		mcp.MethodListTools, mcp.MethodListPrompts, mcp.MethodListResources, mcp.MethodListTemplates, "tasks/list",
		mcp.MethodDiscover, mcp.MethodGetPrompt, mcp.MethodListen:
		return true
	}
	return false
}

// safe tells whether an HTTP method changes nothing. (RFC 9110, 9.2.1)
func safe(method string) bool { return method == "GET" || method == "HEAD" || method == "OPTIONS" }

// again prepares to send a request once more whose response could not be read
// because of err, and tells whether that is of use: the server has closed a
// connection of the pool, most likely while the request was on its way.
// (RFC 9112, 9.3.1)
func (x *exchange) again(err error) bool {
	if err == nil || !x.head.lost(x.up, err) || x.isAborted() {
		return false
	}
	x.leave(false)
	x.fresh, x.cut = true, false
	return true
}

// lost tells whether err is the end of a connection of the pool before the first
// byte of a response.
func (h *head) lost(u *upstream, err error) bool {
	return u.reused && len(h.buf) == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET))
}
