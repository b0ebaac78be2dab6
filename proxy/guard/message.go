package guard

import (
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
		return nil
	}
	var wrong *wire.SyntaxError
	if errors.As(err, &wrong) && wrong.Class == wire.NotJSON {
		return refusal.NotJSON.With("the body is not one JSON value: %v", err)
	}
	return refusal.Envelope.With("the body is not an acceptable JSON-RPC 2.0 message: %v", err)
}

// TooLarge refuses a message of size bytes, or of more where size is as far as
// was counted.
func TooLarge(size int64, limit int) *refusal.Refusal {
	return refusal.Size.With("the message has %d bytes or more, and the limit is %d (--max-message)", size, limit)
}

// Headers checks the headers that belong to the protocol. MCP-Protocol-Version
// may be absent (2025-11-25, basic/transports, "Protocol Version Header"). None
// may stand twice: two readers could take the one or the other.
func Headers(h *fasthttp.RequestHeader) *refusal.Refusal {
	for _, name := range []string{mcp.HeaderSessionID, mcp.HeaderProtocolVersion, mcp.HeaderLastEventID} {
		if len(h.PeekAll(name)) > 1 {
			return refusal.BadHTTP.With("the header %s stands more than once", name)
		}
	}
	revision := h.Peek(mcp.HeaderProtocolVersion)
	if len(revision) == 0 || mcp.IsLegacy(string(revision)) {
		return nil
	}
	return refusal.Revision.With("this MCP-Protocol-Version is not served; %s are", strings.Join(mcp.LegacyRevisions, ", "))
}
