package inject

import (
	"bytes"
	"errors"
	"fmt"
)

// A document is one of a stream's, with the separator before it. All texts of
// a stream together are the stream.
type document struct {
	text   []byte
	number int // counts from 1
	first  int // the number of its first line in the stream, from 1
}

// line is the stream's number of a line of the document, from 1.
func (d document) line(n int) int { return d.first + n - 1 }

// split cuts a stream where a line begins with --- or has ended with "...":
// no scalar may hold such a line at its beginning (YAML 1.2, 9.1.2). Comments
// and directives before a --- are its document's.
func split(stream []byte) []document {
	var all []document
	start, line, first := 0, 1, 1
	begun := false // whether there is more in it than comments and directives
	cut := func(at int) {
		if at > start {
			all = append(all, document{stream[start:at], len(all) + 1, first})
			start, first, begun = at, line, false
		}
	}
	at := 0
	for text := range bytes.Lines(stream) {
		if begun && isSeparator(text, "---") {
			cut(at)
		}
		begun = begun || !isPreamble(text)
		at += len(text)
		line++
		if isSeparator(text, "...") {
			cut(at)
		}
	}
	cut(len(stream))
	return all
}

func isSeparator(line []byte, mark string) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimPrefix(line, bom), []byte(mark))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// isPreamble tells a line that may stand before a document.
func isPreamble(line []byte) bool {
	line = bytes.TrimSpace(bytes.TrimPrefix(line, bom))
	return len(line) == 0 || line[0] == '#' || line[0] == '%'
}

var bom = []byte("\xef\xbb\xbf")

// A lineError is wrong at a line of its document.
type lineError struct {
	line int // in the document, from 1; 0: unknown
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

// locate says in which document and line of the stream err is.
func (d document) locate(err error) error {
	var at *lineError
	if errors.As(err, &at) && at.line > 0 {
		return fmt.Errorf("document %d, line %d: %w", d.number, d.line(at.line), err)
	}
	return fmt.Errorf("document %d, from line %d: %w", d.number, d.first, err)
}
