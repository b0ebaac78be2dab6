package sse

import (
	"net/url"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestEndpoint: the endpoint is right behind a prefix, and whoever says the
// prefix cannot make it lead elsewhere.
func TestEndpoint(t *testing.T) {
	long := "/" + strings.Repeat("a", longestPrefix-1)
	tests := []struct {
		name, public, below string
		headers             []string
		want                string // what stands before /messages
	}{
		{name: "nothing said"},
		{name: "a server of its own", below: "/servers/files", want: "/servers/files"},
		{name: "a proxy's prefix", headers: []string{"/tools"}, want: "/tools"},
		{name: "with a slash at its end", headers: []string{"/tools/"}, want: "/tools"},
		{name: "the root", headers: []string{"/"}},
		{name: "prefix and server", headers: []string{"/a/b"}, below: "/servers/x", want: "/a/b/servers/x"},
		{name: "all that is plain", headers: []string{"/A-z_0.9~/%C3%bc"}, want: "/A-z_0.9~/%C3%bc"},
		{name: "as long as may be", headers: []string{long}, want: long},
		{name: "dots in a name", headers: []string{"/a..b"}, want: "/a..b"},

		{name: "too long", headers: []string{long + "a"}},
		{name: "empty", headers: []string{""}},
		{name: "twice", headers: []string{"/a", "/a"}},
		{name: "no leading slash", headers: []string{"tools"}},
		{name: "another host", headers: []string{"//evil.example"}},
		{name: "an empty segment", headers: []string{"/a//b"}},
		{name: "another origin", headers: []string{"https://evil.example"}},
		{name: "a backslash", headers: []string{`/\evil.example`}},
		{name: "an escaped backslash", headers: []string{"/%5Cevil.example"}},
		{name: "up", headers: []string{"/a/../b"}},
		{name: "up at the end", headers: []string{"/a/.."}},
		{name: "up, escaped", headers: []string{"/a/%2e%2E/b"}},
		{name: "an escaped slash", headers: []string{"/%2fevil.example"}},
		{name: "nowhere", headers: []string{"/./a"}},
		{name: "a query", headers: []string{"/a?b"}},
		{name: "a fragment", headers: []string{"/a#b"}},
		{name: "a list", headers: []string{"/a, /b"}},
		{name: "a line break, escaped", headers: []string{"/a%0a"}},
		{name: "half an escape", headers: []string{"/a%4"}},
		{name: "no escape", headers: []string{"/a%zz"}},
		{name: "not ASCII", headers: []string{"/ü"}},

		{name: "the operator's word", public: "https://gate.example/tools/", want: "/tools"},
		{name: "the operator's word is the last", public: "https://gate.example", headers: []string{"/evil"}},
		{name: "the operator's word and a server", public: "https://gate.example/a%20b", below: "/servers/x", want: "/a%20b/servers/x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var o Options
			if test.public != "" {
				var err error
				if o.PublicURL, err = url.Parse(test.public); err != nil {
					t.Fatal(err)
				}
			}
			ctx := new(fasthttp.RequestCtx)
			for _, h := range test.headers {
				ctx.Request.Header.Add(headerPrefix, h)
			}
			want := test.want + "/messages?sessionId=x"
			if got := New(o).endpoint(&Request{HTTP: ctx, Below: test.below}, "x"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}
