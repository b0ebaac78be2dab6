package guard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/refusal"
)

var (
	endpoint = &Room{
		Allow: "POST, GET, DELETE", JSON: true,
		Post: AcceptJSON | AcceptEventStream, Get: AcceptEventStream,
	}
	health = &Room{Allow: "GET, HEAD", Open: true}
)

// Header fields of a good POST.
const (
	hostField   = "Host: localhost:8080"
	typeField   = "Content-Type: application/json"
	acceptField = "Accept: application/json, text/event-stream"
	tokenField  = "Authorization: Bearer s3cret"
	originField = "Origin: http://localhost:6274"
)

// tokenFile writes a token file and returns its path.
func tokenFile(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDoor(t *testing.T) {
	g := mustNew(t, Config{})
	for _, c := range []struct {
		name string
		room *Room
		line string
		head []string
		want *refusal.Refusal
	}{
		{"POST", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField, acceptField}, nil},
		{"GET", endpoint, "GET /mcp HTTP/1.1", []string{hostField, "Accept: text/event-stream"}, nil},
		{"DELETE", endpoint, "DELETE /mcp HTTP/1.1", []string{hostField}, nil},
		{"with a loopback origin", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField, acceptField, originField}, nil},
		{"a token nobody asks for", endpoint, "DELETE /mcp HTTP/1.1", []string{hostField, tokenField}, nil},

		{"foreign Origin, POST", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField, acceptField, "Origin: https://evil.example"}, refusal.Origin},
		{"foreign Origin, GET", endpoint, "GET /mcp HTTP/1.1", []string{hostField, "Accept: text/event-stream", "Origin: https://evil.example"}, refusal.Origin},
		{"foreign Origin, DELETE", endpoint, "DELETE /mcp HTTP/1.1", []string{hostField, "Origin: https://evil.example"}, refusal.Origin},
		{"foreign Origin, OPTIONS", endpoint, "OPTIONS /mcp HTTP/1.1", []string{hostField, "Origin: https://evil.example", "Access-Control-Request-Method: POST"}, refusal.Origin},
		{"Origin null, POST", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField, acceptField, "Origin: null"}, refusal.Origin},
		{"Origin null, GET", endpoint, "GET /mcp HTTP/1.1", []string{hostField, "Accept: text/event-stream", "Origin: null"}, refusal.Origin},
		{"Origin null, DELETE", endpoint, "DELETE /mcp HTTP/1.1", []string{hostField, "Origin: null"}, refusal.Origin},
		{"two Origins", endpoint, "DELETE /mcp HTTP/1.1", []string{hostField, originField, originField}, refusal.Origin},
		{"two Origins, one foreign", endpoint, "DELETE /mcp HTTP/1.1", []string{hostField, originField, "origin: https://evil.example"}, refusal.Origin},
		{"empty Origin", endpoint, "DELETE /mcp HTTP/1.1", []string{hostField, "Origin:"}, refusal.Origin},
		{"foreign Host", endpoint, "POST /mcp HTTP/1.1", []string{"Host: evil.example", typeField, acceptField}, refusal.Host},

		{"PUT", endpoint, "PUT /mcp HTTP/1.1", []string{hostField, typeField, acceptField}, refusal.Method},
		{"HEAD", endpoint, "HEAD /mcp HTTP/1.1", []string{hostField, acceptField}, refusal.Method},
		{"OPTIONS that is no preflight", endpoint, "OPTIONS /mcp HTTP/1.1", []string{hostField}, refusal.Method},
		{"OPTIONS with an Origin alone", endpoint, "OPTIONS /mcp HTTP/1.1", []string{hostField, originField}, refusal.Method},
		{"a method in lower case", endpoint, "post /mcp HTTP/1.1", []string{hostField, typeField, acceptField}, refusal.Method},
		{"no method, but in Allow", endpoint, "ET /mcp HTTP/1.1", []string{hostField}, refusal.Method},

		{"text/plain", endpoint, "POST /mcp HTTP/1.1", []string{hostField, "Content-Type: text/plain", acceptField}, refusal.ContentType},
		{"no content type", endpoint, "POST /mcp HTTP/1.1", []string{hostField, acceptField}, refusal.ContentType},
		{"gzip", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField, acceptField, "Content-Encoding: gzip"}, encoded},
		{"gzip in a second field", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField, acceptField, "Content-Encoding: identity", "Content-Encoding: gzip"}, encoded},
		{"identity", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField, acceptField, "Content-Encoding: Identity"}, nil},
		{"no Accept, POST", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField}, refusal.Accept},
		{"half an Accept, POST", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField, "Accept: application/json"}, refusal.Accept},
		{"Accept in two fields", endpoint, "POST /mcp HTTP/1.1", []string{hostField, typeField, "Accept: application/json", "Accept: text/event-stream"}, nil},
		{"no Accept, GET", endpoint, "GET /mcp HTTP/1.1", []string{hostField}, refusal.Accept},
		{"Accept of JSON, GET", endpoint, "GET /mcp HTTP/1.1", []string{hostField, "Accept: application/json"}, refusal.Accept},

		{"health", health, "GET /healthz HTTP/1.1", []string{hostField}, nil},
		{"health, HEAD", health, "HEAD /healthz HTTP/1.1", []string{hostField}, nil},
		{"health, POST", health, "POST /healthz HTTP/1.1", []string{hostField}, refusal.Method},
		{"health, foreign Host", health, "GET /healthz HTTP/1.1", []string{"Host: evil.example"}, refusal.Host},
		{"health, foreign Origin", health, "GET /healthz HTTP/1.1", []string{hostField, "Origin: https://evil.example"}, refusal.Origin},
		{"nothing there", nil, "GET /favicon.ico HTTP/1.1", []string{hostField}, refusal.Path},
		{"nothing there, foreign Host", nil, "GET /favicon.ico HTTP/1.1", []string{"Host: evil.example"}, refusal.Host},
	} {
		_, got := g.Door(request(t, loopback, c.line, c.head...), c.room)
		if got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestDoorOrder mends a request that is wrong in every way, one thing at a
// time: what it is refused for shows the order of the checks.
func TestDoorOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, Config{AddressRate: 1, AddressBurst: 1, Rate: 0.1, Burst: 1, TokenFile: tokenFile(t, "ann=s3cret")})
		method := "PUT"
		fields := map[string]string{
			"Host": "evil.example", "Origin": "https://evil.example", "Authorization": "Bearer wrong",
			"Content-Type": "text/plain", "Accept": "text/html",
		}
		knock := func() *refusal.Refusal {
			var head []string
			for name, value := range fields {
				head = append(head, name+": "+value)
			}
			_, r := g.Door(request(t, loopback, method+" /mcp HTTP/1.1", head...), endpoint)
			return r
		}
		if r := knock(); r != refusal.Host {
			t.Fatalf("the first knock: %v", r)
		}
		if r := knock(); r == nil || r.Reason != "address_rate" || r.Retry <= 0 || r.Retry > time.Second {
			t.Fatalf("the second at once: %+v", r)
		}
		for _, step := range []struct {
			mend func()
			want string
		}{
			{func() {}, "host"},
			{func() { fields["Host"] = "localhost" }, "origin"},
			{func() { fields["Origin"] = "http://localhost" }, "token"},
			{func() { fields["Authorization"] = "Bearer s3cret" }, "method"}, // this takes ann's one token
			{func() {}, "rate"},
			{func() { time.Sleep(10 * time.Second); method = "POST" }, "content_type"},
			{func() { time.Sleep(10 * time.Second); fields["Content-Type"] = "application/json" }, "accept"},
			{func() { time.Sleep(10 * time.Second); fields["Accept"] = "*/*" }, ""},
		} {
			time.Sleep(time.Second)
			step.mend()
			got := ""
			if r := knock(); r != nil {
				got = r.Reason
			}
			if got != step.want {
				t.Fatalf("refused for %q, want %q", got, step.want)
			}
		}
	})
}

func TestDoorRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, Config{Rate: 1, Burst: 2, TokenFile: tokenFile(t, "ann=s3cret", "bob=other")})
		knock := func(w *fakeConn, token string) string {
			_, r := g.Door(request(t, w, "DELETE /mcp HTTP/1.1", hostField, "Authorization: Bearer "+token), endpoint)
			if r == nil {
				return ""
			}
			return r.Reason
		}
		elsewhere := between("[2001:db8::1]:50000", "127.0.0.1:8080")
		for i, c := range []struct {
			w           *fakeConn
			token, want string
		}{
			{loopback, "s3cret", ""},
			{elsewhere, "s3cret", ""},
			{loopback, "s3cret", "rate"}, // ann is one caller from wherever she comes
			{elsewhere, "s3cret", "rate"},
			{loopback, "other", ""},
			{loopback, "wrong", "token"}, // nobody, and counted for nobody
		} {
			if got := knock(c.w, c.token); got != c.want {
				t.Errorf("knock %d: %q, want %q", i, got, c.want)
			}
		}
	})
}

// TestAnonymousRate: without tokens a caller is an address, all of a /64 are
// one, and so are all who come through a Unix socket.
func TestAnonymousRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, Config{Rate: 1, Burst: 1, AddressRate: 1, AddressBurst: 2})
		for i, c := range []struct{ remote, local, want string }{
			{"192.0.2.1:1", "127.0.0.1:8080", ""},
			{"192.0.2.1:2", "127.0.0.1:8080", "rate"},
			{"192.0.2.1:3", "127.0.0.1:8080", "address_rate"},
			{"192.0.2.2:1", "127.0.0.1:8080", ""},
			{"[2001:db8::1]:1", "127.0.0.1:8080", ""},
			{"[2001:db8::2]:1", "127.0.0.1:8080", "rate"},
			{"[2001:db8::3]:1", "127.0.0.1:8080", "address_rate"},
			{"unix", "unix", ""},
			{"unix", "unix", "rate"},
			{"unix", "unix", "rate"}, // never address_rate
		} {
			_, r := g.Door(request(t, between(c.remote, c.local), "DELETE /mcp HTTP/1.1", hostField), endpoint)
			got := ""
			if r != nil {
				got = r.Reason
			}
			if got != c.want {
				t.Errorf("knock %d: %q, want %q", i, got, c.want)
			}
		}
	})
}

