package refusal

import (
	"time"

	"sidegate/proxy/mcp"
)

// WebSocket close codes (RFC 6455, section 7.4.1).
const (
	closeGoingAway   = 1001
	closeProtocol    = 1002
	closeUnsupported = 1003
	closePolicy      = 1008
	closeTooBig      = 1009
	closeInternal    = 1011
	closeTryLater    = 1013
)

// The table. The order is that in which a request can meet the rows: the door,
// the message, the session, the link.
var (
	AddressRate = row("address_rate", 429, 429, closeTryLater, time.Second, "too many requests from this address; slow down (--address-rate)")
	Connections = row("connections", 503, 503, closeTryLater, time.Second, "too many open connections (--max-connections); try again shortly")
	Host        = row("host", 403, mcp.CodeInvalidRequest, closePolicy, 0, "this Host is not served here; use a loopback name, or start the gate with --allow-host")
	Origin      = row("origin", 403, mcp.CodeInvalidRequest, closePolicy, 0, "this Origin may not use the gate; allow it with --allow-origin")
	Path        = row("path", 404, mcp.CodeInvalidRequest, closePolicy, 0, "nothing is served at this path; the MCP endpoint is /mcp, and with several tool servers /servers/NAME/mcp")
	Loop        = row("loop", 508, 508, closePolicy, 0, "this request has been here before: the gate's tool server is the gate itself, or leads back to it; check --backend, and --gate-uid of sidegate fence")
	Token       = row("token", 401, mcp.CodeInvalidRequest, closePolicy, 0, "a valid bearer token is required in the Authorization header")
	Rate        = row("rate", 429, 429, closeTryLater, time.Second, "this caller sends too many requests; slow down (--rate)")
	Method      = row("method", 405, mcp.CodeInvalidRequest, closePolicy, 0, "this HTTP method is not served here; see Allow")
	ContentType = row("content_type", 415, mcp.CodeInvalidRequest, closeUnsupported, 0, "the body must be sent as Content-Type: application/json")
	Accept      = row("accept", 406, mcp.CodeInvalidRequest, closePolicy, 0, "Accept must list application/json and text/event-stream (GET: text/event-stream)")
	Upgrade     = row("upgrade", 426, mcp.CodeInvalidRequest, closePolicy, 0, "only WebSocket is spoken here; ask for it with Connection: Upgrade and Upgrade: websocket")
	Subprotocol = row("subprotocol", 400, mcp.CodeInvalidRequest, closePolicy, 0, "none of these WebSocket subprotocols is spoken here; offer mcp, or none")
	Operator    = row("operator", 403, mcp.CodeInvalidRequest, closePolicy, 0, "only a program on the gate's own host, or in its pod, may do this, and no browser: sidegate drain there")
	HeaderSize  = row("header_size", 431, mcp.CodeInvalidRequest, closePolicy, 0, "the request's header is past the limit (--max-header)")
	BadHTTP     = row("http", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this is not a well-formed HTTP request")
	SlowHeader  = row("header_timeout", 408, 408, closePolicy, 0, "the request's header, or the first byte of its body, did not arrive in time (--header-timeout)")

	Size      = row("size", 413, 413, closeTooBig, 0, "the message is larger than the limit (--max-message)")
	SlowBody  = row("body_timeout", 408, 408, closePolicy, 0, "the request's body did not arrive in time (--body-timeout)")
	CutBody   = row("body_cut", 400, mcp.CodeInvalidRequest, closePolicy, 0, "the request's body ended before its announced length, or its framing is broken")
	Budget    = row("bytes_in_flight", 503, 503, closeTryLater, time.Second, "the gate holds as many bytes in flight as it may (--max-bytes-in-flight); try again shortly")
	NotJSON   = row("not_json", 400, mcp.CodeParse, closePolicy, 0, "the body is not one JSON value")
	Envelope  = row("envelope", 400, mcp.CodeInvalidRequest, closePolicy, 0, "the body is not a JSON-RPC 2.0 message")
	Revision  = row("revision", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this MCP-Protocol-Version is not served")
	NoSession = row("no_session", 400, mcp.CodeInvalidRequest, closePolicy, 0, "an Mcp-Session-Id header is required; send initialize first")
	Frames    = row("frames", 400, mcp.CodeInvalidRequest, closeProtocol, 0, "what came on the connection is not WebSocket, or no text")

	// Session answers alike whether the id was guessed, ended, expired, or is
	// another caller's: the answer must not tell which ids are alive.
	Session       = row("session", 404, 404, closePolicy, 0, "there is no such session; send initialize to open a new one")
	Uninitialized = row("uninitialized", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this session is not initialized: send initialize, and wait for its answer")
	Initialized   = row("initialized", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this session is initialized already")
	DuplicateID   = row("duplicate_id", 400, mcp.CodeInvalidRequest, closePolicy, 0, "a call with this id is in flight already in this session")
	LastEventID   = row("last_event_id", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this Last-Event-ID is not one of this session, or what followed it is no longer held")
	Calls         = row("calls", 429, 429, closeTryLater, time.Second, "this session has as many calls in flight as it may (--max-calls); wait for one to end")
	Sessions      = row("sessions", 503, 503, closeTryLater, 5*time.Second, "the gate has as many sessions as it may (--max-sessions); end one or try again later")
	Draining      = row("draining", 503, 503, closeGoingAway, time.Second, "the gate is shutting down; connect again to reach its successor")

	Links         = row("links", 503, 503, closeTryLater, 5*time.Second, "no tool server is free (--max-links); try again later")
	Start         = row("start", 503, 503, closeTryLater, 5*time.Second, "the tool server could not be started or reached; the gate's log says why")
	Busy          = row("busy", 503, 503, closeTryLater, time.Second, "the tool server does not read its input; try again shortly")
	Ended         = row("ended", 503, 503, closeTryLater, 0, "the tool server ended before it answered; send initialize to open a new session")
	EndedShared   = row("ended", 503, 503, closeTryLater, 0, "the tool server ended before it answered; call again")
	ServerSize    = row("server_size", 413, 413, closeTooBig, 0, "the tool server's answer is larger than the limit (--max-message) and was dropped")
	ServerJSON    = row("server_json", 502, 502, closeInternal, 0, "the tool server's answer is not a valid JSON-RPC message and was dropped")
	Subscriptions = row("subscriptions", 429, 429, closeTryLater, 0, "this session is subscribed to as many resources as it may be; unsubscribe from some")
	Level         = row("level", 400, mcp.CodeInvalidParams, closePolicy, 0, "this is no log level")
	Unattended    = row("unattended", 404, mcp.CodeMethodNotFound, closePolicy, 0, "nobody can answer this: no call is in flight on this connection whose client could be asked")
	Incapable     = row("incapable", 404, mcp.CodeMethodNotFound, closePolicy, 0, "the client did not declare the capability that this needs")
	Unshared      = row("unshared", 404, mcp.CodeMethodNotFound, closePolicy, 0, "this is not served where clients share a tool server (--isolation); it would tell one client about another; tasks are served with --isolation session")
	CallTimeout   = row("call_timeout", 504, 504, closeTryLater, 0, "the tool server did not answer in time (--call-timeout); the call was cancelled")
	Cancelled     = row("cancelled", 408, 408, closeTryLater, 0, "the call was cancelled by its client")
	Questions     = row("questions", 503, 503, closeTryLater, 0, "the client has too many open requests of this server; wait until it has answered some")
	SessionIdle   = row("session_end", 404, 404, closePolicy, 0, "the session was idle for too long (--idle-timeout); send initialize to open a new one")
	SessionOld    = row("session_end", 404, 404, closePolicy, 0, "the session has lasted as long as one may (--session-lifetime); send initialize to open a new one")
	NotOpened     = row("session_end", 404, 404, closePolicy, 0, "the session ended with its initialize, which failed: see the answer to that")
	SessionEnd    = row("session_end", 404, 404, closePolicy, 0, "the session ended before the call was answered")
	// Of modern requests, in the order in which they are checked.
	Meta               = row("meta", 400, mcp.CodeInvalidParams, closePolicy, 0, "params._meta must hold io.modelcontextprotocol/protocolVersion, a string, and io.modelcontextprotocol/clientCapabilities, an object")
	HeaderMismatch     = row("header_mismatch", 400, mcp.CodeHeaderMismatch, closePolicy, 0, "a header that the request must have is missing, malformed, or says something else than the body")
	UnsupportedVersion = row("unsupported_version", 400, mcp.CodeUnsupportedVersion, closePolicy, 0, "this protocol version is not served; error.data.supported lists those that are")
	MissingCapability  = row("missing_capability", 400, mcp.CodeMissingCapability, closePolicy, 0, "the call needs a capability that the client did not declare; declare it in _meta")
	NoMethod           = row("no_method", 404, mcp.CodeMethodNotFound, closePolicy, 0, "there is no such method in this revision of the protocol")
	NotRequest         = row("not_request", 400, mcp.CodeInvalidRequest, closePolicy, 0, "a message of this revision is one request or one notification; responses and batches are not taken")
	ModernMethod       = row("modern_method", 405, mcp.CodeInvalidRequest, closePolicy, 0, "this revision of the protocol is served by POST alone: it has no sessions, and no stream of their own")
	RequestState       = row("request_state", 400, mcp.CodeInvalidParams, closePolicy, 0, "this requestState is not one for this request, or no longer; send the request anew, without requestState and inputResponses")
	Parked             = row("parked", 400, mcp.CodeInvalidParams, closePolicy, 0, "the call that this requestState continues is over: it waited too long, or its tool server ended; send the request anew, without requestState and inputResponses")

	Internal = row("internal", 500, mcp.CodeInternal, closeInternal, 0, "the gate failed on this request; the failure is in its log")
)

// row makes a row of the table.
func row(reason string, status, code, closing int, retry time.Duration, text string) *Refusal {
	return &Refusal{Reason: reason, Status: status, Code: code, Close: closing, Retry: retry, Text: text}
}
