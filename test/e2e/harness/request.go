package harness

import (
	"bytes"
	"fmt"
	"strings"
)

// Request is one HTTP request, to be written as it stands: header fields in
// their order, twice if given twice.
type Request struct {
	Method  string
	Target  string
	Proto   string
	Chunked bool // send the body in chunks instead of with Content-Length
	Body    []byte

	fields [][2]string
}

// Post is a well-formed POST of one message.
func Post(body string) *Request {
	r := &Request{Method: "POST", Target: "/mcp", Proto: "HTTP/1.1", Body: []byte(body)}
	return r.Add("Content-Type", "application/json").Add("Accept", "application/json, text/event-stream")
}

// Get is a well-formed GET for a session's stream.
func Get() *Request {
	r := &Request{Method: "GET", Target: "/mcp", Proto: "HTTP/1.1"}
	return r.Add("Accept", "text/event-stream")
}

// Delete is a well-formed DELETE.
func Delete() *Request { return &Request{Method: "DELETE", Target: "/mcp", Proto: "HTTP/1.1"} }

// Bare is a request with nothing but its method and target.
func Bare(method, target string) *Request {
	return &Request{Method: method, Target: target, Proto: "HTTP/1.1"}
}

// Add adds a header field after those that are there.
func (r *Request) Add(name, value string) *Request {
	r.fields = append(r.fields, [2]string{name, value})
	return r
}

// Drop takes a header field out, every one of that name.
func (r *Request) Drop(name string) *Request {
	kept := r.fields[:0]
	for _, f := range r.fields {
		if !strings.EqualFold(f[0], name) {
			kept = append(kept, f)
		}
	}
	r.fields = kept
	return r
}

// Set is Drop and then Add.
func (r *Request) Set(name, value string) *Request { return r.Drop(name).Add(name, value) }

// has tells whether a header field is there.
func (r *Request) has(name string) bool {
	for _, f := range r.fields {
		if strings.EqualFold(f[0], name) {
			return true
		}
	}
	return false
}

// Head is the request's first line and header block, with Host and the
// framing of the body added where the request does not give its own.
func (r *Request) Head(host string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\n", r.Method, r.Target, r.Proto)
	if !r.has("Host") {
		fmt.Fprintf(&b, "Host: %s\r\n", host)
	}
	for _, f := range r.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	switch {
	case r.has("Content-Length") || r.has("Transfer-Encoding"):
	case r.Chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	case len(r.Body) > 0 || r.Method == "POST":
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.Body))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// Bytes is the whole request on the wire.
func (r *Request) Bytes(host string) []byte {
	b := r.Head(host)
	if !r.Chunked {
		return append(b, r.Body...)
	}
	return append(AppendChunks(b, r.Body, 64<<10), "0\r\n\r\n"...)
}

// AppendChunks appends body in chunks of at most size bytes, without the last
// chunk that ends it.
func AppendChunks(dst, body []byte, size int) []byte {
	for len(body) > 0 {
		n := min(size, len(body))
		dst = fmt.Appendf(dst, "%x\r\n", n)
		dst = append(dst, body[:n]...)
		dst = append(dst, "\r\n"...)
		body = body[n:]
	}
	return dst
}