func TestHealthNeedsNoToken(t *testing.T) {
	g := mustNew(t, Config{Rate: 0.001, Burst: 1, TokenFile: tokenFile(t, "s3cret")})
	for range 10 {
		if v, r := g.Door(request(t, loopback, "GET /healthz HTTP/1.1", hostField), health); r != nil || v.Principal != "" {
			t.Fatalf("%+v, %v", v, r)
		}
	}
}

func TestMethodRefusalHasAllow(t *testing.T) {
	ctx := request(t, loopback, "PATCH /mcp HTTP/1.1", hostField)
	if _, r := mustNew(t, Config{}).Door(ctx, endpoint); r != refusal.Method {
		t.Fatal(r)
	}
	if allow := string(ctx.Response.Header.Peek("Allow")); allow != "POST, GET, DELETE" {
		t.Errorf("Allow: %s", allow)
	}
}

func TestAdmin(t *testing.T) {
	g := mustNew(t, Config{Rate: 0.001, Burst: 1, AddressRate: 0.001, AddressBurst: 1, TokenFile: tokenFile(t, "s3cret")})
	for _, c := range []struct {
		head []string
		want *refusal.Refusal
	}{
		{[]string{hostField}, nil},
		{[]string{hostField, originField}, nil},
		{[]string{hostField}, nil},
		{[]string{"Host: evil.example"}, refusal.Host},
		{[]string{hostField, "Origin: null"}, refusal.Origin},
		{[]string{hostField, "Origin: https://evil.example"}, refusal.Origin},
	} {
		if got := g.Admin(request(t, loopback, "GET /metrics HTTP/1.1", c.head...)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.head, got, c.want)
		}
	}
}

