package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
)

// sessionGone completes "the tool server …".
const sessionGone = "has ended the session (it does not know the session's id any more)"

// unreachable is a server to which there is no connection.
type unreachable struct{ error }

func (e *unreachable) Unwrap() error { return e.error }

// broken ends an exchange whose connection broke, or whose response cannot be
// trusted.
func (x *exchange) broken(err error) {
	x.leave(false)
	if x.isAborted() {
		return
	}
	text := brokenText(err, x.backend.origin.base())
	if x.meetsTLS(err) {
		text += "; does it speak HTTPS? Then its URL begins with https://"
	}
	if !x.request {
		x.backend.warn("a notification or an answer did not reach the tool server", zap.String("error", text))
		return
	}
	status := 502
	if _, ok := errors.AsType[*unreachable](err); ok {
		status = 503
	}
	x.backend.warn("a call was not answered by the tool server", zap.String("reason", text))
	x.conn.receiver.reply(x.id, &backend.Reply{Status: status, Reason: brief(err)})
}

// meetsTLS tells whether the first exchange with a server ended as one does with
// a server that speaks TLS: without a word, or with an alert.
func (x *exchange) meetsTLS(err error) bool {
	b := x.backend
	if !x.opens && !x.modern || b.origin.scheme != "http" || b.heard.Load() {
		return false
	}
	if len(x.head.buf) == 0 {
		return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	}
	return bytes.HasPrefix(x.head.buf, []byte{21, 3}) // RFC 8446, 5.1: an alert, of SSL 3 or TLS
}

// brief says what happened to a client, who need not know where the tool server
// is.
func brief(err error) string {
	var bad misframed
	var none *unreachable
	switch {
	case errors.As(err, &bad):
		return err.Error()
	case errors.As(err, &none):
		return "the tool server cannot be reached; try again shortly"
	case errors.Is(err, io.EOF):
		return "the tool server closed the connection without a response"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the tool server closed the connection in the middle of its response"
	}
	return "the connection to the tool server broke"
}

// brokenText says what happened, for the operator.
func brokenText(err error, where string) string {
	var bad misframed
	var none *unreachable
	switch {
	case errors.As(err, &bad), errors.As(err, &none):
		return err.Error()
	case errors.Is(err, io.EOF):
		return fmt.Sprintf("the tool server at %s closed the connection without a response", where)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the tool server at %s closed the connection in the middle of its response", where)
	}
	return fmt.Sprintf("the connection to the tool server at %s broke: %v", where, err)
}

// refuse stands a Reply for the answer of a call, unless nobody waits for it.
func (x *exchange) refuse(status int, reason string) { x.refuseWith(status, reason, "") }

// refuseWith is refuse with what the server said: it is for the client, and not
// for the log.
func (x *exchange) refuseWith(status int, reason, said string) {
	if x.isAborted() || !x.request {
		return
	}
	if !x.probes {
		x.backend.warn("a call was not answered by the tool server", zap.String("reason", reason))
	}
	if said != "" {
		reason += ": " + clip([]byte(said))
	}
	x.conn.receiver.reply(x.id, &backend.Reply{Status: status, Reason: reason, Said: x.head.status})
}

// takeRefusal sees to a response with a status that says that there is no
// answer. One that is an answer for all that is passed on as it is.
func (x *exchange) takeRefusal() {
	status := x.head.status
	text, fault := x.readRefusal()
	c := x.conn
	switch {
	case status == 401 || status == 403:
		x.replyAsItIs(&x.head, text)
		return
	case x.answered:
		if status == 404 && x.inSession() && fault.Error.Code != methodNotFound {
			c.fail(sessionGone)
		}
		return
	case x.opens && (status == 400 || status == 404 || status == 405) && x.openOld():
		x.finish(x.open())
		return
	case x.answered: // what it said of the other transport
		return
	case x.inSession() && (status == 404 || status == 400 && fault.session()):
		x.refuse(404, "the tool server "+sessionGone+"; send initialize to open a new one")
		c.fail(sessionGone)
	case status == statusLoop:
		x.backend.loops.Store(true)
		x.backend.warn("a call was not answered", zap.String("reason", loopReason))
		x.replyAsItIs(&x.head, text)
	case status == 429 || status == 503:
		x.replyAsItIs(&x.head, text)
	case status < 400:
		x.lost("the tool server redirects (status %d), which is not followed; give the gate the URL that it redirects to", status)
	default:
		reason := fmt.Sprintf("the tool server refused the call with status %d", status)
		if (x.opens || x.modern) && fault.Error.Message == "" && (status == 404 || status == 405 || status == 501) {
			reason += "; is the URL that of an MCP endpoint? An HTTP+SSE server's is mostly /sse"
		}
		x.refuseWith(502, reason, fault.Error.Message)
	}
}

// methodNotFound is the JSON-RPC code of a 404 that concerns the method.
const methodNotFound = -32601

// fault is a JSON-RPC error, as far as it is read.
type fault struct {
	Error struct {
		Code    int
		Message string
	}
}

// session tells whether the error is that the server does not know the
// session. Servers should say that with 404, and many say it with 400.
func (f *fault) session() bool {
	return strings.Contains(strings.ToLower(f.Error.Message), "session")
}

// readRefusal reads the response's body, as far as it is short, and passes it
// on if it answers the call.
func (x *exchange) readRefusal() (text []byte, f fault) {
	msg, err := x.readBody(maxReplyBody)
	x.detach()
	if err != nil {
		return nil, f
	}
	text = append(text, msg.B...)
	if !x.head.isType("application/json") || json.Unmarshal(text, &f) != nil {
		msg.Release()
		return text, f
	}
	err = x.env.Scan(msg.B)
	status := x.head.status
	if err == nil && status != 401 && status != 403 && status != statusLoop && x.isAnswer(msg) {
		if x.modern {
			x.tellHeaders()
		}
		x.deliver(msg)
		return text, f
	}
	msg.Release()
	return text, f
}

// replyAsItIs passes the response on.
func (x *exchange) replyAsItIs(h *head, text []byte) {
	if x.isAborted() {
		return
	}
	reason := fmt.Sprintf("the tool server refused the call with status %d", h.status)
	if h.status == statusLoop {
		reason = loopReason
	}
	x.conn.receiver.reply(x.id, &backend.Reply{
		Status: h.status,
		Header: h.appendPassing(nil),
		Type:   string(h.kind),
		Body:   text,
		Reason: reason,
		Said:   h.status,
	})
}

// tellHeaders reports the headers of a response that holds the answer, where
// any are for the client.
func (x *exchange) tellHeaders() {
	if lines := x.head.appendPassing(nil); len(lines) > 0 && !x.foreign(nil) {
		x.conn.receiver.reply(x.id, &backend.Reply{Status: 200, Header: lines})
	}
}
