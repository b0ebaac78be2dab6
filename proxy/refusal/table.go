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
	AddressRate = &Refusal{"address_rate", 429, 429, closeTryLater, time.Second, "too many requests from this address; slow down (--address-rate)"}
	Connections = &Refusal{"connections", 503, 503, closeTryLater, time.Second, "too many open connections (--max-connections); try again shortly"}
	Host        = &Refusal{"host", 403, mcp.CodeInvalidRequest, closePolicy, 0, "this Host is not served here; use a loopback name, or start the gate with --allow-host"}
	Origin      = &Refusal{"origin", 403, mcp.CodeInvalidRequest, closePolicy, 0, "this Origin may not use the gate; allow it with --allow-origin"}
	Token       = &Refusal{"token", 401, mcp.CodeInvalidRequest, closePolicy, 0, "a valid bearer token is required in the Authorization header"}
	Rate        = &Refusal{"rate", 429, 429, closeTryLater, time.Second, "this caller sends too many requests; slow down (--rate)"}
	Path        = &Refusal{"path", 404, mcp.CodeInvalidRequest, closePolicy, 0, "nothing is served at this path; the MCP endpoint is /mcp, and with several tool servers /servers/NAME/mcp"}
	Method      = &Refusal{"method", 405, mcp.CodeInvalidRequest, closePolicy, 0, "this HTTP method is not served here; see Allow"}
	ContentType = &Refusal{"content_type", 415, mcp.CodeInvalidRequest, closeUnsupported, 0, "the body must be sent as Content-Type: application/json"}
	Accept      = &Refusal{"accept", 406, mcp.CodeInvalidRequest, closePolicy, 0, "Accept must list application/json and text/event-stream (GET: text/event-stream)"}
	Upgrade     = &Refusal{"upgrade", 426, mcp.CodeInvalidRequest, closePolicy, 0, "only WebSocket is spoken here; ask for it with Connection: Upgrade and Upgrade: websocket"}
	Subprotocol = &Refusal{"subprotocol", 400, mcp.CodeInvalidRequest, closePolicy, 0, "none of these WebSocket subprotocols is spoken here; offer mcp, or none"}
	HeaderSize  = &Refusal{"header_size", 431, mcp.CodeInvalidRequest, closePolicy, 0, "the request's header is past the limit (--max-header)"}
	BadHTTP     = &Refusal{"http", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this is not a well-formed HTTP request"}
	SlowHeader  = &Refusal{"header_timeout", 408, 408, closePolicy, 0, "the request's header, or the first byte of its body, did not arrive in time (--header-timeout)"}

	Size      = &Refusal{"size", 413, 413, closeTooBig, 0, "the message is larger than the limit (--max-message)"}
	SlowBody  = &Refusal{"body_timeout", 408, 408, closePolicy, 0, "the request's body did not arrive in time (--body-timeout)"}
	CutBody   = &Refusal{"body_cut", 400, mcp.CodeInvalidRequest, closePolicy, 0, "the request's body ended before its announced length, or its framing is broken"}
	Budget    = &Refusal{"bytes_in_flight", 503, 503, closeTryLater, time.Second, "the gate holds as many bytes in flight as it may (--max-bytes-in-flight); try again shortly"}
	NotJSON   = &Refusal{"not_json", 400, mcp.CodeParse, closePolicy, 0, "the body is not one JSON value"}
	Envelope  = &Refusal{"envelope", 400, mcp.CodeInvalidRequest, closePolicy, 0, "the body is not a JSON-RPC 2.0 message"}
	Revision  = &Refusal{"revision", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this MCP-Protocol-Version is not served"}
	NoSession = &Refusal{"no_session", 400, mcp.CodeInvalidRequest, closePolicy, 0, "an Mcp-Session-Id header is required; send initialize first"}
	Frames    = &Refusal{"frames", 400, mcp.CodeInvalidRequest, closeProtocol, 0, "what came on the connection is not WebSocket, or no text"}

	// Session answers alike whether the id was guessed, ended, expired, or is
	// another caller's: the answer must not tell which ids are alive.
	Session       = &Refusal{"session", 404, 404, closePolicy, 0, "there is no such session; send initialize to open a new one"}
	Uninitialized = &Refusal{"uninitialized", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this session is not initialized: send initialize, and wait for its answer"}
	Initialized   = &Refusal{"initialized", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this session is initialized already"}
	DuplicateID   = &Refusal{"duplicate_id", 400, mcp.CodeInvalidRequest, closePolicy, 0, "a call with this id is in flight already in this session"}
	LastEventID   = &Refusal{"last_event_id", 400, mcp.CodeInvalidRequest, closePolicy, 0, "this Last-Event-ID is not one of this session, or what followed it is no longer held"}
	Calls         = &Refusal{"calls", 429, 429, closeTryLater, time.Second, "this session has as many calls in flight as it may (--max-calls); wait for one to end"}
	Sessions      = &Refusal{"sessions", 503, 503, closeTryLater, 5 * time.Second, "the gate has as many sessions as it may (--max-sessions); end one or try again later"}
	Draining      = &Refusal{"draining", 503, 503, closeGoingAway, time.Second, "the gate is shutting down; connect again to reach its successor"}

	Links         = &Refusal{"links", 503, 503, closeTryLater, 5 * time.Second, "no tool server is free (--max-links); try again later"}
	Start         = &Refusal{"start", 503, 503, closeTryLater, 5 * time.Second, "the tool server could not be started or reached; the gate's log says why"}
	Busy          = &Refusal{"busy", 503, 503, closeTryLater, time.Second, "the tool server does not read its input; try again shortly"}
	Ended         = &Refusal{"ended", 503, 503, closeTryLater, 0, "the tool server ended before it answered; send initialize to open a new session"}
	EndedShared   = &Refusal{"ended", 503, 503, closeTryLater, 0, "the tool server ended before it answered; call again"}
	ServerSize    = &Refusal{"server_size", 413, 413, closeTooBig, 0, "the tool server's answer is larger than the limit (--max-message) and was dropped"}
	ServerJSON    = &Refusal{"server_json", 502, 502, closeInternal, 0, "the tool server's answer is not a valid JSON-RPC message and was dropped"}
	Subscriptions = &Refusal{"subscriptions", 429, 429, closeTryLater, 0, "this session is subscribed to as many resources as it may be; unsubscribe from some"}
	Level         = &Refusal{"level", 400, mcp.CodeInvalidParams, closePolicy, 0, "this is no log level"}
	Unattended    = &Refusal{"unattended", 404, mcp.CodeMethodNotFound, closePolicy, 0, "nobody can answer this: no call is in flight on this connection whose client could be asked"}
	Incapable     = &Refusal{"incapable", 404, mcp.CodeMethodNotFound, closePolicy, 0, "the client did not declare the capability that this needs"}
	Unshared      = &Refusal{"unshared", 404, mcp.CodeMethodNotFound, closePolicy, 0, "this is not served where clients share a tool server (--isolation); it would tell one client about another; tasks are served with --isolation session"}
	CallTimeout   = &Refusal{"call_timeout", 504, 504, closeTryLater, 0, "the tool server did not answer in time (--call-timeout); the call was cancelled"}
	Cancelled     = &Refusal{"cancelled", 408, 408, closeTryLater, 0, "the call was cancelled by its client"}
	Questions     = &Refusal{"questions", 503, 503, closeTryLater, 0, "the client has too many open requests of this server; wait until it has answered some"}
	SessionIdle   = &Refusal{"session_end", 404, 404, closePolicy, 0, "the session was idle for too long (--idle-timeout); send initialize to open a new one"}
	SessionOld    = &Refusal{"session_end", 404, 404, closePolicy, 0, "the session has lasted as long as one may (--session-lifetime); send initialize to open a new one"}
	NotOpened     = &Refusal{"session_end", 404, 404, closePolicy, 0, "the session ended with its initialize, which failed: see the answer to that"}
	SessionEnd    = &Refusal{"session_end", 404, 404, closePolicy, 0, "the session ended before the call was answered"}
	Internal      = &Refusal{"internal", 500, mcp.CodeInternal, closeInternal, 0, "the gate failed on this request; the failure is in its log"}
)
