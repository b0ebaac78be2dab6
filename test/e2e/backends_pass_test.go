package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// saidOfBody are headers that belong to a body that is passed as it is.
var saidOfBody = [][2]string{
	{"Content-Encoding", "gzip"}, {"Content-Range", "bytes 0-1/9"}, {"Content-Security-Policy", "default-src 'none'"},
	{"Content-Disposition", "inline"}, {"Content-Language", "de"}, {"Vary", "Accept"},
}

// TestPass: other paths of the server are let through where the operator says
// so, and are not there where not.
func TestPass(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.Serve = func(w http.ResponseWriter, r *http.Request, _ upstreamMessage) bool {
		switch r.URL.Path {
		case "/mcp":
			return false
		case "/.well-known/large":
			w.Write([]byte(strings.Repeat("x", 17<<20)))
		case "/.well-known/teapot":
			w.WriteHeader(http.StatusTeapot)
		case "/.well-known/said":
			for _, f := range saidOfBody {
				w.Header().Set(f[0], f[1])
			}
			w.WriteHeader(http.StatusPartialContent)
			w.Write([]byte("\x1f\x8b"))
		case "/.well-known/moved":
			w.Header().Set("Location", "http://"+u.Addr+"/.well-known/there")
			w.WriteHeader(http.StatusFound)
		default:
			w.Header().Set("Content-Type", "application/x-any")
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Keep-Alive", "timeout=77")
			fmt.Fprintf(w, "%s %s", r.Method, r.RequestURI)
		}
		return true
	}
	g := inFront(t, u, "--pass", "/.well-known/", "--pass", "/exact")
	alive(t, open(t, g))
	for target, text := range map[string]string{
		"GET /.well-known/oauth-protected-resource":         "GET /.well-known/oauth-protected-resource",
		"GET /.well-known/oauth-protected-resource/mcp?a=b": "GET /.well-known/oauth-protected-resource/mcp?a=b",
		"POST /.well-known/register":                        "POST /.well-known/register",
		"PUT /exact":                                        "PUT /exact",
		"GET /exact?a=%2e":                                  "GET /exact?a=%2e",
	} {
		method, path, _ := strings.Cut(target, " ")
		r := harness.Bare(method, path).Add("X-Any", "1").Add("Connection", "X-Named").Add("X-Named", "secret")
		if method != "GET" {
			r.Body = []byte("the body")
			r.Add("Content-Type", "text/any")
		}
		resp := g.Do(t, r)
		if resp.Status != 200 || string(resp.Body) != text || resp.Header.Get("Content-Type") != "application/x-any" || resp.Header.Get("Cache-Control") != "max-age=60" || resp.Header.Get("Keep-Alive") != "" {
			t.Errorf("%s: status %d, %v, %s", target, resp.Status, resp.Header, resp.Body)
		}
	}
	for _, r := range u.Passed() {
		if r.Method != "GET" && (r.Body != "the body" || r.Header.Get("Content-Type") != "text/any") || r.Header.Get("X-Any") != "1" {
			t.Errorf("the server got %v", r)
		}
	}
	wantNowhere(t, u.Passed(), "secret")

	t.Run("HEAD", func(t *testing.T) {
		if resp := g.Do(t, harness.Bare("HEAD", "/.well-known/x")); resp.Status != 200 || len(resp.Body) != 0 || resp.Header.Get("Content-Type") != "application/x-any" {
			t.Errorf("status %d, %v, %q", resp.Status, resp.Header, resp.Body)
		}
	})
	t.Run("its status", func(t *testing.T) {
		g.Do(t, harness.Bare("GET", "/.well-known/teapot")).WantStatus(t, 418)
		if resp := g.Do(t, harness.Bare("GET", "/.well-known/moved")); resp.Status != 302 || strings.Contains(resp.Header.Get("Location"), u.Addr) {
			t.Errorf("status %d, Location %q", resp.Status, resp.Header.Get("Location"))
		}
		if resp := g.Do(t, harness.Bare("GET", "/servers/default/.well-known/moved")); resp.Header.Get("Location") != "/servers/default/.well-known/there" {
			t.Errorf("by the server's name: Location %q", resp.Header.Get("Location"))
		}
	})
	t.Run("what is said of a body", func(t *testing.T) {
		u.Forget()
		asked := [][2]string{{"Accept", "text/any"}, {"Accept-Encoding", "gzip, br"}, {"Accept-Language", "de"}, {"Content-Encoding", "br"}, {"If-Range", "x"}, {"Range", "bytes=0-1"}}
		r := harness.Bare("PUT", "/.well-known/said")
		r.Body = []byte("the body")
		for _, f := range asked {
			r.Set(f[0], f[1])
		}
		resp := g.Do(t, r)
		if resp.Status != 206 || string(resp.Body) != "\x1f\x8b" {
			t.Errorf("status %d, %q", resp.Status, resp.Body)
		}
		for _, f := range saidOfBody {
			if got := resp.Header.Values(f[0]); len(got) != 1 || got[0] != f[1] {
				t.Errorf("%s came back as %q", f[0], got)
			}
		}
		for _, f := range asked {
			if got := u.Passed()[0].Header[f[0]]; len(got) != 1 || got[0] != f[1] {
				t.Errorf("%s went as %q", f[0], got)
			}
		}
	})
	t.Run("too large", func(t *testing.T) {
		resp := g.Do(t, harness.Bare("GET", "/.well-known/large"))
		if resp.Status != badGateway && resp.Status != tooLarge {
			t.Errorf("status %d", resp.Status)
		}
	})
	u.Forget()
	t.Run("all else", func(t *testing.T) {
		for _, path := range []string{"/", "/private", "/exact/below", "/exact/", "/.well-known", "/.well-knownx", "/.well-known/../private", "/.well-known/%2e%2e/private", "/.well-known/..%2fprivate", "/.well-known/..;/private", "/.well-known/..;x=y/private", "/x/../exact/../private"} {
			resp := g.Do(t, harness.Bare("GET", path))
			if resp.Status != 404 && resp.Status != 400 {
				t.Errorf("%s: status %d: %s", path, resp.Status, resp.Body)
			}
		}
		if came := u.Passed(); len(came) != 0 {
			t.Errorf("the server got %v", came)
		}
	})
	t.Run("nothing without the flag", func(t *testing.T) {
		inFront(t, u).Do(t, harness.Bare("GET", "/.well-known/oauth-protected-resource")).WantRefusal(t, 404, invalidRequest, "")
	})
	t.Run("a page of another origin", func(t *testing.T) {
		g.Do(t, harness.Bare("GET", "/exact").Add("Origin", "https://evil.example")).WantRefusal(t, 403, invalidRequest, "")
		g.Do(t, harness.Bare("GET", "/exact").Set("Host", "evil.example")).WantRefusal(t, 403, invalidRequest, "")
	})
}
