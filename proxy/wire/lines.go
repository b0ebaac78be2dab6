package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A reader that waits holds the small chunk only; while data comes faster than
// that it borrows the large one.
const (
	smallChunk = 4 << 10
	largeChunk = 64 << 10
)

// ErrBudget is what errors.Is finds in a TooLong that was within the limit but
// for which the budget of bytes in flight had no room.
var ErrBudget = errors.New("no room for the line in the budget of bytes in flight")

// TooLong is returned by LineReader.Next for a line that was skipped.
type TooLong struct {
	ID     []byte // raw id of the response that it was, nil where none was made out
	Size   int64  // the line's own bytes, without its line break; as far as they were counted when its id was found
	Budget bool   // it was not past the limit, but the budget was full
}

func (e *TooLong) Error() string {
	if e.Budget {
		return fmt.Sprintf("a line of %d bytes was skipped: %v", e.Size, ErrBudget)
	}
	return fmt.Sprintf("a line of %d bytes is longer than the limit and was skipped", e.Size)
}

// Unwrap is ErrBudget where that was the reason.
func (e *TooLong) Unwrap() error {
	if e.Budget {
		return ErrBudget
	}
	return nil
}

// LineReader cuts a stream into lines, which end with \n or \r\n, and bounds
// what it holds of them. One goroutine may use it at a time.
// (2025-11-25, basic/transports, "stdio")
type LineReader struct {
	r      io.Reader
	max    int
	budget Budget

	small      []byte  // always there
	large      *Buffer // borrowed while busy, nil otherwise
	chunk      []byte  // one of the two
	start, end int     // what is unread in chunk
	err        error   // what r ended with

	line *Buffer // what there is of the current line, nil if nothing yet

	skipping bool // the current line is not held: it is too long, or there is no room
	reported bool // the line that is being skipped was reported before its end
	size     int64
	finder   idFinder
}

// NewLineReader returns a reader of the lines of r. A line may have max bytes,
// not counting its line break. Lines are charged to budget for as long as
// their buffers live; nil is no budget.
func NewLineReader(r io.Reader, max int, budget Budget) *LineReader {
	l := &LineReader{r: r, max: max, budget: budget, small: make([]byte, smallChunk)}
	l.chunk = l.small
	return l
}

// Next returns the next line that is not empty, without its line break, in a
// buffer that the caller owns and releases. A line that is too long, or for
// which the budget has no room, is skipped to its end without being held and
// reported once as a *TooLong, as soon as its id is known; Next then goes on
// with the line after it. Any other error is that of the reader and final. What
// came before it without a line break is returned as a line first, whole or
// not: the scan will tell.
func (l *LineReader) Next() (*Buffer, error) {
	for {
		piece, ended := l.take()
		if len(piece) > 0 {
			l.add(piece)
		}
		if !ended {
			if err := l.early(); err != nil {
				return nil, err
			}
			if l.err == nil {
				l.fill()
				continue
			}
			if l.line == nil && !l.skipping {
				l.rest()
				return nil, l.err
			}
		}
		if line, err := l.finish(); line != nil || err != nil {
			return line, err
		}
	}
}

// take returns what the chunk holds of the current line and whether the line
// ends there. A \r at the chunk's end stays, because it may be half a \r\n.
func (l *LineReader) take() (piece []byte, ended bool) {
	piece = l.chunk[l.start:l.end]
	if i := bytes.IndexByte(piece, '\n'); i >= 0 {
		l.start += i + 1
		return bytes.TrimSuffix(piece[:i], []byte{'\r'}), true
	}
	piece = bytes.TrimSuffix(piece, []byte{'\r'})
	l.start += len(piece)
	return piece, false
}

// add appends a piece to the current line, or skips it.
func (l *LineReader) add(piece []byte) {
	if !l.skipping && !l.hold(piece) {
		l.skipping = true
		if l.line != nil {
			l.size = int64(len(l.line.B))
			l.finder.feed(l.line.B)
			l.line.Release()
			l.line = nil
		}
	}
	if l.skipping {
		l.size += int64(len(piece))
		l.finder.feed(piece)
	}
}

// hold appends a piece to the current line if the limit and the budget let it.
func (l *LineReader) hold(piece []byte) bool {
	held := 0
	if l.line != nil {
		held = len(l.line.B)
	}
	if len(piece) > l.max-held {
		return false
	}
	if l.line == nil {
		l.line = Acquire(len(piece))
	}
	if !l.line.Charge(l.budget, int64(len(piece))) {
		return false
	}
	if held+len(piece) > cap(l.line.B) {
		l.line.Grow(max(len(piece), l.growth(held)))
	}
	l.line.B = append(l.line.B, piece...)
	return true
}

// growth is by how much the buffer of a long line grows: it doubles, but never
// past the limit, and goes there at once where it would come close.
func (l *LineReader) growth(held int) int {
	if 2*held > l.max-l.max/4 {
		return l.max - held
	}
	return held
}

// finish ends the current line. Both results are nil if it was empty.
func (l *LineReader) finish() (*Buffer, error) {
	if !l.skipping {
		line := l.line
		l.line = nil
		return line, nil
	}
	var err error
	if !l.reported {
		err = l.tooLong(l.finder.found())
	}
	l.skipping, l.reported, l.size, l.finder = false, false, 0, idFinder{}
	return nil, err
}

// early reports a line that is being skipped as soon as its id is known: who
// waits for it need not wait for its end, which may never come.
func (l *LineReader) early() error {
	if !l.skipping || l.reported {
		return nil
	}
	id := l.finder.found()
	if id == nil {
		return nil
	}
	l.reported = true
	return l.tooLong(id)
}

func (l *LineReader) tooLong(id []byte) error {
	return &TooLong{ID: bytes.Clone(id), Size: l.size, Budget: l.size <= int64(l.max)}
}

// fill reads on. The chunk is empty, or holds a single \r. A read that filled
// its chunk says that more is waiting, so the next takes a large one; any
// other may be followed by a long silence, and is not waited for with one.
func (l *LineReader) fill() {
	rest := copy(l.small, l.chunk[l.start:l.end])
	full := l.end == len(l.chunk)
	switch {
	case full && l.large == nil:
		l.large = Acquire(largeChunk)
		l.chunk = l.large.B[:largeChunk]
		copy(l.chunk, l.small[:rest])
	case full:
		copy(l.chunk, l.small[:rest])
	default:
		l.rest()
	}
	l.start, l.end = 0, rest

	n, err := readSome(l.r, l.chunk[rest:])
	l.end += n
	if err != nil {
		l.err = err
	}
}

// rest gives the large chunk back.
func (l *LineReader) rest() {
	l.large.Release()
	l.large = nil
	l.chunk, l.start, l.end = l.small, 0, 0
}

// readSome reads until there is something, or an error.
func readSome(r io.Reader, p []byte) (n int, err error) {
	const patience = 100 // empty reads, as in bufio
	for range patience {
		if n, err = r.Read(p); n != 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}
