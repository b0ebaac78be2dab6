package guard

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/headers"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// longestRevision is how many bytes of a revision that is not served are said
// back to the client.
const longestRevision = 64

// CheckModern checks a modern message that came by POST, but for the headers
// that a tool's schema asks for: its kind, its _meta, its headers, its revision,
// its method, in this order. Of a notification nothing is asked (2026-07-28,
// basic/transports/streamable-http, "Sending Messages" and "Server
// Validation"). msg has passed Message, which filled env.
func CheckModern(h *fasthttp.RequestHeader, msg []byte, env *wire.Envelope) *refusal.Refusal {
	if r := checkKind(env); r != nil || env.Kind != wire.Request {
		return r
	}
	if r := checkMeta(msg, env); r != nil {
		return r
	}
	if r := checkStandard(h, env); r != nil {
		return r
	}
	return checkCall(env)
}

// CheckModernMessage is CheckModern for a message without headers.
func CheckModernMessage(msg []byte, env *wire.Envelope) *refusal.Refusal {
	if r := checkKind(env); r != nil || env.Kind != wire.Request {
		return r
	}
	if r := checkMeta(msg, env); r != nil {
		return r
	}
	return checkCall(env)
}

// checkKind refuses what a modern client never sends.
func checkKind(env *wire.Envelope) *refusal.Refusal {
	if env.Kind == wire.Request || env.Kind == wire.Notification {
		return nil
	}
	return refusal.NotRequest
}

// checkMeta checks what every request says of its client (2026-07-28, basic,
// "_meta").
func checkMeta(msg []byte, env *wire.Envelope) *refusal.Refusal {
	switch {
	case env.Meta.Empty() || msg[env.Meta.Start] != '{':
		return refusal.Meta
	case env.MetaRevision == nil:
		return refusal.Meta.With("params._meta must hold %s, a string", mcp.MetaRevision)
	case env.MetaCapabilities.Empty() || msg[env.MetaCapabilities.Start] != '{':
		return refusal.Meta.With("params._meta must hold %s, an object, if an empty one", mcp.MetaCapabilities)
	case !env.LogLevel.Empty() && !isLevel(env.LogLevel.Of(msg)):
		return refusal.Level.With("%s in params._meta is no log level; the levels are debug, info, notice, warning, error, critical, alert, emergency", mcp.MetaLogLevel)
	}
	return nil
}

// isLevel tells whether raw JSON is a log level (RFC 5424, section 6.2.1).
func isLevel(raw []byte) bool {
	switch string(raw) {
	case `"debug"`, `"info"`, `"notice"`, `"warning"`, `"error"`, `"critical"`, `"alert"`, `"emergency"`:
		return true
	}
	return false
}

// checkStandard checks the headers that every request has against its body.
func checkStandard(h *fasthttp.RequestHeader, env *wire.Envelope) *refusal.Refusal {
	if r := checkHeader(h, mcp.HeaderProtocolVersion, env.MetaRevision); r != nil {
		return r
	}
	if r := checkHeader(h, mcp.HeaderMethod, env.Method); r != nil {
		return r
	}
	name, ok := headers.Name(env.Method, env.Name, env.URI)
	if !ok {
		return nil
	}
	value, r := single(h, mcp.HeaderName)
	if r != nil {
		return r
	}
	text, err := headers.Decode(value)
	if err != nil {
		return refusal.HeaderMismatch.With("the header %s is malformed: %v", mcp.HeaderName, err)
	}
	if name == nil || !bytes.Equal(text, name) {
		return unlike(mcp.HeaderName)
	}
	return nil
}

// checkHeader checks a header that has no encoding against what the body says.
func checkHeader(h *fasthttp.RequestHeader, name string, body []byte) *refusal.Refusal {
	value, r := single(h, name)
	if r == nil && !bytes.Equal(value, body) {
		return unlike(name)
	}
	return r
}

// single is the value of a header that must stand once.
func single(h *fasthttp.RequestHeader, name string) ([]byte, *refusal.Refusal) {
	values := h.PeekAll(name)
	switch len(values) {
	case 0:
		return nil, refusal.HeaderMismatch.With("the header %s is missing; a modern request must have it", name)
	case 1:
		return trimmed(values[0]), nil
	}
	return nil, refusal.HeaderMismatch.With("the header %s stands more than once", name)
}

func unlike(name string) *refusal.Refusal {
	return refusal.HeaderMismatch.With("the header %s does not say what the body says; send the value that stands there", name)
}

// trimmed is a header's value without the white space round it.
func trimmed(value []byte) []byte { return bytes.Trim(value, " \t") }

// checkCall refuses revisions that are not served, and methods that the modern
// revisions have taken out. What nobody has heard of goes to the server, which
// may have.
func checkCall(env *wire.Envelope) *refusal.Refusal {
	if revision := string(env.MetaRevision); !mcp.IsModern(revision) {
		return refusal.Version(revision[:min(len(revision), longestRevision)], mcp.ModernRevisions)
	}
	switch string(env.Method) {
	case mcp.MethodInitialize, mcp.MethodPing, mcp.MethodSetLevel, mcp.MethodSubscribe, mcp.MethodUnsubscribe:
		return refusal.NoMethod.With("%s is no method of revision %s; server/discover says what is served, and subscriptions/listen brings changes", env.Method, mcp.Revision20260728)
	}
	return nil
}
