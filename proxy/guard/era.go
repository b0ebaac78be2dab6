package guard

import (
	"slices"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// An Era is the specification's word for the revisions with a handshake, and for
// those without.
type Era uint8

// The eras.
const (
	Legacy Era = iota
	Modern
)

// served are all revisions that the gate serves, newest first.
var served = slices.Concat(mcp.ModernRevisions, mcp.LegacyRevisions)

// EraOf tells which era a message that came by POST is of. A header that names a
// legacy revision outranks _meta: some clients send both. A modern one makes
// even an initialize modern. Where the header names neither, _meta decides; and
// where that names nothing, an unknown revision is refused as ever. msg has
// passed Message, which filled env.
func EraOf(h *fasthttp.RequestHeader, msg []byte, env *wire.Envelope) (Era, *refusal.Refusal) {
	revision := string(trimmed(h.Peek(mcp.HeaderProtocolVersion)))
	switch {
	case revision == "":
		return EraOfMessage(msg, env), nil
	case mcp.IsLegacy(revision):
		return Legacy, nil
	case mcp.IsModern(revision) || namesRevision(msg, env):
		return Modern, nil
	}
	return Legacy, unserved()
}

// EraOfMessage tells which era a message without headers is of: modern, where
// its _meta names a revision, unless it is an initialize that names one as
// legacy clients do. A batch, an answer, and a notification of a modern client
// that says nothing of itself pass for legacy.
func EraOfMessage(msg []byte, env *wire.Envelope) Era {
	if !namesRevision(msg, env) {
		return Legacy
	}
	if string(env.Method) == mcp.MethodInitialize && !wire.Find(msg, env.Params, "protocolVersion").Empty() {
		return Legacy
	}
	return Modern
}

// namesRevision tells whether _meta has a revision, be it a malformed one.
func namesRevision(msg []byte, env *wire.Envelope) bool {
	return env.MetaRevision != nil || !wire.Find(msg, env.Meta, mcp.MetaRevision).Empty()
}
