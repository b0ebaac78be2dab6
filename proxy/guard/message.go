package guard

import (
	"errors"
	"strings"

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
		return refusal.NotJSON.With("the body is not one JSON value in UTF-8: %v", err)
	}
	return refusal.Envelope.With("the body is not an acceptable JSON-RPC 2.0 message: %v", err)
}

// TooLarge refuses a message of size bytes, or of more where size is as far as
// was counted.
func TooLarge(size int64, limit int) *refusal.Refusal {
	return refusal.Size.With("the message has %d bytes or more, and the limit is %d (--max-message)", size, limit)
}

// Revision checks the MCP-Protocol-Version header; none is fine (2025-11-25,
// basic/transports, "Protocol Version Header").
func Revision(header []byte) *refusal.Refusal {
	if len(header) == 0 || mcp.IsLegacy(string(header)) {
		return nil
	}
	return refusal.Revision.With("this MCP-Protocol-Version is not served; %s are", strings.Join(mcp.LegacyRevisions, ", "))
}
