package guard

import (
	"bytes"
	"crypto/rand"
	"iter"
	"strings"

	"github.com/valyala/fasthttp"
)

// viaPrefix begins the names by which gates know each other in Via.
const viaPrefix = "sidegate-"

// NewVia makes the name under which one gate sends requests to one tool server:
// a pseudonym for Via that nobody else has, and that cannot be guessed.
func NewVia() string { return viaPrefix + strings.ToLower(rand.Text()) }

// gates are the names of the gates that a request came through, as Via lists
// them (RFC 9110, section 7.6.3). They are parts of the header.
func gates(h *fasthttp.RequestHeader) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, list := range h.PeekAll(fasthttp.HeaderVia) {
			for member := range bytes.SplitSeq(list, []byte(",")) {
				_, name, _ := bytes.Cut(bytes.TrimSpace(member), []byte(" ")) // behind the protocol's version
				if bytes.HasPrefix(name, []byte(viaPrefix)) && isToken(name) && !yield(name) {
					return
				}
			}
		}
	}
}

// returns tells whether a request has been sent to the tool server of that name
// before, and has come back from it.
func returns(h *fasthttp.RequestHeader, via string) bool {
	for name := range gates(h) {
		if string(name) == via {
			return true
		}
	}
	return false
}

// appendGates appends a Via line for each of the gates, if there are any. What
// else Via says is about hosts inside.
func appendGates(dst []byte, h *fasthttp.RequestHeader) []byte {
	for name := range gates(h) {
		dst = append(append(append(dst, "Via: 1.1 "...), name...), "\r\n"...)
	}
	return dst
}
