package http

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sidegate/proxy/backend/contract"
)

// okBody is an answer to the call of these tests.
const okBody = `{"jsonrpc":"2.0","id":1,"result":{}}`

// TestFraming: what two readers could end in two places is refused, its
// connection is not used again, and the call is answered. All else is read.
func TestFraming(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(okBody))
	chunk := func(size string) string { return size + "\r\n" + okBody + "\r\n" }
	chunked := head + "Transfer-Encoding: chunked\r\n\r\n"
	hex := fmt.Sprintf("%x", len(okBody))
	const fine = "" // the answer comes
	for _, test := range []struct {
		name, response, want string
		again                bool // the connection is used again
	}{
		{"a length", head + length + "\r\n" + okBody, fine, true},
		{"a length in other case", head + strings.ToLower(length) + "\r\n" + okBody, fine, true},
		{"the same length twice", head + length + length + "\r\n" + okBody, fine, true},
		{"two lengths", head + length + "Content-Length: 3\r\n\r\n" + okBody, "Content-Length", false},
		{"a list of lengths", head + "Content-Length: 36, 36\r\n\r\n" + okBody, "Content-Length", false},
		{"a signed length", head + "Content-Length: +36\r\n\r\n" + okBody, "Content-Length", false},
		{"a negative length", head + "Content-Length: -1\r\n\r\n" + okBody, "Content-Length", false},
		{"a length in hex", head + "Content-Length: 0x24\r\n\r\n" + okBody, "Content-Length", false},
		{"an empty length", head + "Content-Length:\r\n\r\n" + okBody, "Content-Length", false},
		{"a length past all bounds", head + "Content-Length: 99999999999999999999\r\n\r\n" + okBody, "Content-Length", false},
		{"too short", head + "Content-Length: 37\r\n\r\n" + okBody, "in the middle of its response", false},
		{"too long", head + length + "\r\n" + okBody + "x", fine, false},
		{"a second response at once", head + length + "\r\n" + okBody + head + length + "\r\n" + okBody, fine, false},

		{"chunks", chunked + chunk(hex) + "0\r\n\r\n", fine, true},
		{"chunks and a trailer", chunked + chunk(hex) + "0\r\nX: y\r\n\r\n", fine, true},
		{"a chunk extension", chunked + chunk(hex+";a=b") + "0\r\n\r\n", fine, true},
		{"leading zeros", chunked + chunk("000"+hex) + "0\r\n\r\n", fine, true},
		{"several chunks", chunked + "1\r\n{\r\n" + fmt.Sprintf("%x\r\n%s\r\n", len(okBody)-1, okBody[1:]) + "0\r\n\r\n", fine, true},
		{"chunked in other case", head + "transfer-encoding: Chunked\r\n\r\n" + chunk(hex) + "0\r\n\r\n", fine, true},
		{"chunks without their end", chunked + chunk(hex), "in the middle of its response", false},
		{"chunks without the last line", chunked + chunk(hex) + "0\r\n", "in the middle of its response", false},
		{"chunks and a length", head + length + "Transfer-Encoding: chunked\r\n\r\n" + chunk(hex) + "0\r\n\r\n", "both Transfer-Encoding and Content-Length", false},
		{"a length and chunks", head + "Transfer-Encoding: chunked\r\n" + length + "\r\n" + chunk(hex) + "0\r\n\r\n", "both Transfer-Encoding and Content-Length", false},
		{"chunked twice", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(hex) + "0\r\n\r\n", "Transfer-Encoding", false},
		{"chunked, chunked", head + "Transfer-Encoding: chunked, chunked\r\n\r\n" + chunk(hex) + "0\r\n\r\n", "Transfer-Encoding", false},
		{"gzip, chunked", head + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(hex) + "0\r\n\r\n", "Transfer-Encoding", false},
		{"identity", head + "Transfer-Encoding: identity\r\n" + length + "\r\n" + okBody, "Transfer-Encoding", false},
		{"an odd coding", head + "Transfer-Encoding: xchunked\r\n\r\n" + okBody, "Transfer-Encoding", false},
		{"a vertical tab in the coding", head + "Transfer-Encoding: \x0bchunked\r\n\r\n" + chunk(hex) + "0\r\n\r\n", "control character", false},
		{"chunked in HTTP/1.0", strings.Replace(chunked, "1.1", "1.0", 1) + chunk(hex) + "0\r\n\r\n", "HTTP/1.0", false},
		{"a chunk's size with a sign", chunked + chunk("+"+hex) + "0\r\n\r\n", "begin with its size", false},
		{"a chunk's size with 0x", chunked + chunk("0x"+hex) + "0\r\n\r\n", "", false},
		{"a chunk's size with a space", chunked + chunk(hex+" ") + "0\r\n\r\n", "begin with its size", false},
		{"no size", chunked + chunk("") + "0\r\n\r\n", "begin with its size", false},
		{"a size past all bounds", chunked + chunk("ffffffffffffffff") + "0\r\n\r\n", "begin with its size", false},
		{"a chunk that is longer", chunked + chunk("23") + "0\r\n\r\n", "longer than it says", false},
		{"a bare line feed behind a size", chunked + hex + "\n" + okBody + "\r\n0\r\n\r\n", "line feed alone", false},
		{"a bare line feed behind a chunk", chunked + hex + "\r\n" + okBody + "\n0\r\n\r\n", "line feed alone", false},
		{"a bare line feed in an extension", chunked + hex + ";\n" + okBody + "\r\n0\r\n\r\n", "line feed alone", false},
		{"an endless extension", chunked + hex + ";" + strings.Repeat("x", 9000) + "\r\n" + okBody + "\r\n0\r\n\r\n", "too long", false},
		{"an endless trailer", chunked + chunk(hex) + "0\r\n" + strings.Repeat("X: "+strings.Repeat("y", 200)+"\r\n", 100) + "\r\n", "too much follows", false},
		{"a folded trailer", chunked + chunk(hex) + "0\r\nX: y\r\n z\r\n\r\n", "no headers", false},

		{"until the end", head + "\r\n" + okBody, fine, false},
		{"HTTP/1.0 until the end", strings.Replace(head, "1.1", "1.0", 1) + "\r\n" + okBody, fine, false},
		{"HTTP/1.0 with a length", strings.Replace(head, "1.1", "1.0", 1) + length + "\r\n" + okBody, fine, false},
		{"HTTP/1.0 that is kept", strings.Replace(head, "1.1", "1.0", 1) + "Connection: keep-alive\r\n" + length + "\r\n" + okBody, fine, true},
		{"Connection: close", head + "Connection: close\r\n" + length + "\r\n" + okBody, fine, false},
		{"close in a list", head + "Connection: foo, Close\r\n" + length + "\r\n" + okBody, fine, false},
		{"kept for no time", head + "Keep-Alive: timeout=1\r\n" + length + "\r\n" + okBody, fine, false},
		{"kept for a while", head + "Keep-Alive: timeout=5, max=100\r\n" + length + "\r\n" + okBody, fine, true},

		{"an empty reason", "HTTP/1.1 200 \r\n" + jsonType + length + "\r\n" + okBody, fine, true},
		{"no reason", "HTTP/1.1 200\r\n" + jsonType + length + "\r\n" + okBody, fine, true},
		{"100 before it", "HTTP/1.1 100 Continue\r\n\r\n" + head + length + "\r\n" + okBody, fine, true},
		{"103 before it", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 3\r\n\r\n" + head + length + "\r\n" + okBody, fine, true},
		{"too many before it", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20) + head + length + "\r\n" + okBody, "1xx", false},
		{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "101", false},
		{"another protocol", "SSH-2.0-OpenSSH\r\n\r\n", "status line", false},
		{"HTTP/2", strings.Replace(head, "1.1", "2.0", 1) + length + "\r\n" + okBody, "status line", false},
		{"HTTP/1.2", strings.Replace(head, "1.1", "1.2", 1) + length + "\r\n" + okBody, "status line", false},
		{"two spaces", strings.Replace(head, " 200", "  200", 1) + length + "\r\n" + okBody, "status", false},
		{"a status of four digits", strings.Replace(head, "200", "2000", 1) + length + "\r\n" + okBody, "status line", false},
		{"a status of letters", strings.Replace(head, "200", "2OO", 1) + length + "\r\n" + okBody, "status", false},
		{"status 099", strings.Replace(head, "200", "099", 1) + length + "\r\n" + okBody, "status", false},
		{"an empty line first", "\r\n" + head + length + "\r\n" + okBody, "status line", false},
		{"bare line feeds", strings.ReplaceAll(head+length+"\r\n", "\r\n", "\n") + okBody, "line feed alone", false},
		{"one bare line feed", head + strings.Replace(length, "\r\n", "\n", 1) + "\r\n" + okBody, "line feed alone", false},
		{"the head ends with a bare line feed", head + length + "\n" + okBody, "line feed alone", false},
		{"a bare carriage return", head + "X: a\rContent-Length: 3\r\n" + length + "\r\n" + okBody, "control character", false},
		{"NUL", head + "X: a\x00\r\n" + length + "\r\n" + okBody, "control character", false},
		{"a folded header", head + length + "X: a\r\n b\r\n\r\n" + okBody, "folded", false},
		{"a folded length", head + "Content-Length:\r\n 36\r\n\r\n" + okBody, "folded", false},
		{"a space before the colon", head + "Content-Length : 36\r\n\r\n" + okBody, "no header", false},
		{"no colon", head + "Content-Length 36\r\n\r\n" + okBody, "no header", false},
		{"no name", head + ": 36\r\n" + length + "\r\n" + okBody, "no header", false},
		{"an odd name", head + "Content\xffLength: 36\r\n\r\n" + okBody, "no header", false},
		{"an endless head", head + strings.Repeat("X: y\r\n", 20_000) + length + "\r\n" + okBody, "longer than 64 KiB", false},
		{"an endless header", head + "X: " + strings.Repeat("y", 100_000) + "\r\n" + length + "\r\n" + okBody, "longer than 64 KiB", false},
		{"a large head", head + "X-: " + strings.Repeat("y", 30_000) + "\r\n" + length + "\r\n" + okBody, fine, true},
		{"compressed", head + "Content-Encoding: gzip\r\n" + length + "\r\n" + okBody, "compressed", false},
		{"identity encoding", head + "Content-Encoding: identity\r\n" + length + "\r\n" + okBody, fine, true},
		{"two types", head + "Content-Type: text/plain\r\n" + length + "\r\n" + okBody, "Content-Types", false},
		{"two session ids", head + "Mcp-Session-Id: a\r\nMCP-Session-Id: b\r\n" + length + "\r\n" + okBody, "session ids", false},
		{"204 with a body", "HTTP/1.1 204 No Content\r\n" + length + "\r\n" + okBody, "204", false},
		{"nothing", "", "without a response", false},
		{"half a head", head, "in the middle of its response", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "a chunk's size with 0x" {
				test.want = "begin with its size" // and not an end of the body after "0"
			}
			s := newScript(t, func(*http.Request, string) text { return text{test.response, !test.again} })
			l := open(t, newBackend(t, s.URL))
			l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
			for got := l.Next(t); ; got = l.Next(t) {
				if strings.HasPrefix(got, "reply 1 200") {
					continue
				}
				if test.want == fine && got != okBody {
					t.Errorf("got %s", got)
				} else if test.want != fine && (!strings.HasPrefix(got, "reply 1 502") || !strings.Contains(got, test.want)) {
					t.Errorf("got %s, want a refusal with %q", got, test.want)
				}
				break
			}
			contract.Eventually(t, "the connection is kept or not", func() bool {
				l.backend.pool.mu.Lock()
				defer l.backend.pool.mu.Unlock()
				return (len(l.backend.pool.idle) == 1) == test.again && (s.count() == 1) == test.again
			})
		})
	}
}

// TestFramingOfEvents: an event stream whose chunks cannot be trusted is not
// resumed.
func TestFramingOfEvents(t *testing.T) {
	s := newScript(t, func(r *http.Request, _ string) text {
		return text{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nid: 1\r\n2\r\n\n\n\r\nxyz\r\n", true}
	})
	l := open(t, newBackend(t, s.URL))
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
	l.Want(t, "reply 1 502", "begin with its size")
	if got := s.requests(); len(got) != 1 {
		t.Errorf("requests: %q", got)
	}
}
