package http

import (
	"net"
	"strings"
	"testing"

	"sidegate/proxy/wire"
)

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"http://h":                        "http://h/mcp tcp h:80 h /mcp",
		"http://h/":                       "http://h/ tcp h:80 h /",
		"http://h:8080/a/b?c=d&e=f":       "http://h:8080/a/b tcp h:8080 h:8080 /a/b?c=d&e=f",
		"http://h?c=d":                    "http://h/mcp tcp h:80 h /mcp?c=d",
		"https://h/mcp":                   "https://h/mcp tcp h:443 h /mcp",
		"HTTP://h/mcp":                    "http://h/mcp tcp h:80 h /mcp",
		"http://[::1]:8080/mcp":           "http://[::1]:8080/mcp tcp [::1]:8080 [::1]:8080 /mcp",
		"http://h/a%20b":                  "http://h/a%20b tcp h:80 h /a%20b",
		"http+unix://%2Frun%2Ft.sock/mcp": "http+unix://%2Frun%2Ft.sock/mcp unix /run/t.sock localhost /mcp",
		"http+unix://%2Frun%2Ft.sock":     "http+unix://%2Frun%2Ft.sock/mcp unix /run/t.sock localhost /mcp",
		"http+unix://%2Fa%20b/x?y=z":      "http+unix://%2Fa%20b/x unix /a b localhost /x?y=z",

		"":                         "no host",
		"h:80":                     "no host",
		"localhost/mcp":            "no host",
		"ftp://h/":                 "scheme",
		"http:///mcp":              "no host",
		"http://:80/mcp":           "no host",
		"http:h":                   "no host",
		"http://user:secret@h/":    "Authorization",
		"http://h/#frag":           "fragment",
		"http://h:x/":              "none",
		"http://h\r\nX: y/":        "none",
		"http://h/\x7f":            "none",
		"http+unix:///run/t.sock":  "no absolute path",
		"http+unix://run/t":        "no absolute path",
		"http+unix://%2Frun%zz/":   "no absolute path",
		"http+unix://%2Frun%00/":   "no absolute path",
		"http+unix://u@%2Frun%2F/": "none",
	} {
		b, err := New(Config{URL: url})
		got := ""
		if err != nil {
			got = err.Error()
			if strings.Contains(got, "secret") {
				t.Errorf("%q: %s", url, got)
			}
		} else {
			o := b.origin
			got = strings.Join([]string{b.String(), o.network, o.address, o.host, o.target}, " ")
		}
		if err == nil && got != want || !strings.Contains(got, want) {
			t.Errorf("%q:\n got %s\nwant %s", url, got, want)
		}
	}
}

// listenAt listens at an address that was in use until just now.
func listenAt(address string) (net.Listener, bool) {
	l, err := net.Listen("tcp", address)
	return l, err == nil
}

// nothing is a message that says nothing.
func nothing() *wire.Buffer {
	msg := wire.Acquire(0)
	msg.B = append(msg.B, "{}"...)
	return msg
}
