package wire

import (
	"bytes"
	"io"
	"time"
)

const (
	maxFieldName = 5       // "event" and "retry": what is longer is none that is read
	maxField     = 1 << 10 // bytes kept of an event's type, id and retry
	maxRetry     = 1 << 31 // milliseconds
)

// EventReader cuts an event stream into events and bounds what it holds of
// them. One goroutine may use it at a time.
// (WHATWG HTML, "Parsing an event stream", "Interpreting an event stream")
type EventReader struct {
	text LineReader // its chunk is the stream's, its line the data of the current event
	lf   int        // where the next \n stands in the chunk; before start: not known

	bom     int  // bytes seen of a byte order mark; all of them: the stream has begun
	afterCR bool // a \n that comes now belongs to the \r before it
	part    linePart
	field   lineField
	name    []byte // of the field, as far as it has come
	value   []byte // of a field other than data
	long    bool   // value was longer than what is kept

	hasData  bool // the current event has a data line
	kind     []byte
	nextKind []byte // of the current event
	id       []byte
	nextID   []byte // as of the current event
	retry    time.Duration
}

// linePart is where in a line the reader is.
type linePart uint8

const (
	inName linePart = iota
	atSpace
	inValue
	ignored
)

// lineField is what a line says.
type lineField uint8

const (
	lineNone lineField = iota
	lineData
	lineType
	lineID
	lineRetry
)

// NewEventReader returns a reader of the events of r. The data of one may have
// max bytes; it is charged to budget for as long as its buffer lives, nil is
// no budget.
func NewEventReader(r io.Reader, max int, budget Budget) *EventReader {
	e := &EventReader{text: LineReader{max: max, budget: budget, small: make([]byte, smallChunk)}}
	e.Reset(r)
	return e
}

// Reset makes the reader begin anew with r, and gives back what it holds; with
// nil it only does that.
func (e *EventReader) Reset(r io.Reader) {
	e.drop()
	t := e.text
	*e = EventReader{
		text: LineReader{r: r, max: t.max, budget: t.budget, small: t.small, chunk: t.small},
		name: e.name[:0], value: e.value[:0], kind: e.kind[:0], nextKind: e.nextKind[:0], id: e.id[:0], nextID: e.nextID[:0],
	}
}

// Next returns the data of the next event that has any, in a buffer that the
// caller owns and releases. An event whose data is too long, or for which the
// budget has no room, is skipped to its end without being held and reported
// once as a *TooLong, as soon as its id is known; Next then goes on with the
// event after it. Any other error is that of the reader and final. An event
// that the stream's end has cut is not returned, as the standard wants it.
func (e *EventReader) Next() (*Buffer, error) {
	t := &e.text
	for {
		if t.start == t.end {
			if err := t.early(); err != nil {
				return nil, err
			}
			if t.err != nil {
				e.drop()
				return nil, t.err
			}
			t.fill()
			e.lf = -1
			continue
		}
		piece, ended := e.take()
		e.feed(piece)
		if !ended || !e.endLine() {
			continue
		}
		if data, err := e.dispatch(); data != nil || err != nil {
			return data, err
		}
	}
}

// Type is the type of the event that Next returned last, empty for "message";
// valid until the next call of Next.
func (e *EventReader) Type() []byte { return e.kind }

// ID is the last event id that the stream has given so far, with or without
// data, empty for none; valid until the next call of Next. One that is longer
// than 1 KiB counts as none.
func (e *EventReader) ID() []byte { return e.id }

// Retry is the time to wait before connecting again, as the stream has given
// it so far; 0 for none.
func (e *EventReader) Retry() time.Duration { return e.retry }

// take returns what the chunk, which is not empty, holds of the current line
// and whether the line ends there. A line that ends with \r ends at once: a \n
// that belongs to it may be long in coming.
func (e *EventReader) take() (piece []byte, ended bool) {
	t := &e.text
	if e.afterCR {
		e.afterCR = false
		if t.chunk[t.start] == '\n' {
			t.start++
			return nil, false
		}
	}
	if e.lf < t.start {
		e.lf = t.end
		if i := bytes.IndexByte(t.chunk[t.start:t.end], '\n'); i >= 0 {
			e.lf = t.start + i
		}
	}
	piece = t.chunk[t.start:e.lf]
	if i := bytes.IndexByte(piece, '\r'); i >= 0 {
		e.afterCR = true
		t.start += i + 1
		return piece[:i], true
	}
	ended = e.lf < t.end
	t.start = min(e.lf+1, t.end)
	return piece, ended
}

