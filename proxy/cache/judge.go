package cache

import (
	"bytes"
	"strconv"
	"time"

	"sidegate/proxy/mcp"
	"sidegate/proxy/wire"
)

// A Judge says for how long an answer may be given to many; 0 is not at all. at
// is where the answer itself says so, in milliseconds; empty where it does not.
// env is what the scan found in the answer, which is a result.
type Judge func(answer []byte, env *wire.Envelope) (ttl time.Duration, at wire.Span)

// UntilChanged is the judge of the lists of a legacy server that says when they
// change: they are good until then, and for an hour at most.
func UntilChanged([]byte, *wire.Envelope) (time.Duration, wire.Span) { return mostAge, wire.Span{} }

// Public is the judge of a modern server's answers: what is complete, public,
// and fresh for some time (2026-07-28, server/utilities/caching, "Cacheable
// Model"). What is absent or is not spelled as the page has it counts as no.
func Public(answer []byte, env *wire.Envelope) (ttl time.Duration, at wire.Span) {
	complete, public := false, false
	for m := range wire.Members(answer, env.Result) {
		value := m.Value.Of(answer)
		switch string(m.Key) {
		case "resultType":
			complete = string(value) == `"complete"`
		case "cacheScope":
			public = string(value) == `"public"`
		case "ttlMs":
			at = m.Value
		}
	}
	if !complete || !public {
		return 0, wire.Span{}
	}
	return milliseconds(at.Of(answer)), at
}

// absurd is a time to live that no server means.
const absurd = 100 * 365 * 24 * time.Hour

// milliseconds reads a time to live: 0 where it is no integer, negative or
// absurd.
func milliseconds(raw []byte) time.Duration {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 || n > absurd.Milliseconds() {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// Heard tells the store of a notification: what it says has changed is
// forgotten. It must be called before the notification is passed on. Other
// notifications change nothing.
func (s *Store) Heard(env *wire.Envelope) {
	switch string(env.Method) {
	case mcp.MethodToolsChanged:
		s.forget(func(k Key) bool { return k.method == mcp.MethodListTools })
	case mcp.MethodPromptsChanged:
		s.forget(func(k Key) bool { return k.method == mcp.MethodListPrompts })
	case mcp.MethodResourcesChanged:
		s.forget(func(k Key) bool {
			return k.method == mcp.MethodListResources || k.method == mcp.MethodListTemplates || k.method == mcp.MethodReadResource
		})
	case mcp.MethodResourceUpdated:
		uri := digest(env.URI)
		s.forget(func(k Key) bool { return k.method == mcp.MethodReadResource && (len(env.URI) == 0 || k.uri == uri) })
	}
}

// harmless are the headers of a request that a result does not depend on. All
// others make another key: who sends another token or cookie is let in, or
// refused, by the server itself.
func harmless(line []byte) bool {
	name, _, _ := bytes.Cut(line, []byte(":"))
	switch string(name) {
	case "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", // said in the body, too
		"X-Forwarded-For", "User-Agent", "Accept", "Accept-Encoding", "Cache-Control", "Pragma", "Priority", "Referer",
		"Traceparent", "Tracestate", "X-Request-Id", "X-Correlation-Id",
		"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User":
		return true
	}
	return false
}