// TestAdminByAddress: who asks for the admin listener by the pod's address, as a
// kubelet and a scraper do, is let in whatever hosts are allowed to clients; who
// asks by a name needs it to be one of those.
func TestAdminByAddress(t *testing.T) {
	g := mustNew(t, Config{AllowHosts: []string{"gate.example.com"}})
	for _, c := range []struct {
		local, host string
		want        *refusal.Refusal
	}{
		{"10.0.0.7:8081", "10.0.0.7:8081", nil},
		{"[fd00::7]:8081", "[fd00::7]:8081", nil},
		{"10.0.0.7:8081", "gate.example.com:8081", nil},
		{"10.0.0.7:8081", "tool.default.svc:8081", refusal.Host},
		{"127.0.0.1:8081", "10.0.0.7:8081", refusal.Host},
	} {
		for _, path := range []string{"/livez", "/readyz", "/probe/default", "/metrics"} {
			ctx := request(t, between("10.0.0.1:50000", c.local), "GET "+path+" HTTP/1.1", "Host: "+c.host)
			if got := g.Admin(ctx); got != c.want {
				t.Errorf("%s at %s of %s: got %v, want %v", path, c.local, c.host, got, c.want)
			}
		}
	}
}

// TestOperator: who changes what the gate does is a program on this host.
func TestOperator(t *testing.T) {
	g := mustNew(t, Config{})
	for _, c := range []struct {
		peer, local string
		head        []string
		want        *refusal.Refusal
	}{
		{"127.0.0.1:50000", "127.0.0.1:8081", nil, nil},
		{"[::1]:50000", "[::1]:8081", nil, nil},
		{"127.0.0.1:50000", "10.0.0.5:8081", nil, nil},
		{"10.0.0.5:50000", "10.0.0.5:8081", nil, nil},
		{"10.0.0.6:50000", "10.0.0.5:8081", nil, refusal.Operator},
		{"[fd00::6]:50000", "[fd00::5]:8081", nil, refusal.Operator},
		{"127.0.0.1:50000", "127.0.0.1:8081", []string{originField}, refusal.Operator},
	} {
		ctx := request(t, between(c.peer, c.local), "POST /drain HTTP/1.1", append([]string{hostField}, c.head...)...)
		if got := g.Operator(ctx); got != c.want {
			t.Errorf("%s at %s, %s: got %v, want %v", c.peer, c.local, c.head, got, c.want)
		}
	}
}

// TestDoorAllocations: a request that passes costs nothing, and the copy of its
// Origin where it has one.
func TestDoorAllocations(t *testing.T) {
	g := mustNew(t, Config{Rate: 1e6, AddressRate: 1e6, TokenFile: tokenFile(t, "ann=s3cret"), AllowHosts: []string{"gate.example.com"}})
	for _, c := range []struct {
		name string
		want float64
		head []string
	}{
		{"plain", 0, []string{hostField, typeField, acceptField, tokenField}},
		{"by address", 0, []string{"Host: 127.0.0.1:8080", typeField, acceptField, tokenField}},
		{"by its name", 0, []string{"Host: Gate.Example.Com", typeField, acceptField, tokenField}},
		{"with an origin", 1, []string{hostField, typeField, acceptField, tokenField, originField}},
	} {
		ctx := request(t, loopback, "POST /mcp HTTP/1.1", c.head...)
		knock := func() {
			if _, r := g.Door(ctx, endpoint); r != nil {
				t.Fatalf("%s: %v", c.name, r)
			}
		}
		knock() // makes the buckets of the rates
		if n := testing.AllocsPerRun(100, knock); n > c.want {
			t.Errorf("%s: %g allocations, want %g", c.name, n, c.want)
		}
	}
}

func BenchmarkDoor(b *testing.B) {
	g := mustNew(b, Config{Rate: 1e9, AddressRate: 1e9, TokenFile: tokenFile(b, "ann=s3cret")})
	ctx := request(b, loopback, "POST /mcp HTTP/1.1", hostField, typeField, acceptField, tokenField)
	b.ReportAllocs()
	for b.Loop() {
		if _, r := g.Door(ctx, endpoint); r != nil {
			b.Fatal(r)
		}
	}
}
