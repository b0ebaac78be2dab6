package legacy

import (
	"bytes"
	"strings"

	"sidegate/proxy/mcp"
	"sidegate/proxy/wire"
)

// A request is a client's request as it came, from which the modern ones are
// written.
type request struct {
	msg    *wire.Buffer
	params wire.Span
	meta   wire.Span
}

// write writes the modern request: the client's own bytes, but for the members
// of _meta that say who it is, and what answers the questions of the round
// before. extra is members for params, "" for none. meta likewise. nil: the
// budget has no room.
func (r *request) write(budget wire.Budget, meta, extra string) *wire.Buffer {
	old := r.msg.B
	size := len(old) + len(meta) + len(extra) + 32
	msg := wire.Acquire(size)
	if !msg.Charge(budget, int64(size)) {
		msg.Release()
		return nil
	}
	inner := wire.Acquire(r.meta.End - r.meta.Start + len(meta) + 8)
	defer inner.Release()
	inner.B = wire.AppendObject(inner.B, old, r.meta, withoutEra(old), meta)
	if r.meta.Empty() {
		more := extra
		extra = `"_meta":` + string(inner.B)
		if more != "" {
			extra += "," + more
		}
	}
	head, tail := r.params.Start, r.params.End
	if r.params.Empty() {
		head = bytes.LastIndexByte(old, '}')
		tail = head
	}
	msg.B = append(msg.B, old[:head]...)
	if r.params.Empty() {
		msg.B = append(msg.B, `,"params":`...)
	}
	msg.B = wire.AppendObject(msg.B, old, r.params, func(m wire.Member) []byte {
		switch string(m.Key) {
		case "_meta":
			return inner.B
		case "inputResponses", "requestState":
			return nil // a legacy client has not been asked for these
		}
		return m.Value.Of(old)
	}, extra)
	msg.B = append(msg.B, old[tail:]...)
	msg.Header = ownLines(r.msg.Header)
	return msg
}

// withoutEra leaves out the members of a client's _meta that are the gate's to
// say.
func withoutEra(msg []byte) func(wire.Member) []byte {
	return func(m wire.Member) []byte {
		switch string(m.Key) {
		case mcp.MetaRevision, mcp.MetaClientInfo, mcp.MetaCapabilities, mcp.MetaLogLevel:
			return nil
		}
		return m.Value.Of(msg)
	}
}

// ownLines is a request's header lines without those that the gate makes for a
// modern server itself. Others may be reading the old ones.
func ownLines(header []byte) []byte {
	clean := true
	for line := range bytes.Lines(header) {
		clean = clean && !isOfMCP(line)
	}
	if clean {
		return header
	}
	kept := make([]byte, 0, len(header))
	for line := range bytes.Lines(header) {
		if !isOfMCP(line) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// isOfMCP tells whether a header line is one of those that the protocol names.
func isOfMCP(line []byte) bool {
	return len(line) >= 4 && bytes.EqualFold(line[:4], []byte("Mcp-"))
}

// inputs is what goes with a retry: the client's answers, under the server's
// own keys, and the server's state as it came (2026-07-28,
// basic/patterns/mrtr, "Client Requirements").
func (a *asking) inputs() string {
	var b strings.Builder
	for i, e := range a.entries {
		if i == 0 {
			b.WriteString(`"inputResponses":{`)
		} else {
			b.WriteByte(',')
		}
		b.WriteString(e.key)
		b.WriteByte(':')
		b.Write(e.text())
	}
	if len(a.entries) > 0 {
		b.WriteByte('}')
	}
	if a.state.Empty() {
		return b.String()
	}
	if b.Len() > 0 {
		b.WriteByte(',')
	}
	b.WriteString(`"requestState":`)
	b.Write(a.state.Of(a.result.B))
	return b.String()
}
