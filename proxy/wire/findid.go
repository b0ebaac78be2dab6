package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// maxFoundID is how many bytes an id may have to be found, quotes included;
// the gate's own ids, which servers send back, are far shorter.
const maxFoundID = 256

// FindID returns the raw id of the response that a line seems to be, although
// it was refused: it may be cut, too long, or invalid. nil is returned where
// none stands at the top level, where two do, and where the line is no answer
// (has no "result" and no "error", or a "method"). The id is a copy.
func FindID(line []byte) []byte {
	var f idFinder
	f.feed(line)
	return f.found()
}

// idFinder looks for the id of a response in a line that nobody will read. It
// takes the line in pieces and holds nothing of it but the id, which may stand
// anywhere at the top level: TypeScript servers write it last. It follows
// strings and brackets and leaves all else unjudged. The zero value is ready
// for a new line.
type idFinder struct {
	over     bool // the object has ended, or the line never was one
	depth    int  // open containers
	inString bool
	escape   bool // the byte before was a backslash in a string
	inValue  bool // past the colon of a top-level member

	taking bool // bytes go to taken: a top-level key, or the value of "id"
	n      int  // bytes taken; more than fit: too long
	taken  [maxFoundID]byte

	ids    int // how many there were
	id     []byte
	call   bool // there was a method
	answer bool // there was a result or an error
}

// feed goes on with the next piece of the line.
func (f *idFinder) feed(piece []byte) {
	for i := 0; i < len(piece) && !f.over; i++ {
		if f.inString {
			if !f.taking && !f.escape {
				i += plainPrefix(piece[i:])
				if i == len(piece) {
					return
				}
			}
			f.stringByte(piece[i])
		} else {
			f.tokenByte(piece[i])
		}
	}
}

// found is the id that was made out, nil if there is none or more than one.
func (f *idFinder) found() []byte {
	if f.ids != 1 || !f.answer || f.call {
		return nil
	}
	return f.id
}

// plainPrefix is how many bytes come before the next quote or backslash.
func plainPrefix(b []byte) int {
	i := 0
	for ; i <= len(b)-wordBytes; i += wordBytes {
		w := binary.LittleEndian.Uint64(b[i:])
		if m := zeroByte(w^quotes) | zeroByte(w^slashes); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// zeroByte marks, by its high bit, the first byte of w that is zero. Marks
// above it may be false.
func zeroByte(w uint64) uint64 { return (w - ones) &^ w & highs }

func (f *idFinder) stringByte(c byte) {
	f.take(c)
	switch {
	case f.escape:
		f.escape = false
	case c == '\\':
		f.escape = true
	case c == '"':
		f.inString = false
		if f.depth == 1 && !f.inValue {
			f.taking = false
		}
	}
}

func (f *idFinder) tokenByte(c byte) {
	if f.depth == 0 && c != '{' {
		f.over = c > ' '
		return
	}
	switch {
	case c == ':' && f.depth == 1 && !f.inValue:
		f.endKey()
		return
	case c == ',' && f.depth == 1:
		f.endValue()
		return
	case c == '"':
		f.inString = true
		if f.depth == 1 && !f.inValue {
			f.taking, f.n = true, 0
		}
	case c == '{' || c == '[':
		f.depth++
	case c == '}' || c == ']':
		if f.depth--; f.depth == 0 {
			f.endValue()
			f.over = true
			return
		}
	}
	f.take(c)
}

// take keeps c of a key or an id, as far as there is room.
func (f *idFinder) take(c byte) {
	if !f.taking {
		return
	}
	if f.n < len(f.taken) {
		f.taken[f.n] = c
	}
	f.n++
}

// endKey learns which member the value that follows belongs to.
func (f *idFinder) endKey() {
	f.inValue = true
	switch string(f.token()) {
	case `"id"`:
		f.taking = true
	case `"method"`:
		f.call = true
	case `"result"`, `"error"`:
		f.answer = true
	}
	f.n = 0
}

// endValue keeps the value if it was an id.
func (f *idFinder) endValue() {
	if f.taking && f.inValue {
		f.ids++
		if id := bytes.TrimSpace(f.token()); validID(id) {
			f.id = bytes.Clone(id)
		}
	}
	f.inValue, f.taking, f.n = false, false, 0
}

// token is what was taken, nil if it was too long.
func (f *idFinder) token() []byte {
	if f.n > len(f.taken) {
		return nil
	}
	return f.taken[:f.n]
}
