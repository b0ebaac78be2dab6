package stdio

import (
	"bytes"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"sidegate/proxy/wire"
)

const (
	// maxBatch is how many messages are taken out of one batch. Each one costs
	// at least a small buffer, however short it is.
	maxBatch = 1000

	// exitGrace is how long a child that has closed its output may take to end
	// and yet be reported as ended.
	exitGrace = 100 * time.Millisecond
)

// reader turns the child's lines into messages.
type reader struct {
	conn  *conn
	env   wire.Envelope
	fault *throttle
}

// read hands the child's messages to the receiver until its output ends, and
// says there how the connection ended.
func (c *conn) read() {
	r := reader{conn: c, fault: newThrottle(rate.Every(time.Second), 5)}
	lines := wire.NewLineReader(&c.stdout, c.backend.config.MaxMessage, c.backend.config.Budget)
	for {
		line, err := lines.Next()
		if err == nil {
			r.take(line)
			continue
		}
		if tooLong, ok := errors.AsType[*wire.TooLong](err); ok {
			r.tooLong(tooLong)
			continue
		}
		c.end("closed its output")
		r.fault.rest(c.log)
		c.receiver.Closed(c.farewell())
		return
	}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// take hands one line on. An array is a batch, as servers of 2025-03-26 and
// before may send it, and is taken apart.
func (r *reader) take(line *wire.Buffer) {
	if bytes.HasPrefix(line.B, byteOrderMark) { // some write it before the first line
		line.B = append(line.B[:0], line.B[len(byteOrderMark):]...)
	}
	if err := r.env.Scan(line.B); err != nil {
		r.garbage(line.B, err)
		line.Release()
		return
	}
	if r.env.Kind != wire.Batch {
		r.deliver(line)
		return
	}
	if err := wire.Elements(line.B, maxBatch, r.element); err != nil {
		r.garbage(nil, err)
	}
	line.Release()
}

// element hands one message of a batch on, in a buffer of its own because
// each is released in its own time.
func (r *reader) element(element []byte) bool {
	msg := wire.Acquire(len(element))
	if !msg.Charge(r.conn.backend.config.Budget, int64(len(element))) {
		msg.Release()
		r.tooLong(&wire.TooLong{ID: wire.FindID(element), Size: int64(len(element)), Budget: true})
		return true
	}
	msg.B = append(msg.B, element...)
	err := r.env.Scan(msg.B)
	if err == nil && r.env.Kind == wire.Batch {
		err = errNested
	}
	if err != nil {
		r.garbage(msg.B, err)
		msg.Release()
		return true
	}
	r.deliver(msg)
	return true
}

// deliver gives msg away, and keeps no part of it alive in the envelope.
// White space between tokens may hold a carriage return, which would end a line
// of an event stream.
func (r *reader) deliver(msg *wire.Buffer) {
	if r.env.HasNewline {
		wire.Flatten(msg.B)
	}
	r.conn.receiver.Message(msg, &r.env)
	r.env.Reset()
}

var errNested = errors.New("a batch in a batch")

// garbage logs that something is no message, and not what it holds: that may
// be a user's data. Only a line that does not look like JSON is quoted, since
// it is a print statement gone astray, and the author has to find it.
func (r *reader) garbage(line []byte, reason error) {
	if dropped, ok := r.fault.pass(); ok {
		fields := []zap.Field{zap.Error(reason), zap.Int("size", len(line)), zap.Int64("dropped_lines", dropped)}
		if len(line) > 0 && line[0] != '{' && line[0] != '[' {
			fields = append(fields, zap.ByteString("begins", sanitize(line[:min(len(line), 80)])))
		}
		r.conn.log.Warn("the tool server wrote something to its standard output that is no message; it has been dropped", fields...)
	}
	r.conn.receiver.Garbage(wire.FindID(line))
}

func (r *reader) tooLong(e *wire.TooLong) {
	if dropped, ok := r.fault.pass(); ok {
		r.conn.log.Warn("a message from the tool server has been dropped; raise --max-message, or --max-bytes-in-flight where there was no room",
			zap.Error(e), zap.Int64("size", e.Size), zap.Int64("dropped_lines", dropped))
	}
	r.conn.receiver.TooLong(e.ID, e.Size)
}

// farewell is how the connection ended, nil where its owner ended it. A child
// that has closed its output is most often about to exit.
func (c *conn) farewell() error {
	timer := time.NewTimer(exitGrace)
	defer timer.Stop()
	how := ""
	select {
	case <-c.exited:
		<-c.relayed
		how = c.status.String()
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil
	case how == "":
		how = c.cause
	case c.forced:
		how = c.cause + " and was ended for that"
	}
	return &EndError{c.backend.String(), how, time.Since(c.started), c.words.lines()}
}
