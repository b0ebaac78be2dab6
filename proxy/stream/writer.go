package stream

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

const (
	// smallEvent is up to where an event is copied into the batch: one copy
	// costs less than another element of a vectored write.
	smallEvent = 8 << 10
	// batchBytes and batchEvents bound what one write takes, so that the lock
	// is not held long.
	batchBytes  = 256 << 10
	batchEvents = 128
)

// A Batch is what one write puts on a connection.
type Batch struct {
	scratch *wire.Buffer // heads and small events
	large   []large      // what stands between parts of scratch and is not copied
	next    uint64       // the cursor after it
	events  bool         // it holds events
	last    bool         // nothing comes after it
	answer  *wire.Buffer // a whole answer, released when written
}

type large struct {
	at   int // offset in scratch before which it stands
	data []byte
}

// kick asks for a writer if there is something to write and nobody writes yet.
// The outbox's lock is held.
func (c *Conn) kick() {
	if c.writing || !c.due() {
		return
	}
	c.writing = true
	box := c.stream.box
	if c.stream != box.main { // the answer to a call does not queue with a crowd
		go c.writeAlone()
		return
	}
	box.options.Crew.take(c)
}

// due tells whether there is something to write.
func (c *Conn) due() bool {
	s := c.stream
	switch {
	case c.broken || c.finished:
		return false
	case c.superseded:
		return true
	case s.conn != c: // its owner has left already
		return false
	case c.after != nil && c.after.writing:
		return false
	case s.mode == undecided:
		return s.answer != nil
	}
	return !c.headed && c.frames == nil || c.comment || c.cursor < s.next() || s.over()
}

// writeSome is the writer: it writes one batch, at t, and tells whether there is
// more to write. Where there is not the connection has no writer any more.
func (c *Conn) writeSome(t *turn) (more bool) {
	box := c.stream.box
	box.mu.Lock()
	defer box.mu.Unlock()
	if c.due() {
		b := c.compose()
		c.ending = b.last
		box.mu.Unlock()
		err := c.write(b.buffers(), t)
		b.scratch.Release()
		b.answer.Release()
		box.mu.Lock()
		c.wrote(b, err)
	}
	if c.due() {
		return true
	}
	c.writing = false
	if next := c.stream.conn; next != nil && next.after == c {
		next.kick()
	}
	return false
}

// wrote notes what a write has done.
func (c *Conn) wrote(b *Batch, err error) {
	if err != nil {
		c.sever()
		return
	}
	if b.events {
		s := c.stream
		c.cursor = max(c.cursor, b.next)
		s.written = max(s.written, min(b.next, s.next()))
		s.keep(min(b.next, s.next()))
	}
	if b.last {
		c.finish()
	}
}

// compose makes the next batch.
func (c *Conn) compose() *Batch {
	s := c.stream
	c.begin()
	b := &Batch{scratch: wire.Acquire(4 << 10), next: c.cursor}
	switch {
	case c.frames != nil:
		c.composeFrames(b)
	case s.mode == undecided && s.answer != nil && !c.superseded:
		c.composeWhole(b)
	default:
		c.composeEvents(b)
	}
	return b
}

// begin sets the cursor of a connection that named no event, before its first
// write: what the one before it was still writing is known by now.
func (c *Conn) begin() {
	if c.after = nil; !c.headed && !c.resumed {
		c.cursor = max(c.stream.written, c.stream.first)
	}
}

// composeWhole makes an answer that is one JSON object.
func (c *Conn) composeWhole(b *Batch) {
	s := c.stream
	b.answer, b.last = s.answer, true
	s.answer, s.mode = nil, whole
	form, contentType := s.form(), "application/json"
	if form.Body != nil {
		contentType = form.Type
	}
	b.scratch.B = c.appendHead(b.scratch.B, form.Status, contentType)
	b.scratch.B = append(b.scratch.B, form.Head...)
	b.scratch.B = append(b.scratch.B, "Content-Length: "...)
	b.scratch.B = strconv.AppendInt(b.scratch.B, int64(len(b.answer.B)), 10)
	b.scratch.B = append(b.scratch.B, "\r\n\r\n"...)
	b.Add(b.answer.B)
}

// composeEvents makes the next part of an event stream, as one chunk. Streams
// are chunked so that a client can tell their end from a cut.
func (c *Conn) composeEvents(b *Batch) {
	s := c.stream
	opening := !c.headed
	if opening {
		s.toEvents()
		c.start()
		c.headed = true
		b.scratch.B = c.appendStreamHead(b.scratch.B)
	}
	size := b.openChunk(c.http11)
	if opening {
		b.scratch.B = append(b.scratch.B, c.first...)
	}
	if opening && s.box.priming && !c.resumed {
		b.scratch.B = wire.AppendRetry(b.scratch.B, int(s.box.options.Retry.Milliseconds()))
		b.scratch.B = wire.AppendPriming(b.scratch.B, s.appendID(nil, c.cursor-1))
	}
	if !c.superseded {
		c.composeMessages(b)
	}
	if c.comment && !b.events {
		b.scratch.B = wire.AppendComment(b.scratch.B, "keep-alive")
	}
	c.comment = false
	b.last = c.superseded || (s.over() && b.next >= s.next())
	if b.last && s.interrupted() {
		b.scratch.B = wire.AppendRetry(b.scratch.B, int(s.box.options.Retry.Milliseconds()))
		b.scratch.B = wire.AppendPriming(b.scratch.B, s.appendID(nil, b.next-1))
	}
	b.closeChunk(size, c.http11, b.last)
}

