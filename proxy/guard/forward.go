package guard

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/mcp"
)

// notForwarded are the headers of a request that end at the gate: those that
// belong to the connection (RFC 9110, section 7.6.1), those that say how the
// message is framed, which is done anew, those that the gate sets itself, and
// those by which hosts inside tell each other who the client is.
var notForwarded = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "Http2-Settings": true,
	"Content-Length": true, "Content-Type": true, "Expect": true,
	"Host": true, "Origin": true,
	"Mcp-Session-Id": true, "Mcp-Protocol-Version": true, "Mcp-Method": true, "Mcp-Name": true, "Last-Event-Id": true,
	"Forwarded": true, "Via": true, "X-Real-Ip": true, "X-Client-Ip": true, "True-Client-Ip": true, "X-Cluster-Client-Ip": true, "Cf-Connecting-Ip": true, "Fastly-Client-Ip": true, "X-Original-Url": true, "X-Rewrite-Url": true, "X-Http-Method-Override": true, "X-Http-Method": true, "X-Method-Override": true,
}

// ofMessages are those that the gate sets by itself for a message only. A body
// that is passed as it is keeps what the client says of it, and the response is
// what the client asked for.
var ofMessages = map[string]bool{"Content-Encoding": true, "Accept": true, "Accept-Encoding": true}

// notForwardedBeginnings are beginnings of such names.
var notForwardedBeginnings = []string{"Proxy-", "X-Forwarded-", "Sec-Websocket-", "Sidegate-"}

// AppendForwarded appends the header lines of a message's request that a tool
// server is to see, each ended by CRLF: the end-to-end ones, the gates that it
// came through in Via, and the client's address in X-Forwarded-For. Authorization
// is among them where the gate itself asks for no token; else it is the gate's,
// and no server may learn it.
func (g *Guard) AppendForwarded(dst []byte, h *fasthttp.RequestHeader, v *Visitor) []byte {
	return g.appendHeader(dst, h, v, ofMessages)
}

// AppendPassed is AppendForwarded for a request whose body is passed as it is,
// and so is the response's: what says how they are, or should be, is among the
// lines, but for the Content-Type.
func (g *Guard) AppendPassed(dst []byte, h *fasthttp.RequestHeader, v *Visitor) []byte {
	return g.appendHeader(dst, h, v, nil)
}

// AppendParams appends the Mcp-Param-* header lines of a modern request alone,
// each ended by CRLF: they are checked against the body also where the tool
// server is not spoken to over HTTP. One whose value no header may have is left
// out, and missed by that check.
func AppendParams(dst []byte, h *fasthttp.RequestHeader) []byte {
	for key, value := range h.All() {
		if isParam(key) && isToken(key) && isFieldValue(value) {
			dst = append(append(append(append(dst, key...), ": "...), value...), "\r\n"...)
		}
	}
	return dst
}

// isParam tells whether a header says an argument of a call. What follows the
// prefix is named by a tool's schema, and may have any character of a token.
func isParam(key []byte) bool { return bytes.HasPrefix(key, []byte(mcp.HeaderParam)) }

func (g *Guard) appendHeader(dst []byte, h *fasthttp.RequestHeader, v *Visitor, but map[string]bool) []byte {
	hop := h.PeekAll(fasthttp.HeaderConnection)
	for key, value := range h.All() {
		name := string(key)
		switch {
		case !isToken(key) || !isFieldValue(value):
		case bytes.IndexByte(key, '_') >= 0 && !isParam(key): // some servers read _ as -
		case notForwarded[name] || but[name] || hasBeginning(name) || namedIn(hop, name):
		case name == fasthttp.HeaderAuthorization && g.tokens != nil:
		default:
			dst = append(append(append(append(dst, key...), ": "...), value...), "\r\n"...)
		}
	}
	dst = appendGates(dst, h)
	if v.Address.IsValid() {
		dst = append(dst, "X-Forwarded-For: "...)
		dst = append(v.Address.AppendTo(dst), "\r\n"...)
	}
	return dst
}

func hasBeginning(name string) bool {
	for _, b := range notForwardedBeginnings {
		if strings.HasPrefix(name, b) {
			return true
		}
	}
	return false
}

// namedIn tells whether a Connection header makes name one of the connection.
func namedIn(connection [][]byte, name string) bool {
	for _, list := range connection {
		for option := range bytes.SplitSeq(list, []byte(",")) {
			if strings.EqualFold(string(bytes.TrimSpace(option)), name) {
				return true
			}
		}
	}
	return false
}

// isFieldValue tells whether a header's value is one: nothing in it ends a line.
func isFieldValue(value []byte) bool {
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
