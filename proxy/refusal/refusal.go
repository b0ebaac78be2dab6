// Package refusal is the one table of answers that the gate gives by itself.
// Every room takes its refusals from here, so that a status, a code and a
// metric label are said once. It imports mcp and nothing else of ours.
package refusal

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// A Refusal is one row of the table. Rows are shared and never changed; With
// makes a copy that says more.
type Refusal struct {
	Reason string        // label of sidegate_refusals_total, one word
	Status int           // HTTP status, where the call has not reached a link
	Code   int           // JSON-RPC error code
	Close  int           // WebSocket close code
	Retry  time.Duration // Retry-After, rounded up to seconds; 0: none
	Text   string        // what happened and what to do, one sentence for a person
	Data   []byte        // raw JSON, error.data; nil: the member is left out
}

// Error is the sentence for a person.
func (r *Refusal) Error() string { return r.Text }

// With returns a copy of r whose text is made anew.
func (r *Refusal) With(format string, args ...any) *Refusal {
	c := *r
	c.Text = fmt.Sprintf(format, args...)
	return &c
}

// After returns a copy of r that asks the client to come back after d.
func (r *Refusal) After(d time.Duration) *Refusal {
	c := *r
	c.Retry = d
	return &c
}

// RetrySeconds is the value of Retry-After: whole seconds, at least one.
func (r *Refusal) RetrySeconds() int {
	return max(1, int((r.Retry+time.Second-1)/time.Second))
}

// AppendJSON appends the refusal as a JSON-RPC error response. id is the raw
// JSON id of the request; where none could be read it is nil and the member
// is left out, never null (2025-11-25, basic/transports: "a JSON-RPC error
// response that has no id").
func (r *Refusal) AppendJSON(dst, id []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0",`...)
	if len(id) > 0 {
		dst = append(dst, `"id":`...)
		dst = append(dst, id...)
		dst = append(dst, ',')
	}
	dst = append(dst, `"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(r.Code), 10)
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, r.Text)
	if len(r.Data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, r.Data...)
	}
	return append(dst, `}}`...)
}

// appendString appends s as a JSON string. Texts may quote what a client sent,
// so nothing is taken for granted about them.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c < 0x20 || c == 0x7f:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = utf8.AppendRune(dst, c)
		}
	}
	return append(dst, '"')
}

// Server refuses a call with what the tool server, or the way to it, has said
// by an HTTP status.
func Server(status int, text string) *Refusal {
	return &Refusal{Reason: "server", Status: status, Code: status, Close: closeInternal, Text: text}
}
