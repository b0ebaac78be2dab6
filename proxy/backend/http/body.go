package http

import (
	"bufio"
	"bytes"
	"io"
)

const (
	maxChunkLine  = 256     // bytes of the line before a chunk, extensions included
	maxTrailer    = 4 << 10 // bytes of the headers after the last chunk
	maxSizeDigits = 16      // of a chunk's size, leading zeros included
	maxChunkSize  = 1 << 40
)

// body is a response's body, as strictly framed as its head. (RFC 9112, 7)
type body struct {
	r       *bufio.Reader
	chunked bool
	open    bool  // it ends with the connection
	left    int64 // bytes of the body, or of the current chunk
	begun   bool  // a chunk came before
	over    bool  // it was read to its end
	err     error
}

// start begins the body that follows h.
func (b *body) start(r *bufio.Reader, h *head, method string) {
	*b = body{r: r, chunked: h.chunked, left: h.length}
	switch {
	case h.bodiless(method):
		b.over = true
	case h.chunked:
		b.left = 0
	case h.length < 0:
		b.open = true
		h.closes = true
	case h.length == 0:
		b.over = true
	}
}

// Read reads the body; io.EOF is its end. A body that is cut is an
// io.ErrUnexpectedEOF, one whose chunks cannot be trusted a misframed.
func (b *body) Read(p []byte) (n int, err error) {
	if b.over {
		return 0, io.EOF
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.open {
		n, err = b.r.Read(p)
		b.over = err == io.EOF
		return n, err
	}
	if b.left == 0 { // only of a chunk
		if b.err = b.nextChunk(); b.err != nil {
			return 0, b.err
		}
		if b.over {
			return 0, io.EOF
		}
	}
	n, err = b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil {
		b.err = noEOF(err)
		if n > 0 {
			return n, nil
		}
		return 0, b.err
	}
	b.over = b.left == 0 && !b.chunked
	return n, nil
}

// nextChunk reads the line before a chunk, and what follows the last one.
func (b *body) nextChunk() error {
	if b.begun {
		if line, err := b.line(); err != nil || len(line) > 0 {
			return orMisframed(err, "a chunk is longer than it says")
		}
	}
	b.begun = true
	line, err := b.line()
	if err != nil {
		return err
	}
	digits := 0
	for digits < len(line) && hexDigit(line[digits]) >= 0 && b.left < maxChunkSize {
		b.left = 16*b.left + int64(hexDigit(line[digits]))
		digits++
	}
	if digits == 0 || digits > maxSizeDigits || digits < len(line) && line[digits] != ';' || !plain(line) {
		b.left = 0
		return misframed("a chunk does not begin with its size")
	}
	if b.left == 0 {
		return b.trailer()
	}
	return nil
}

func (b *body) trailer() error {
	for size := 0; size < maxTrailer; {
		line, err := b.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			b.over = true
			return nil
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		if !found || !token(name) || !plain(value) {
			return misframed("what follows its last chunk are no headers")
		}
		size += len(line) + len("\r\n")
	}
	return misframed("too much follows its last chunk")
}

// line reads a line among the chunks, without its end.
func (b *body) line() ([]byte, error) {
	line, err := b.r.ReadSlice('\n')
	if err != nil {
		if err == bufio.ErrBufferFull { //nolint:errorlint // a Reader returns it bare
			return nil, misframed("a line among its chunks is too long")
		}
		return nil, noEOF(err)
	}
	n := len(line) - 2
	if n < 0 || line[n] != '\r' {
		return nil, misframed("a line among its chunks ends with a line feed alone")
	}
	if n > maxChunkLine {
		return nil, misframed("a line among its chunks is too long")
	}
	return line[:n], nil
}

func orMisframed(err error, text string) error {
	if err != nil {
		return err
	}
	return misframed(text)
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
