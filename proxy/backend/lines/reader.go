package lines

import (
	"bytes"
	"errors"
	"io"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"sidegate/proxy/wire"
)

// maxBatch is how many messages are taken out of one batch. Each one costs at
// least a small buffer, however short it is.
const maxBatch = 1000

// A Receiver takes what a Reader reads: the part of backend.Receiver that lines
// have. The Reader's goroutine calls it, one call at a time.
type Receiver interface {
	Message(msg *wire.Buffer, env *wire.Envelope)
	TooLong(id []byte, size int64)
	Garbage(id []byte)
}

// Options say what a Reader lets through and how it names who writes.
type Options struct {
	MaxMessage int         // bytes of a line, without its end
	Budget     wire.Budget // charged for every message until its release; nil for none
	Log        *zap.Logger // what was no message is noted here, a little of it

	// Sender names in the log who writes, as in "the tool server"; Where ends
	// "the tool server wrote something", as in " to its standard output".
	Sender, Where string
}

// Reader turns lines into messages.
type Reader struct {
	options  Options
	receiver Receiver
	lines    *wire.LineReader
	env      wire.Envelope
	fault    *Throttle
}

// NewReader makes a reader of the lines of r. Nothing is read before Run.
func NewReader(r io.Reader, receiver Receiver, o Options) *Reader {
	return &Reader{
		options:  o,
		receiver: receiver,
		lines:    wire.NewLineReader(r, o.MaxMessage, o.Budget),
		fault:    NewThrottle(rate.Every(time.Second), 5),
	}
}

// Run hands messages to the receiver until r ends, and returns r's error,
// io.EOF where it came to its end.
func (r *Reader) Run() error {
	defer r.fault.Rest(r.options.Log)
	for {
		line, err := r.lines.Next()
		if err == nil {
			r.take(line)
			continue
		}
		tooLong, ok := errors.AsType[*wire.TooLong](err)
		if !ok {
			return err
		}
		r.tooLong(tooLong)
	}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// take hands one line on. An array is a batch, as servers of 2025-03-26 and
// before may send it, and is taken apart.
func (r *Reader) take(line *wire.Buffer) {
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
func (r *Reader) element(element []byte) bool {
	msg := wire.Acquire(len(element))
	if !msg.Charge(r.options.Budget, int64(len(element))) {
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
func (r *Reader) deliver(msg *wire.Buffer) {
	if r.env.HasNewline {
		wire.Flatten(msg.B)
	}
	r.receiver.Message(msg, &r.env)
	r.env.Reset()
}

var errNested = errors.New("a batch in a batch")

// garbage logs that something is no message, and not what it holds: that may
// be a user's data. Only a line that does not look like JSON is quoted, since
// it is a print statement gone astray, and the author has to find it.
func (r *Reader) garbage(line []byte, reason error) {
	if dropped, ok := r.fault.Pass(); ok {
		fields := []zap.Field{zap.Error(reason), zap.Int("size", len(line)), zap.Int64("dropped_lines", dropped)}
		if len(line) > 0 && line[0] != '{' && line[0] != '[' {
			fields = append(fields, zap.ByteString("begins", Sanitize(line[:min(len(line), 80)])))
		}
		r.options.Log.Warn(r.options.Sender+" wrote something"+r.options.Where+" that is no message; it has been dropped", fields...)
	}
	r.receiver.Garbage(wire.FindID(line))
}

func (r *Reader) tooLong(e *wire.TooLong) {
	if dropped, ok := r.fault.Pass(); ok {
		r.options.Log.Warn("a message from "+r.options.Sender+" has been dropped; raise --max-message, or --max-bytes-in-flight where there was no room",
			zap.Error(e), zap.Int64("size", e.Size), zap.Int64("dropped_lines", dropped))
	}
	r.receiver.TooLong(e.ID, e.Size)
}
