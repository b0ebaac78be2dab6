package drive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// patience is how long a caller waits for an answer.
const patience = 60 * time.Second

// A conn is a connection on which responses are read with as little as will
// do: framing by length, by chunks or by the end of the connection.
type conn struct {
	net.Conn
	buf  []byte
	r, w int    // what has been read and not used is buf[r:w]
	body []byte // where chunks are joined

	armed time.Time // when a caller has moved the deadline last
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, buf: make([]byte, 4<<10)}, nil
}

// A response is valid until the next one is read.
type response struct {
	status  int
	session []byte // Mcp-Session-Id
	events  bool   // the body is an event stream
	last    bool   // the connection ends with it
	body    []byte

	length  int // -1: not given
	chunked bool
}

// read reads a whole response.
func (c *conn) read(resp *response) error {
	if err := c.head(resp); err != nil {
		return err
	}
	return c.rest(resp)
}

// rest reads the body of a response whose head has been read. The head's
// slices are not valid behind it.
func (c *conn) rest(resp *response) error {
	var err error
	switch {
	case resp.status == 101 || resp.status == 204 || resp.status == 304:
		resp.body = nil
	case resp.chunked:
		resp.body, err = c.chunks()
	case resp.length >= 0:
		resp.body, err = c.take(resp.length)
	default:
		resp.body, err = c.untilEnd()
	}
	return err
}

// head reads the head of a response.
func (c *conn) head(resp *response) error {
	head, err := c.upTo([]byte("\r\n\r\n"))
	if err != nil {
		return err
	}
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return fmt.Errorf("no response: %.60q", head)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return err
	}
	*resp = response{status: status, length: -1}
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		resp.field(name, bytes.TrimSpace(value))
	}
	return nil
}

// field takes in a field of the head. Lengths are compared first because most
// fields do not matter.
func (r *response) field(name, value []byte) {
	switch len(name) {
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			r.length, _ = strconv.Atoi(string(value))
		} else if bytes.EqualFold(name, []byte("Mcp-Session-Id")) {
			r.session = value
		}
	case len("Content-Type"):
		if bytes.EqualFold(name, []byte("Content-Type")) {
			r.events = bytes.HasPrefix(value, []byte("text/event-stream"))
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			r.chunked = bytes.EqualFold(value, []byte("chunked"))
		}
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) {
			r.last = bytes.EqualFold(value, []byte("close"))
		}
	}
}

// upTo reads what comes up to and with mark. It is valid until the next read.
func (c *conn) upTo(mark []byte) ([]byte, error) {
	for from := c.r; ; {
		if i := bytes.Index(c.buf[from:c.w], mark); i >= 0 {
			end := from + i + len(mark)
			found := c.buf[c.r:end]
			c.r = end
			return found, nil
		}
		ahead := max(c.w-c.r-len(mark), 0)
		if err := c.fill(1); err != nil {
			return nil, err
		}
		from = c.r + ahead
	}
}

// take reads n bytes, valid until the next read.
func (c *conn) take(n int) ([]byte, error) {
	for c.w-c.r < n {
		if err := c.fill(n - (c.w - c.r)); err != nil {
			return nil, err
		}
	}
	c.r += n
	return c.buf[c.r-n : c.r], nil
}

// fill reads more, with room for n bytes at least.
func (c *conn) fill(n int) error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	if len(c.buf)-c.w < n {
		kept := c.buf[c.r:c.w]
		if len(kept)+n > len(c.buf) {
			c.buf = make([]byte, max(len(kept)+n, 2*len(c.buf)))
		}
		c.r, c.w = 0, copy(c.buf, kept)
	}
	got, err := c.Read(c.buf[c.w:])
	c.w += got
	if got > 0 {
		return nil
	}
	return err
}

// chunks reads a chunked body.
func (c *conn) chunks() ([]byte, error) {
	c.body = c.body[:0]
	for {
		data, err := c.chunk()
		if err != nil || data == nil {
			return c.body, err
		}
		c.body = append(c.body, data...)
	}
}

// chunk reads one chunk, valid until the next read; nil for the last.
func (c *conn) chunk() ([]byte, error) {
	line, err := c.upTo([]byte("\r\n"))
	if err != nil {
		return nil, err
	}
	size, _, _ := bytes.Cut(line[:len(line)-2], []byte(";"))
	n, err := strconv.ParseInt(string(size), 16, 32)
	if err != nil {
		return nil, fmt.Errorf("no chunk: %.40q", line)
	}
	data, err := c.take(int(n) + 2) // trailers nobody sends
	if err != nil || n == 0 {
		return nil, err
	}
	return data[:n], nil
}

func (c *conn) untilEnd() ([]byte, error) {
	c.body = append(c.body[:0], c.buf[c.r:c.w]...)
	c.r, c.w = 0, 0
	for {
		n, err := c.Read(c.buf)
		c.body = append(c.body, c.buf[:n]...)
		if errors.Is(err, io.EOF) {
			return c.body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
