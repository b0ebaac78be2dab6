package http

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	maxHead    = 64 << 10 // bytes of a response's head
	maxInterim = 8        // 1xx responses before the response
)

// misframed is a response that two readers could end in two places, or that is
// no HTTP. Its connection is not used again.
type misframed string

func (e misframed) Error() string {
	return "the tool server's HTTP response cannot be trusted: " + string(e)
}

// head is a response's head. Its memory is used again; slices of it are valid
// until the next read.
type head struct {
	buf    []byte
	fields []field

	minor  byte // of the version HTTP/1.x
	status int

	length    int64 // of the body, -1 where it is not given
	hasLength bool
	chunked   bool
	hasCoding bool
	closes    bool // the connection ends with the response
	keeps     bool // the server says that it keeps the connection
	keepTime  time.Duration

	kind    []byte // Content-Type
	session []byte // Mcp-Session-Id
	encoded bool   // it has a Content-Encoding
}

// field is a header line: where its name and its value stand in buf.
type field struct{ name, colon, value, end int }

func (h *head) nameOf(f field) []byte  { return h.buf[f.name:f.colon] }
func (h *head) valueOf(f field) []byte { return h.buf[f.value:f.end] }

// read reads a response's head, past those that only say that one will come.
// An error is a misframed or that of r; io.EOF: nothing came at all.
func (h *head) read(r *bufio.Reader) error {
	h.buf = h.buf[:0]
	for range maxInterim {
		*h = head{buf: h.buf, fields: h.fields[:0], length: -1}
		if err := h.statusLine(r); err != nil {
			return err
		}
		if err := h.headerLines(r); err != nil {
			return err
		}
		switch {
		case h.status == 101:
			return misframed("it switches protocols (status 101), which nobody asked for")
		case h.status >= 200:
			return h.frame()
		}
	}
	return misframed("too many responses with status 1xx come before the one that was asked for")
}

// line appends the next line of the head to buf and returns where it stands,
// without its end.
func (h *head) line(r *bufio.Reader) (start, end int, err error) {
	start = len(h.buf)
	for {
		piece, err := r.ReadSlice('\n')
		h.buf = append(h.buf, piece...)
		if len(h.buf) > maxHead {
			return 0, 0, misframed(fmt.Sprintf("its head is longer than %d KiB", maxHead>>10))
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) && len(h.buf) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, 0, err
		}
	}
	end = len(h.buf) - 2
	if end < start || h.buf[end] != '\r' {
		return 0, 0, misframed("a line of its head ends with a line feed alone")
	}
	return start, end, nil
}

// statusLine reads "HTTP/1.1 200 OK". (RFC 9112, 4)
func (h *head) statusLine(r *bufio.Reader) error {
	start, end, err := h.line(r)
	if err != nil {
		return err
	}
	line := h.buf[start:end]
	const form = len("HTTP/1.x 200")
	if len(line) < form || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' ||
		len(line) > form && line[form] != ' ' || !plain(line[form:]) {
		return misframed("it does not begin with a status line of HTTP/1.0 or HTTP/1.1")
	}
	for _, c := range line[9:form] {
		if c < '0' || c > '9' {
			return misframed("its status is no number")
		}
		h.status = 10*h.status + int(c-'0')
	}
	if h.status < 100 || h.status > 599 {
		return misframed("its status is none")
	}
	h.minor = line[7]
	return nil
}

