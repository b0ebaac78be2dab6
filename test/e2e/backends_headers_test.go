package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// connectionFields end at whoever gets them. The last two lines name a field
// that then is one of them.
var connectionFields = [][2]string{
	{"Keep-Alive", "timeout=77"}, {"Proxy-Connection", "keep-alive"}, {"Proxy-Authenticate", "Basic realm=secret"}, {"Proxy-Authorization", "Basic secret"},
	{"TE", "trailers"}, {"Connection", "X-Named, keep-alive"}, {"X-Named", "secret"},
}

// TestHopByHop: what is of one connection, and what hosts tell each other,
// crosses in neither direction.
func TestHopByHop(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.Serve = func(w http.ResponseWriter, _ *http.Request, _ upstreamMessage) bool {
		for _, f := range connectionFields {
			w.Header().Add(f[0], f[1])
		}
		w.Header().Set("Trailer", "X-Behind")
		w.Header().Set("X-Accel-Buffering", "yes")
		w.Header().Set("Alt-Svc", `h2="elsewhere.example:443"`)
		return false
	}
	g := inFront(t, u)
	s := open(t, g)
	call := func(tool string) *harness.Request {
		r := s.As(harness.Post(harness.ToolCallWithToken(s.NextID(), "1", tool, `{}`)))
		for _, f := range connectionFields {
			r.Add(f[0], f[1])
		}
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP"} {
			r.Add(name, "forged")
		}
		return r.Add("Trailer", "X-Behind").Add("Accept-Encoding", "gzip").Add("Connection", "Upgrade").Add("Upgrade", "h2c").Add("HTTP2-Settings", "secret").Add("Last-Event-ID", "secret")
	}
	responses := map[string]http.Header{}
	resp := g.Do(t, call("echo"))
	resp.Answer(t)
	responses["JSON"] = resp.Header
	e := g.Begin(t, call("events"))
	events := e.Events(t)
	u.proceed <- struct{}{}
	u.proceed <- struct{}{}
	events.WantProperEnd(t)
	responses["events"] = e.Header
	for kind, header := range responses {
		for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "X-Named", "Trailer", "Alt-Svc"} {
			if v, crossed := header[name]; crossed {
				t.Errorf("%s: %s: %q came back to the client", kind, name, v)
			}
		}
		if strings.Contains(fmt.Sprint(header), "upstream-session") || strings.Contains(fmt.Sprint(header), "X-Named") {
			t.Errorf("%s: the client got %v", kind, header)
		}
	}
	wantNowhere(t, u.Requests(), "secret")
	wantNowhere(t, u.Requests(), "forged")
	wantNowhere(t, u.Requests(), "X-Behind")
	for _, r := range u.Requests() {
		for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Te", "X-Named", "Trailer", "Upgrade", "Http2-Settings"} {
			if v, crossed := r.Header[name]; crossed {
				t.Errorf("%s: %q reached the server", name, v)
			}
		}
		if r.Host != u.Addr {
			t.Errorf("the server was called %q", r.Host)
		}
	}
}

// TestEndToEnd: all other headers pass, in both directions.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.Serve = func(w http.ResponseWriter, _ *http.Request, _ upstreamMessage) bool {
		w.Header().Set("X-Rate-Remaining", "41")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		return false
	}
	g := inFront(t, u)
	s := open(t, g)
	wanted := map[string]string{
		"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "X-Request-Id": "r-1", "Accept-Language": "de", "Cookie": "a=1; b=2", "User-Agent": "e2e/1", "X-Empty": "",
	}
	call := func(tool string) *harness.Request {
		r := s.As(harness.Post(harness.ToolCallWithToken(s.NextID(), "1", tool, `{}`)))
		for name, value := range wanted {
			r.Add(name, value)
		}
		return r
	}
	got := map[string]http.Header{"JSON": g.Do(t, call("echo")).Header}
	e := g.Begin(t, call("events"))
	events := e.Events(t)
	u.proceed <- struct{}{}
	u.proceed <- struct{}{}
	events.WantProperEnd(t)
	got["events"] = e.Header
	for kind, header := range got {
		t.Run("back with "+kind, func(t *testing.T) {
			if header.Get("X-Rate-Remaining") != "41" || len(header.Values("Set-Cookie")) != 2 {
				t.Errorf("the client got %v", header)
			}
		})
	}
	if len(u.Calls()) != 2 {
		t.Errorf("the server got %d calls", len(u.Calls()))
	}
	for _, r := range u.Calls() {
		for name, value := range wanted {
			if v, came := r.Header[name]; !came || v[0] != value {
				t.Errorf("%s is %q at the server, want %q", name, v, value)
			}
		}
	}
}

// TestAuthorizationPasses: it is the server's where the gate asks for no token,
// and the gate's alone where it does.
func TestAuthorizationPasses(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef"
	t.Run("the server's", func(t *testing.T) {
		u := newUpstream(t)
		s := inFront(t, u).Open(t, harness.Client{Token: "for-the-server"})
		alive(t, s)
		for _, r := range u.Requests() {
			if r.Header.Get("Authorization") != "Bearer for-the-server" {
				t.Errorf("Authorization is %q with %s", r.Header.Get("Authorization"), r.Body)
			}
		}
	})
	t.Run("the gate's", func(t *testing.T) {
		u := newUpstream(t)
		g := inFront(t, u, "--token-file", tokenFile(t, token), "--pass", "/open/")
		alive(t, g.Open(t, harness.Client{Token: token}))
		g.Do(t, harness.Bare("GET", "/open/x").Add("Authorization", "Bearer "+token))
		wantNowhere(t, u.Requests(), token)
		wantNowhere(t, u.Requests(), "Authorization")
	})
}

// TestServerRefuses: 401 and 403 are the server's own words to the client, by
// which an SDK finds out where it may get a token.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	for status, challenge := range map[int]string{
		401: `Bearer resource_metadata="https://mcp.example/.well-known/oauth-protected-resource", scope="files:read"`,
		403: `Bearer error="insufficient_scope", scope="files:write"`,
	} {
		refusing := func(method string) (*upstream, *harness.Gate) {
			u := newUpstream(t)
			u.Serve = func(w http.ResponseWriter, _ *http.Request, m upstreamMessage) bool {
				if m.Method != method {
					return false
				}
				w.Header().Set("WWW-Authenticate", challenge)
				w.Header().Set("Content-Type", "text/plain; charset=utf-8")
				w.WriteHeader(status)
				fmt.Fprint(w, "the server's own words")
				return true
			}
			return u, inFront(t, u)
		}
		want := func(t *testing.T, resp *harness.Response) {
			t.Helper()
			if resp.Status != status || resp.Header.Get("WWW-Authenticate") != challenge || string(resp.Body) != "the server's own words" ||
				resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("status %d, %v, %q", resp.Status, resp.Header, resp.Body)
			}
		}
		t.Run(fmt.Sprint(status, " for initialize"), func(t *testing.T) {
			u, g := refusing("initialize")
			resp := g.Do(t, harness.Client{}.Initialize())
			want(t, resp)
			if resp.Header.Get("Mcp-Session-Id") != "" {
				t.Error("a session was opened all the same")
			}
			u.Serve = nil
			alive(t, open(t, g))
		})
		t.Run(fmt.Sprint(status, " for a call"), func(t *testing.T) {
			_, g := refusing("tools/list")
			s := open(t, g)
			want(t, s.Do(t, harness.RPC("5", "tools/list", "")))
			alive(t, s)
		})
	}
}