// interrupted tells whether the stream ends only because the gate does. Its
// client is told when to come back, and from where on (2025-11-25,
// basic/transports, "Sending Messages to the Server": "SHOULD send an SSE event
// with a standard retry field before closing the connection"); older clients
// would take that event for a broken message, and have the last id anyway.
func (s *Stream) interrupted() bool {
	return s == s.box.main && s.box.priming && s.box.why == refusal.Draining
}

// composeMessages adds the events from the cursor on.
func (c *Conn) composeMessages(b *Batch) {
	s := c.stream
	var id [48]byte
	bytes := 0
	for n := 0; n < batchEvents && bytes < batchBytes && b.next < s.next(); n++ {
		msg := s.held[b.next-s.first].B
		if name := s.appendID(id[:0], b.next); len(msg) <= smallEvent {
			b.scratch.B = wire.AppendEvent(b.scratch.B, name, msg)
		} else {
			b.scratch.B = wire.AppendEventHead(b.scratch.B, name)
			b.Add(msg)
			b.scratch.B = append(b.scratch.B, wire.EventTail...)
		}
		b.next++
		bytes += len(msg)
		b.events = true
	}
}

// Copy puts a copy of data into the batch.
func (b *Batch) Copy(data []byte) { b.scratch.B = append(b.scratch.B, data...) }

// Add puts data into the batch, by reference if it is large: then it must stay
// as it is until the batch is written, as messages do.
func (b *Batch) Add(data []byte) {
	if len(data) <= smallEvent {
		b.scratch.B = append(b.scratch.B, data...)
		return
	}
	b.large = append(b.large, large{len(b.scratch.B), data})
}

// chunkHead is a chunk's size line of fixed width, filled in when the size is
// known. Leading zeros are part of the grammar (RFC 9112, section 7.1).
const chunkHead = "00000000\r\n"

// openChunk begins a chunk and returns where its content starts.
func (b *Batch) openChunk(chunked bool) int {
	if chunked {
		b.scratch.B = append(b.scratch.B, chunkHead...)
	}
	return len(b.scratch.B)
}

// closeChunk ends the chunk whose content starts at from. A chunk of no size
// would end the stream, so an empty one is taken out again.
func (b *Batch) closeChunk(from int, chunked, last bool) {
	if !chunked {
		return
	}
	size := len(b.scratch.B) - from
	for _, l := range b.large {
		size += len(l.data)
	}
	if head := b.scratch.B[from-len(chunkHead) : from]; size > 0 {
		copy(head, fmt.Sprintf("%08x", size))
		b.scratch.B = append(b.scratch.B, "\r\n"...)
	} else {
		b.scratch.B = b.scratch.B[:from-len(chunkHead)]
	}
	if last {
		b.scratch.B = append(b.scratch.B, "0\r\n\r\n"...)
	}
}

// buffers is the batch as a vectored write.
func (b *Batch) buffers() net.Buffers {
	bufs := make(net.Buffers, 0, 2*len(b.large)+1)
	from := 0
	for _, l := range b.large {
		bufs = append(bufs, b.scratch.B[from:l.at], l.data)
		from = l.at
	}
	return append(bufs, b.scratch.B[from:])
}

// appendHead appends the lines that every answer's head begins with.
func (c *Conn) appendHead(dst []byte, status int, contentType string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(append(dst, ' '), fasthttp.StatusMessage(status)...)
	dst = append(dst, "\r\nDate: "...)
	dst = time.Now().UTC().AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 GMT")
	dst = append(dst, "\r\n"...)
	if contentType != "" {
		dst = append(append(append(dst, "Content-Type: "...), contentType...), "\r\n"...)
	}
	if c.leaving != nil && c.leaving.Load() {
		c.keep = false
	}
	if !c.keep {
		dst = append(dst, "Connection: close\r\n"...)
	}
	if status == fasthttp.StatusOK {
		dst = append(dst, c.onlyOK...)
	}
	return append(dst, c.head...)
}

// appendStreamHead appends the head of an event stream. Intermediaries are
// told not to hold it up.
func (c *Conn) appendStreamHead(dst []byte) []byte {
	dst = c.appendHead(dst, fasthttp.StatusOK, "text/event-stream")
	dst = append(dst, c.stream.lines...)
	dst = append(dst, "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n"...)
	if c.http11 {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(dst, "\r\n"...)
}
