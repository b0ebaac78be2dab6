package guard

import (
	"bytes"
	"errors"
	"strings"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// Message checks one message after it was read: its size, then its envelope.
// Bodies, the elements of a batch, and later WebSocket frames all pass it; the
// session is looked up by whoever keeps the sessions. What the scan found is
// in env, also where it is refused: then only env.ID may be set, for the
// answer.
func Message(msg []byte, limit int, env *wire.Envelope) *refusal.Refusal {
	if len(msg) > limit {
		return TooLarge(int64(len(msg)), limit)
	}
	err := env.Scan(msg)
	if err == nil {
		return checkNotification(env)
	}
	var wrong *wire.SyntaxError
	if errors.As(err, &wrong) && wrong.Class == wire.NotJSON {
		return refusal.NotJSON.With("the body is not one JSON value: %v", err)
	}
	return refusal.Envelope.With("the body is not an acceptable JSON-RPC 2.0 message: %v", err)
}

// checkNotification refuses a notification with an id, which is a request to one
// reader and the notification to another: there are servers that cancel the call
// that it names, by a name that only the gate may give where clients share a link.
func checkNotification(env *wire.Envelope) *refusal.Refusal {
	if env.Kind == wire.Request && bytes.HasPrefix(env.Method, []byte("notifications/")) {
		return refusal.Envelope.With("a notification has no id")
	}
	return nil
}

// TooLarge refuses a message of size bytes, or of more where size is as far as
// was counted.
func TooLarge(size int64, limit int) *refusal.Refusal {
	return refusal.Size.With("the message has %d bytes or more, and the limit is %d (--max-message)", size, limit)
}

// Headers checks the headers that belong to the protocol, as far as they can be
// judged before the body was read. None may stand twice: two readers could take
// the one or the other. What MCP-Protocol-Version says of a POST depends on the
// body, and is judged by EraOf. A modern revision has nothing but POST
// (2026-07-28, basic/transports/streamable-http, "Earlier Streamable HTTP
// Revisions"); the request that opens a WebSocket is none of its messages, and
// may name any revision that is served.
func Headers(h *fasthttp.RequestHeader) *refusal.Refusal {
	for _, name := range []string{mcp.HeaderSessionID, mcp.HeaderProtocolVersion, mcp.HeaderLastEventID} {
		if len(h.PeekAll(name)) > 1 {
			return refusal.BadHTTP.With("the header %s stands more than once", name)
		}
	}
	revision := string(h.Peek(mcp.HeaderProtocolVersion))
	switch {
	case h.IsPost() || revision == "" || mcp.IsLegacy(revision):
		return nil
	case !mcp.IsModern(revision):
		return unserved()
	case isModernMethod(h):
		return refusal.ModernMethod
	}
	return nil
}

// isModernMethod tells whether a request names a modern revision with a method
// that it does not have.
func isModernMethod(h *fasthttp.RequestHeader) bool {
	return !h.IsPost() && mcp.IsModern(string(h.Peek(mcp.HeaderProtocolVersion))) &&
		!(h.IsGet() && equalFold(h.Peek(fasthttp.HeaderUpgrade), "websocket"))
}

// unserved refuses a legacy message whose header names a revision that nobody
// knows.
func unserved() *refusal.Refusal {
	return refusal.Revision.With("this MCP-Protocol-Version is not served; %s are", strings.Join(served, ", "))
}
