package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Message is a JSON-RPC message as a client reads it. Raw fields keep the bytes
// that arrived.
type Message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *RPCError       `json:"error"`

	Raw string `json:"-"`
}

// RPCError is a JSON-RPC error.
type RPCError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// Code is the error's code, 0 where there is none.
func (m Message) Code() int {
	if m.Error == nil {
		return 0
	}
	return m.Error.Code
}

// Structured is the result's structuredContent, the bytes that arrived.
func (m Message) Structured(t testing.TB) string {
	t.Helper()
	var r struct {
		StructuredContent json.RawMessage `json:"structuredContent"`
	}
	if m.Error != nil {
		t.Fatalf("an error instead of a result: %s", Short(m.Raw))
	}
	if err := json.Unmarshal(m.Result, &r); err != nil {
		t.Fatalf("no result: %v in %s", err, Short(m.Raw))
	}
	return string(r.StructuredContent)
}

// Into decodes the result's structuredContent.
func (m Message) Into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.Structured(t)), v); err != nil {
		t.Fatalf("%v in %s", err, Short(m.Raw))
	}
}

// ParseMessage reads one message.
func ParseMessage(t testing.TB, raw string) Message {
	t.Helper()
	m := Message{Raw: raw}
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatalf("not a message: %v: %s", err, Short(raw))
	}
	return m
}

// Short is s, shortened for a failure's text.
func Short(s string) string {
	if len(s) > 400 {
		return fmt.Sprintf("%s…%s (%d bytes)", s[:200], s[len(s)-150:], len(s))
	}
	return s
}

// Response is a whole HTTP response.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Streamed tells whether the response is an event stream.
func (r *Response) Streamed() bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream")
}

// Messages are the messages of the body: one JSON object, an array of them, or
// those of an event stream.
func (r *Response) Messages(t testing.TB) []Message {
	t.Helper()
	if r.Streamed() {
		var list []Message
		for _, e := range ParseEvents(r.Body) {
			if e.Data != "" {
				list = append(list, ParseMessage(t, e.Data))
			}
		}
		return list
	}
	if strings.HasPrefix(string(r.Body), "[") {
		var raws []json.RawMessage
		if err := json.Unmarshal(r.Body, &raws); err != nil {
			t.Fatalf("%v: %s", err, Short(string(r.Body)))
		}
		var list []Message
		for _, raw := range raws {
			list = append(list, ParseMessage(t, string(raw)))
		}
		return list
	}
	return []Message{ParseMessage(t, string(r.Body))}
}

// Answer is the one response among the messages of an answered POST.
func (r *Response) Answer(t testing.TB) Message {
	t.Helper()
	if r.Status != 200 {
		t.Fatalf("status %d instead of 200: %s", r.Status, Short(string(r.Body)))
	}
	var found []Message
	for _, m := range r.Messages(t) {
		if m.Method == "" {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d responses instead of one: %s", len(found), Short(string(r.Body)))
	}
	return found[0]
}

// WantRefusal checks an answer that the gate gives by itself, before a call
// reached a link: its HTTP status, its JSON-RPC code, and that no id is made up:
// id is the raw id of the request, or empty where the member is to be missing.
func (r *Response) WantRefusal(t testing.TB, status, code int, id string) {
	t.Helper()
	if r.Status != status {
		t.Errorf("status %d, want %d; the body: %s", r.Status, status, Short(string(r.Body)))
		return
	}
	if ct := r.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		t.Errorf("a refusal with Content-Type %q: %s", ct, Short(string(r.Body)))
		return
	}
	m := ParseMessage(t, string(r.Body))
	if m.Code() != code {
		t.Errorf("JSON-RPC code %d, want %d: %s", m.Code(), code, m.Raw)
	}
	if string(m.ID) != id {
		t.Errorf("a refusal for id %q has id %q: %s", id, m.ID, m.Raw)
	}
	if !strings.Contains(m.Raw, `"jsonrpc":"2.0"`) || m.Error != nil && m.Error.Message == "" {
		t.Errorf("not a JSON-RPC error with words: %s", m.Raw)
	}
}

// WantStatus checks the HTTP status alone.
func (r *Response) WantStatus(t testing.TB, status int) {
	t.Helper()
	if r.Status != status {
		t.Errorf("status %d, want %d; the body: %s", r.Status, status, Short(string(r.Body)))
	}
}

// WantRetryAfter checks that the client is told when to come back.
func (r *Response) WantRetryAfter(t testing.TB) {
	t.Helper()
	var seconds int
	if _, err := fmt.Sscanf(r.Header.Get("Retry-After"), "%d", &seconds); err != nil || seconds < 1 {
		t.Errorf("Retry-After is %q, want whole seconds, at least one", r.Header.Get("Retry-After"))
	}
}