// feed goes on with the next piece of the current line.
func (e *EventReader) feed(piece []byte) {
	if e.bom < len(utf8BOM) && len(piece) > 0 {
		piece = e.begin(piece)
	}
	if e.part == inName {
		piece = e.feedName(piece)
	}
	if e.part == atSpace && len(piece) > 0 {
		e.part = inValue
		if piece[0] == ' ' {
			piece = piece[1:]
		}
	}
	if e.part != inValue || len(piece) == 0 {
		return
	}
	if e.field == lineData {
		e.text.add(piece)
		return
	}
	kept := min(len(piece), maxField-len(e.value))
	e.value = append(e.value, piece[:kept]...)
	e.long = e.long || kept < len(piece)
}

const utf8BOM = "\xef\xbb\xbf"

// begin takes a byte order mark off the stream's beginning. What only begins
// like one is a field that nobody knows.
func (e *EventReader) begin(piece []byte) []byte {
	for len(piece) > 0 && e.bom < len(utf8BOM) {
		if piece[0] != utf8BOM[e.bom] {
			if e.bom > 0 {
				e.part = ignored
			}
			e.bom = len(utf8BOM)
			return piece
		}
		e.bom++
		piece = piece[1:]
	}
	return piece
}

// feedName reads the field's name, as far as it could be one that is known,
// and returns what comes after its colon.
func (e *EventReader) feedName(piece []byte) []byte {
	n := bytes.IndexByte(piece[:min(len(piece), maxFieldName+1)], ':')
	name, colon := piece, n >= 0
	if colon {
		name = piece[:n]
	}
	if len(e.name)+len(name) > maxFieldName {
		e.part = ignored
		return nil
	}
	e.name = append(e.name, name...)
	if !colon {
		return nil
	}
	e.endName()
	return piece[n+1:]
}

// endName learns what the line says. An empty name is a comment's.
func (e *EventReader) endName() {
	e.part = atSpace
	switch string(e.name) {
	case "data":
		e.field = lineData
		if e.hasData {
			e.text.add([]byte{'\n'})
		}
		e.hasData = true
	case "event":
		e.field = lineType
	case "id":
		e.field = lineID
	case "retry":
		e.field = lineRetry
	default:
		e.part = ignored
	}
}

// endLine ends the current line and tells whether it was the empty one that
// ends an event.
func (e *EventReader) endLine() (empty bool) {
	if e.bom > 0 && e.bom < len(utf8BOM) {
		e.part = ignored
	}
	e.bom = len(utf8BOM)
	if e.part == inName {
		if len(e.name) == 0 {
			return true
		}
		e.endName() // a name alone is a field with an empty value
	}
	if e.part != ignored {
		e.endField()
	}
	e.part, e.field, e.name, e.value, e.long = inName, lineNone, e.name[:0], e.value[:0], false
	return false
}

func (e *EventReader) endField() {
	switch e.field {
	case lineType:
		e.nextKind = append(e.nextKind[:0], e.value...)
	case lineID:
		if e.long {
			e.value = e.value[:0] // better none than one that names another event
		}
		if bytes.IndexByte(e.value, 0) < 0 {
			e.nextID = append(e.nextID[:0], e.value...)
		}
	case lineRetry:
		if ms, ok := e.milliseconds(); ok {
			e.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

// milliseconds reads value, digits and nothing else.
func (e *EventReader) milliseconds() (ms int64, ok bool) {
	for _, c := range e.value {
		if c < '0' || c > '9' {
			return 0, false
		}
		ms = min(10*ms+int64(c-'0'), maxRetry)
	}
	return ms, len(e.value) > 0 && !e.long
}

// dispatch ends the current event. Both results are nil if it had no data.
func (e *EventReader) dispatch() (*Buffer, error) {
	e.hasData = false
	e.id = append(e.id[:0], e.nextID...)
	e.kind, e.nextKind = e.nextKind, e.kind[:0]
	return e.text.finish()
}

// drop gives back what is held of the stream.
func (e *EventReader) drop() {
	t := &e.text
	t.line.Release()
	t.line = nil
	t.rest()
}
