package guard

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/refusal"
)

// Framing refuses a head that two readers could count in two ways: with lines
// that one of them takes for part of the line before, or with a body whose
// length is said twice. The HTTP server in front of the gate's handler takes
// some of these (RFC 9112, sections 2.2, 5.2 and 6.3, lets it); the tool server
// behind might take them otherwise.
func Framing(h *fasthttp.RequestHeader) *refusal.Refusal {
	if p := h.Protocol(); string(p) != "HTTP/1.1" && string(p) != "HTTP/1.0" {
		return refusal.BadHTTP.With("only HTTP/1.1 and HTTP/1.0 are spoken here")
	}
	var length, encoding bool
	for line := range bytes.SplitAfterSeq(h.RawHeaders(), []byte("\n")) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if len(line) == 0 || ok && len(text) == 0 {
			continue
		}
		name, value, colon := bytes.Cut(text, []byte(":"))
		switch {
		case !ok:
			return refusal.BadHTTP.With("a line of the request's header ends with a line feed alone")
		case !colon || !isToken(name):
			return refusal.BadHTTP.With("a line of the request's header is folded, or is no header")
		case bytes.EqualFold(name, []byte("Content-Length")):
			length = true
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			encoding = true
			if !equalFold(bytes.Trim(value, " \t"), "chunked") {
				return refusal.BadHTTP.With("chunked is the only Transfer-Encoding that is taken")
			}
		}
	}
	if length && encoding {
		return refusal.BadHTTP.With("a request has a Content-Length or a Transfer-Encoding, not both")
	}
	return nil
}