// headerLines reads up to the empty line. (RFC 9112, 5)
func (h *head) headerLines(r *bufio.Reader) error {
	for {
		start, end, err := h.line(r)
		if err != nil || start == end {
			return noEOF(err)
		}
		line := h.buf[start:end]
		colon := bytes.IndexByte(line, ':')
		switch {
		case line[0] == ' ' || line[0] == '\t':
			return misframed("a header is folded over two lines")
		case colon < 0 || !token(line[:colon]):
			return misframed("a line of its head is no header")
		case !plain(line[colon+1:]):
			return misframed("a header has a control character in it")
		}
		f := field{name: start, colon: start + colon, value: start + colon + 1, end: end}
		for f.value < f.end && blank(h.buf[f.value]) {
			f.value++
		}
		for f.value < f.end && blank(h.buf[f.end-1]) {
			f.end--
		}
		h.fields = append(h.fields, f)
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frame learns from the headers how the body ends and what else is read of
// them. (RFC 9112, 6.3)
func (h *head) frame() error {
	for _, f := range h.fields {
		if err := h.learn(h.nameOf(f), h.valueOf(f)); err != nil {
			return err
		}
	}
	switch {
	case h.hasCoding && h.hasLength:
		return misframed("it has both Transfer-Encoding and Content-Length")
	case h.hasCoding && h.minor == '0':
		return misframed("it has a Transfer-Encoding and is HTTP/1.0")
	case h.status == 204 && (h.hasCoding || h.length > 0):
		return misframed("it has the status 204 and a body")
	}
	if h.minor == '0' && !h.keeps {
		h.closes = true
	}
	return nil
}

func (h *head) learn(name, value []byte) error {
	switch {
	case is(name, "Content-Length"):
		n, ok := number(value)
		if !ok || h.hasLength && n != h.length {
			return misframed("its Content-Length is no number, or there are several")
		}
		h.length, h.hasLength = n, true
	case is(name, "Transfer-Encoding"):
		if h.hasCoding || !is(value, "chunked") {
			return misframed("its Transfer-Encoding is not chunked, or there are several")
		}
		h.chunked, h.hasCoding = true, true
	case is(name, "Connection"):
		h.closes = h.closes || lists(value, "close")
		h.keeps = h.keeps || lists(value, "keep-alive")
	case is(name, "Keep-Alive"):
		h.keepTime = keepTime(value)
	case is(name, "Content-Encoding"):
		h.encoded = h.encoded || len(value) > 0 && !is(value, "identity")
	case is(name, "Content-Type"):
		if h.kind != nil {
			return misframed("it has several Content-Types")
		}
		h.kind = value
	case is(name, "Mcp-Session-Id"):
		if h.session != nil {
			return misframed("it has several session ids")
		}
		h.session = value
	}
	return nil
}

// bodiless tells whether no body follows, whatever the headers say.
func (h *head) bodiless(method string) bool {
	return h.status == 204 || h.status == 304 || method == "HEAD"
}

// idle is how long the connection may be kept unused; -1: not at all.
func (h *head) idle() time.Duration {
	if h.keepTime != 0 {
		return h.keepTime
	}
	return idleTime
}

// isType tells whether the body is of a media type, whatever its parameters.
func (h *head) isType(media string) bool {
	kind, _, _ := bytes.Cut(h.kind, []byte{';'})
	return is(bytes.TrimRight(kind, " \t"), media)
}

// maxDigits are those of a length that is believed: more than any message has.
const maxDigits = 15

// number reads a length: digits and nothing else.
func number(value []byte) (n int64, ok bool) {
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, len(value) > 0 && len(value) <= maxDigits
}

// keepTime is how long a server that says "timeout=5" keeps a connection, less
// a while for what is on its way; -1 for not long enough.
func keepTime(value []byte) time.Duration {
	for part := range bytes.SplitSeq(value, []byte{','}) {
		name, seconds, _ := bytes.Cut(bytes.TrimSpace(part), []byte{'='})
		if n, ok := number(seconds); ok && is(name, "timeout") {
			if n <= 1 {
				return -1
			}
			return time.Duration(min(n-1, int64(maxIdleTime/time.Second))) * time.Second
		}
	}
	return 0
}

// lists tells whether a list of tokens has one.
func lists(value []byte, token string) bool {
	for part := range bytes.SplitSeq(value, []byte{','}) {
		if is(bytes.TrimSpace(part), token) {
			return true
		}
	}
	return false
}

// is compares as HTTP compares names: in ASCII, without case.
func is(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// plain tells whether there is no control character but the tab.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// token tells whether name is a header's name. (RFC 9110, 5.6.2)
func token(name []byte) bool {
	for _, c := range name {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return len(name) > 0
}
