package http

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.uber.org/zap"

	"sidegate/proxy/wire"
)

const (
	// maxBatch is how many messages are taken out of one batch. Each one costs
	// at least a small buffer, however short it is.
	maxBatch = 1000

	// headroom is what is left free behind a message, so that exchanging its
	// id needs no other buffer.
	headroom = 64

	firstRead = 4 << 10 // bytes, of a body that does not tell its length
)

// takeAnswer sees to a response that should hold the answer.
func (x *exchange) takeAnswer() {
	if x.opens && !x.takeSession() {
		return
	}
	switch {
	case x.head.isType("application/json"):
		x.tellHeaders()
		x.takeJSON()
	case x.head.isType("text/event-stream"):
		x.tellHeaders()
		x.takeEvents()
	case x.head.status == 202 || x.head.status == 204:
		x.lost("the tool server accepted the call (status %d) instead of answering it", x.head.status)
		x.discard()
	default:
		x.lost("the tool server answered with the content type %q, which is neither application/json nor text/event-stream; is the URL that of an MCP endpoint?", clip(x.head.kind))
	}
}

// takeSession notes the session's id, which the response to initialize brings.
func (x *exchange) takeSession() bool {
	x.backend.newer.Store(true)
	x.backend.older.Store(false)
	id := x.head.session
	if len(id) > maxSession || len(id) > 0 && !sendable(string(id)) {
		x.lost("the tool server gave a session id that is none: it may have %d bytes, all visible ASCII", maxSession)
		return false
	}
	if len(id) > 0 {
		x.conn.opened(string(id))
	}
	return true
}

// takeJSON reads a body that is one message, or a batch of them.
func (x *exchange) takeJSON() {
	msg, err := x.readBody(x.backend.config.MaxMessage)
	if err != nil {
		x.unread(err)
		return
	}
	x.detach()
	x.take(msg)
	if !x.answered {
		x.lost("the tool server's response holds no answer to the call")
	}
}

// unread ends a call whose answer could not be read.
func (x *exchange) unread(err error) {
	if long, ok := errors.AsType[*wire.TooLong](err); ok {
		long.ID = x.id
		x.tooLong(long)
		return
	}
	x.broken(err)
}

// readBody reads the body into a buffer. An error is a *wire.TooLong, or that
// of the body.
func (x *exchange) readBody(limit int) (*wire.Buffer, error) {
	budget := x.backend.config.Budget
	if x.head.length > int64(limit) && !x.head.chunked {
		return nil, &wire.TooLong{Size: x.head.length}
	}
	if length := int(x.head.length); length >= 0 && !x.head.chunked {
		msg := wire.Acquire(length + headroom)
		if !msg.Charge(budget, int64(length)) {
			msg.Release()
			return nil, &wire.TooLong{Size: int64(length), Budget: true}
		}
		msg.B = msg.B[:length]
		if _, err := io.ReadFull(&x.body, msg.B); err != nil {
			msg.Release()
			return nil, noEOF(err)
		}
		return msg, nil
	}
	msg := wire.Acquire(firstRead)
	for {
		if cap(msg.B)-len(msg.B) <= headroom {
			msg.Grow(max(len(msg.B), firstRead))
		}
		n, err := x.body.Read(msg.B[len(msg.B) : cap(msg.B)-headroom])
		fits := len(msg.B)+n <= limit
		if n > 0 && (!fits || !msg.Charge(budget, int64(n))) {
			size := len(msg.B) + n
			msg.Release()
			return nil, &wire.TooLong{Size: int64(size), Budget: fits}
		}
		msg.B = msg.B[:len(msg.B)+n]
		if err == io.EOF { //nolint:errorlint // the body returns it bare
			return msg, nil
		}
		if err != nil {
			msg.Release()
			return nil, err
		}
	}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// take hands on what a body or an event holds. An array is a batch, as servers
// of 2025-03-26 may send it, and is taken apart.
func (x *exchange) take(msg *wire.Buffer) {
	if bytes.HasPrefix(msg.B, byteOrderMark) {
		msg.B = append(msg.B[:0], msg.B[len(byteOrderMark):]...)
	}
	if err := x.env.Scan(msg.B); err != nil {
		x.garbage(msg.B, err)
		msg.Release()
		return
	}
	if x.env.Kind != wire.Batch {
		x.deliver(msg)
		return
	}
	if err := wire.Elements(msg.B, maxBatch, x.element); err != nil {
		x.garbage(nil, err)
	}
	msg.Release()
}

var errNested = errors.New("a batch in a batch")

// element hands one message of a batch on, in a buffer of its own because each
// is released in its own time.
func (x *exchange) element(element []byte) bool {
	msg := wire.Acquire(len(element) + headroom)
	if !msg.Charge(x.backend.config.Budget, int64(len(element))) {
		msg.Release()
		x.tooLong(&wire.TooLong{ID: wire.FindID(element), Size: int64(len(element)), Budget: true})
		return true
	}
	msg.B = append(msg.B, element...)
	err := x.env.Scan(msg.B)
	if err == nil && x.env.Kind == wire.Batch {
		err = errNested
	}
	if err != nil {
		x.garbage(msg.B, err)
		msg.Release()
		return true
	}
	x.deliver(msg)
	return true
}

// deliver gives msg away, and keeps no part of it alive in the envelope. White
// space between tokens may hold a line break.
func (x *exchange) deliver(msg *wire.Buffer) {
	if x.env.HasNewline {
		wire.Flatten(msg.B)
	}
	if x.modern {
		x.deliverModern(msg)
		x.env.Reset()
		return
	}
	opening := false
	if x.env.Kind == wire.Result || x.env.Kind == wire.Error {
		opening = x.see(x.env.ID.Of(msg.B), revisionOf(x.env.Revision))
	}
	x.conn.receiver.message(msg, &x.env)
	x.env.Reset()
	if opening { // and not before: what follows could be answered first
		x.conn.proceed()
	}
}

// see notes that a call was answered, well or badly; revision is what the answer
// to initialize names. It tells whether the call was the one that everything
// waits for.
func (x *exchange) see(id []byte, revision string) (opening bool) {
	c := x.conn
	switch {
	case x.owns(id):
		x.answered = true
		return x.opens && c.answered(id, revision)
	case c.old.Load() == x:
		return c.answered(id, revision)
	}
	return false
}

// garbage logs that something is no message, and not what it holds: that may be
// a user's data.
func (x *exchange) garbage(text []byte, reason error) {
	x.backend.warn("the tool server sent something that is no message; it has been dropped", zap.Error(reason), zap.Int("size", len(text)))
	id := wire.FindID(text)
	if x.foreign(id) {
		return
	}
	opening := x.see(id, "")
	x.conn.receiver.garbage(id)
	if opening {
		x.conn.proceed()
	}
}

func (x *exchange) tooLong(e *wire.TooLong) {
	x.backend.warn("a message from the tool server has been dropped; raise --max-message, or --max-bytes-in-flight where there was no room",
		zap.Int64("size", e.Size), zap.Bool("no_room", e.Budget))
	if x.foreign(e.ID) {
		return
	}
	opening := x.see(e.ID, "")
	x.conn.receiver.tooLong(e.ID, e.Size)
	if opening {
		x.conn.proceed()
	}
}

// clip shortens what the server said, to be quoted.
func clip(text []byte) string {
	const most = 200
	if len(text) > most {
		return string(bytes.ToValidUTF8(text[:most], nil)) + "…"
	}
	return string(text)
}

// lost ends a call for which there is no answer.
func (x *exchange) lost(format string, args ...any) {
	x.refuse(502, fmt.Sprintf(format, args...))
}
