package guard

import (
	"strings"
	"testing"
)

// TestForwarded: a body that is passed as it is keeps what is said of it; what
// belongs to the connection, to the gate or to hosts inside goes with nothing.
func TestForwarded(t *testing.T) {
	never := []string{
		"Connection: X-Named", "X-Named: n", "Keep-Alive: n", "TE: n", "Transfer-Encoding: identity", "Upgrade: n", "Proxy-Authorization: n",
		"Content-Type: n", "Origin: n", "Mcp-Session-Id: n", "X-Forwarded-Host: n", "X-Real-IP: n", "X_Under: n",
	}
	always := []string{"Accept-Language: de", "If-None-Match: \"e\"", "If-Modified-Since: m", "Range: bytes=0-1", "X-Any: 1", "Authorization: Bearer t"}
	passed := []string{"Accept: text/html", "Accept-Encoding: gzip, br", "Content-Encoding: gzip"}
	fields := append(append(append([]string{"Host: h", "Content-Length: 0"}, never...), always...), passed...)
	g := mustNew(t, Config{})
	h := &request(t, loopback, "POST /x HTTP/1.1", fields...).Request.Header
	for name, c := range map[string]struct {
		lines string
		want  []string
	}{
		"a message":      {string(g.AppendForwarded(nil, h, &Visitor{})), always},
		"what is passed": {string(g.AppendPassed(nil, h, &Visitor{})), append(append([]string{}, always...), passed...)},
	} {
		if n := strings.Count(c.lines, "\r\n"); n != len(c.want) {
			t.Errorf("%s: %d lines, want %d:\n%s", name, n, len(c.want), c.lines)
		}
		for _, line := range c.want {
			if !strings.Contains("\r\n"+c.lines, "\r\n"+line+"\r\n") {
				t.Errorf("%s: without %q:\n%s", name, line, c.lines)
			}
		}
	}
}
