// Package mcp holds the facts of the Model Context Protocol that the gate
// relies on: revisions, methods, headers, error codes, _meta keys. Constants
// and look-ups only: it imports nothing of ours and does no work.
package mcp

// The legacy revisions open with initialize and keep a session.
// Specification: basic/lifecycle, "Version Negotiation".
const (
	Revision20241105 = "2024-11-05"
	Revision20250326 = "2025-03-26"
	Revision20250618 = "2025-06-18"
	Revision20251125 = "2025-11-25"
)

// LegacyRevisions are served by session, newest first. 2024-11-05 is one of
// them on Streamable HTTP too: an old server negotiates it, and the client
// then names it in its header.
var LegacyRevisions = []string{Revision20251125, Revision20250618, Revision20250326, Revision20241105}

// Revision20260728 is the first modern revision: every request stands alone and
// says in _meta what initialize used to say.
// Specification: 2026-07-28, basic/versioning.
const Revision20260728 = "2026-07-28"

// ModernRevisions are served without a session, newest first.
var ModernRevisions = []string{Revision20260728}

// IsModern tells whether revision is one of ModernRevisions.
func IsModern(revision string) bool { return revision == Revision20260728 }

// Keys of _meta (2026-07-28, basic, "_meta").
const (
	MetaPrefix         = "io.modelcontextprotocol/"
	MetaRevision       = MetaPrefix + "protocolVersion"
	MetaClientInfo     = MetaPrefix + "clientInfo"
	MetaCapabilities   = MetaPrefix + "clientCapabilities"
	MetaLogLevel       = MetaPrefix + "logLevel"
	MetaSubscriptionID = MetaPrefix + "subscriptionId"
	MetaServerInfo     = MetaPrefix + "serverInfo"
)

// IsLegacy tells whether revision is one of LegacyRevisions.
func IsLegacy(revision string) bool {
	switch revision {
	case Revision20251125, Revision20250618, Revision20250326, Revision20241105:
		return true
	}
	return false
}

// Batches tells whether a session of this revision may send JSON-RPC batches:
// 2025-03-26 brought them, 2025-06-18 took them out again.
func Batches(revision string) bool { return revision == Revision20250326 }

// Header names, in the form in which they are compared: HTTP ignores case.
const (
	HeaderSessionID       = "Mcp-Session-Id"
	HeaderProtocolVersion = "Mcp-Protocol-Version"
	HeaderMethod          = "Mcp-Method"
	HeaderName            = "Mcp-Name"
	HeaderLastEventID     = "Last-Event-Id"
	HeaderParam           = "Mcp-Param-" // and the name that a tool's schema gives to an argument
)

// Methods that the gate itself acts on; all others pass by name alone.
const (
	MethodInitialize    = "initialize"
	MethodPing          = "ping"
	MethodCallTool      = "tools/call"
	MethodGetPrompt     = "prompts/get"
	MethodReadResource  = "resources/read"
	MethodSubscribe     = "resources/subscribe"
	MethodUnsubscribe   = "resources/unsubscribe"
	MethodSetLevel      = "logging/setLevel"
	MethodComplete      = "completion/complete"
	MethodListTools     = "tools/list"
	MethodListPrompts   = "prompts/list"
	MethodListResources = "resources/list"
	MethodListTemplates = "resources/templates/list"

	// Of the modern revisions.
	MethodDiscover     = "server/discover"
	MethodListen       = "subscriptions/listen"
	MethodAcknowledged = "notifications/subscriptions/acknowledged"

	MethodInitialized = "notifications/initialized"
	MethodCancelled   = "notifications/cancelled"
	MethodProgress    = "notifications/progress"

	MethodToolsChanged     = "notifications/tools/list_changed"
	MethodPromptsChanged   = "notifications/prompts/list_changed"
	MethodResourcesChanged = "notifications/resources/list_changed"
	MethodResourceUpdated  = "notifications/resources/updated"
	MethodRootsChanged     = "notifications/roots/list_changed"
	MethodMessage          = "notifications/message"
	MethodElicited         = "notifications/elicitation/complete"

	// What a server asks its client.
	MethodSample = "sampling/createMessage"
	MethodElicit = "elicitation/create"
	MethodRoots  = "roots/list"
)

// JSON-RPC error codes. Those of the gate itself are HTTP statuses as positive
// numbers and stand in package refusal: the specification asks implementations
// to keep out of the reserved range.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603

	// Of the modern revisions (2026-07-28, basic, "Error Codes").
	CodeHeaderMismatch     = -32020
	CodeMissingCapability  = -32021
	CodeUnsupportedVersion = -32022

	// Of the legacy revisions alone.
	CodeResourceNotFound = -32002
	CodeURLElicitation   = -32042
)
