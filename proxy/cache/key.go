package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"sidegate/proxy/mcp"
	"sidegate/proxy/wire"
)

// A Key names what was asked: two requests of one key have one answer. Clients
// choose what they ask, so what is long is told by its digest.
type Key struct {
	space  uint64
	method string // one of those that can be cached
	uri    [sha256.Size]byte
	rest   [sha256.Size]byte // of the parameters, and of what the client is
}

// mostParams bounds what is read to make a key, in bytes: a request that says
// more asks for itself.
const mostParams = 16 << 10

// Cacheable is the method, if a result of it can be marked as cacheable
// (2026-07-28, server/utilities/caching, "Cacheable Results"); else "".
func Cacheable(method []byte) string {
	switch string(method) {
	case mcp.MethodDiscover:
		return mcp.MethodDiscover
	case mcp.MethodReadResource:
		return mcp.MethodReadResource
	}
	return List(method)
}

// List is the method, if it asks for one of the lists that a server can say to
// have changed; else "".
func List(method []byte) string {
	switch string(method) {
	case mcp.MethodListTools:
		return mcp.MethodListTools
	case mcp.MethodListPrompts:
		return mcp.MethodListPrompts
	case mcp.MethodListResources:
		return mcp.MethodListResources
	case mcp.MethodListTemplates:
		return mcp.MethodListTemplates
	}
	return ""
}

// NewKey is the key of a request in a space of the store's; method comes from
// Cacheable or List. ok is false where the answer must be the caller's own: it
// wants progress or log messages, it goes on with what was asked before, or an
// extension may have its say.
//
// In the key are the parameters without _meta, the revision, the capabilities
// of the client, and the header lines that may decide who gets what. Of two
// spellings of a value that a server takes for the same, each has its own key:
// what counts is that no two readers can take one key for two things.
func NewKey(space uint64, method string, msg *wire.Buffer, env *wire.Envelope) (k Key, ok bool) {
	if method == "" || env.Params.End-env.Params.Start > mostParams || len(msg.Header) > mostParams ||
		!env.ProgressToken.Empty() || !env.LogLevel.Empty() || !env.InputResponses.Empty() || !env.RequestState.Empty() ||
		!plainMeta(msg.B, env.Meta) || !env.Params.Empty() && msg.B[env.Params.Start] != '{' {
		return k, false
	}
	k.space, k.method = space, method
	if method == mcp.MethodReadResource {
		k.uri = digest(env.URI)
	}
	text := make([]byte, 0, 1<<10)
	text = appendPart(text, env.MetaRevision)
	text = appendCanonical(text, msg.B, env.MetaCapabilities, "")
	text = appendCanonical(text, msg.B, env.Params, "_meta")
	for line := range bytes.Lines(msg.Header) {
		if !harmless(line) {
			text = appendPart(text, line)
		}
	}
	k.rest = digest(text)
	return k, true
}

// plainMeta tells whether nothing stands in _meta that could change a result:
// the protocol's own keys, which are looked at by themselves, and the trace.
func plainMeta(msg []byte, meta wire.Span) bool {
	if !meta.Empty() && msg[meta.Start] != '{' {
		return false
	}
	for m := range wire.Members(msg, meta) {
		switch string(m.Key) {
		case mcp.MetaRevision, mcp.MetaCapabilities, mcp.MetaClientInfo, "traceparent", "tracestate":
		default:
			return false
		}
	}
	return true
}

func digest(text []byte) [sha256.Size]byte { return sha256.Sum256(text) }

// appendPart appends a text so that it cannot run into the next.
func appendPart(dst, text []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// appendCanonical appends a value so that the order of keys and the white space
// between them do not count; without the one member but. Keys that come twice
// keep their order. All else counts as it is written. What it makes is
// unambiguous, and no JSON.
func appendCanonical(dst, msg []byte, at wire.Span, but string) []byte {
	if at.Empty() {
		return append(dst, '{', '}') // absent says the same as empty
	}
	if msg[at.Start] != '{' {
		return appendPart(append(dst, '='), at.Of(msg))
	}
	type member struct {
		key   []byte // raw, with its quotes
		value wire.Span
	}
	var members []member
	for m := range wire.Members(msg, at) {
		if but == "" || string(m.Key) != but {
			members = append(members, member{bytes.TrimRight(msg[m.Whole.Start:m.Value.Start], ": \t\r\n"), m.Value})
		}
	}
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(a.key, b.key) })
	dst = append(dst, '{')
	for _, m := range members {
		dst = append(dst, ':')
		dst = appendPart(dst, m.key)
		dst = appendCanonical(dst, msg, m.value, "")
	}
	return append(dst, '}')
}
