package harness

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// Latest is the newest revision of the legacy era.
const Latest = "2025-11-25"

// Client says who opens a session. The zero Client speaks the latest revision
// and can answer everything that a server may ask.
type Client struct {
	Revision     string // protocolVersion of initialize; empty: Latest
	Capabilities string // raw JSON; empty: sampling, elicitation, roots
	Token        string // bearer token; empty: none
	ID           string // raw id of initialize; empty: 0
}

// Session is an MCP session as its client sees it.
type Session struct {
	Gate     *Gate
	ID       string // Mcp-Session-Id
	Revision string // the one negotiated
	Token    string

	next atomic.Int64
}

// InitializeBody is the message with which the client opens a session.
func (c Client) InitializeBody() string {
	revision, capabilities, id := c.Revision, c.Capabilities, c.ID
	if revision == "" {
		revision = Latest
	}
	if capabilities == "" {
		capabilities = `{"sampling":{},"elicitation":{},"roots":{"listChanged":true}}`
	}
	if id == "" {
		id = "0"
	}
	return RPC(id, "initialize", fmt.Sprintf(`{"protocolVersion":%q,"capabilities":%s,"clientInfo":{"name":"e2e","version":"1"}}`, revision, capabilities))
}

// Initialize is the request with which the client opens a session.
func (c Client) Initialize() *Request { return authorize(Post(c.InitializeBody()), c.Token) }

func authorize(r *Request, token string) *Request {
	if token != "" {
		r.Add("Authorization", "Bearer "+token)
	}
	return r
}

// Open opens a session: initialize and notifications/initialized.
func (g *Gate) Open(t testing.TB, c Client) *Session {
	t.Helper()
	resp := g.Do(t, c.Initialize())
	if resp.Status != 200 {
		t.Fatalf("initialize got status %d: %s", resp.Status, Short(string(resp.Body)))
	}
	answer := resp.Answer(t)
	if answer.Error != nil {
		t.Fatalf("initialize got an error: %s", answer.Raw)
	}
	s := &Session{Gate: g, ID: resp.Header.Get("Mcp-Session-Id"), Token: c.Token}
	if s.ID == "" {
		t.Fatalf("initialize got no Mcp-Session-Id: %v %s", resp.Header, resp.Body)
	}
	s.Revision = Field(t, answer.Result, "protocolVersion")
	s.Notify(t, "notifications/initialized", "")
	return s
}

// As puts the session's own header fields on a request.
func (s *Session) As(r *Request) *Request {
	r.Set("Mcp-Session-Id", s.ID)
	if s.Revision >= "2025-06-18" {
		r.Set("MCP-Protocol-Version", s.Revision)
	}
	r.Drop("Authorization")
	return authorize(r, s.Token)
}

// NextID is a fresh id for a request.
func (s *Session) NextID() string { return fmt.Sprint(s.next.Add(1)) }

// Do posts a message and reads the whole response.
func (s *Session) Do(t testing.TB, body string) *Response {
	t.Helper()
	return s.Gate.Do(t, s.As(Post(body)))
}

// Begin posts a message and reads the head of the response.
func (s *Session) Begin(t testing.TB, body string) *Exchange {
	t.Helper()
	return s.Gate.Begin(t, s.As(Post(body)))
}

// Send posts a message without waiting for the response.
func (s *Session) Send(t testing.TB, body string) *Conn {
	t.Helper()
	c := s.Gate.Dial(t)
	c.Send(t, s.As(Post(body)).Bytes(s.Gate.Host()))
	return c
}

// Call calls a tool with raw arguments and returns the answer, be it an error.
func (s *Session) Call(t testing.TB, tool, arguments string) Message {
	t.Helper()
	return s.Do(t, ToolCall(s.NextID(), tool, arguments)).Answer(t)
}

// Notify posts a notification, which must be accepted.
func (s *Session) Notify(t testing.TB, method, params string) {
	t.Helper()
	s.Accepted(t, Notification(method, params))
}

// Accepted posts a notification or a response, which must be accepted.
func (s *Session) Accepted(t testing.TB, body string) {
	t.Helper()
	if resp := s.Do(t, body); resp.Status != 202 || len(resp.Body) != 0 {
		t.Fatalf("status %d with body %q instead of 202 without one, for %s", resp.Status, Short(string(resp.Body)), Short(body))
	}
}

// Stream opens the session's stream, or resumes the one that an event id
// belongs to.
func (s *Session) Stream(t testing.TB, lastEventID string) *Events {
	t.Helper()
	return s.BeginStream(t, lastEventID).Events(t)
}

// BeginStream is Stream up to the head of the response.
func (s *Session) BeginStream(t testing.TB, lastEventID string) *Exchange {
	t.Helper()
	r := s.As(Get())
	if lastEventID != "" {
		r.Add("Last-Event-ID", lastEventID)
	}
	return s.Gate.Begin(t, r)
}

// End ends the session with DELETE.
func (s *Session) End(t testing.TB) {
	t.Helper()
	if resp := s.Gate.Do(t, s.As(Delete())); resp.Status < 200 || resp.Status > 204 {
		t.Fatalf("DELETE got status %d: %s", resp.Status, Short(string(resp.Body)))
	}
}

// Server is the process id of the fixture that serves the session, and its
// parent's.
func (s *Session) Server(t testing.TB) (pid, parent int) {
	t.Helper()
	var p struct{ Pid, Ppid int }
	s.Call(t, "pid", `{}`).Into(t, &p)
	return p.Pid, p.Ppid
}

// Gone waits until the session's id is no longer served.
func (s *Session) Gone(t testing.TB) {
	t.Helper()
	Eventually(t, "the session is gone", func() bool {
		return s.Do(t, Notification("notifications/x", "")).Status == 404
	})
}

// RPC is a request. Empty params are left out.
func RPC(id, method, params string) string {
	if params != "" {
		params = `,"params":` + params
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q%s}`, id, method, params)
}

// Notification is a notification. Empty params are left out.
func Notification(method, params string) string {
	return strings.Replace(RPC("0", method, params), `"id":0,`, "", 1)
}

// Reply is a response with a result. id and result are raw JSON.
func Reply(id, result string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
}

// ToolCall is a tools/call without a progress token.
func ToolCall(id, tool, arguments string) string {
	return RPC(id, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, arguments))
}

// ToolCallWithToken is a tools/call with a progress token, raw JSON.
func ToolCallWithToken(id, token, tool, arguments string) string {
	return RPC(id, "tools/call", fmt.Sprintf(`{"_meta":{"progressToken":%s},"name":%q,"arguments":%s}`, token, tool, arguments))
}

// Cancel is a notification that cancels the request with a raw id.
func Cancel(id string) string {
	return Notification("notifications/cancelled", fmt.Sprintf(`{"requestId":%s,"reason":"test"}`, id))
}
