package guard

import (
	"bufio"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, ignoreServerDate) }

// fasthttp starts one goroutine for the Date header with its first server, and
// never ends it.
var ignoreServerDate = goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")

// A fakeConn is a connection of which only the addresses matter.
type fakeConn struct {
	net.Conn
	local, remote net.Addr
}

func (w *fakeConn) LocalAddr() net.Addr  { return w.local }
func (w *fakeConn) RemoteAddr() net.Addr { return w.remote }

// between is a connection from remote to local, each ADDRESS:PORT or "unix".
func between(remote, local string) *fakeConn {
	address := func(s string) net.Addr {
		if s == "unix" {
			return &net.UnixAddr{Name: "/run/gate.sock", Net: "unix"}
		}
		return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s))
	}
	return &fakeConn{local: address(local), remote: address(remote)}
}

// request is a request as fasthttp reads it: the request line, then lines of
// header fields.
func request(t testing.TB, w *fakeConn, line string, fields ...string) *fasthttp.RequestCtx {
	t.Helper()
	ctx := &fasthttp.RequestCtx{}
	ctx.Init2(w, nil, false)
	head := line + "\r\n" + strings.Join(append(fields, "", ""), "\r\n")
	if err := ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(head))); err != nil {
		t.Fatalf("fasthttp refuses the test's request %q: %v", head, err)
	}
	return ctx
}

var loopback = between("127.0.0.1:50000", "127.0.0.1:8080")

func mustNew(t testing.TB, c Config) *Guard {
	t.Helper()
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   []string // in the error
	}{
		{Config{AllowHosts: []string{"gate.example.com", "http://gate"}}, []string{"--allow-host", `"http://gate"`}},
		{Config{AllowHosts: []string{"gate:8080"}}, []string{"--allow-host", `"gate:8080"`}},
		{Config{AllowHosts: []string{"*"}}, []string{"--allow-host", `"*"`}},
		{Config{AllowHosts: []string{"gate.example.com."}}, []string{"--allow-host", `"gate.example.com."`}},
		{Config{AllowOrigins: []string{"https://app.example.com."}}, []string{"--allow-origin", `com."`}},
		{Config{AllowHosts: []string{""}}, []string{"--allow-host", `""`}},
		{Config{AllowOrigins: []string{"*"}}, []string{"--allow-origin", `"*"`}},
		{Config{AllowOrigins: []string{"null"}}, []string{"--allow-origin", `"null"`}},
		{Config{AllowOrigins: []string{"app.example.com"}}, []string{"--allow-origin", `"app.example.com"`}},
		{Config{AllowOrigins: []string{"https://app.example.com/"}}, []string{"--allow-origin", `example.com/"`}},
		{Config{AllowOrigins: []string{"https://*"}}, []string{"--allow-origin", `"https://*"`}},
		{Config{AllowOrigins: []string{"https://a*.example.com"}}, []string{"--allow-origin", `a*.`}},
		{Config{AllowOrigins: []string{"https://*.*.example.com"}}, []string{"--allow-origin", `*.*.`}},
		{Config{AllowOrigins: []string{"https://*.10.0.0.1"}}, []string{"--allow-origin", `*.10.`}},
		{Config{AllowOrigins: []string{"https://*.[::1]"}}, []string{"--allow-origin", `*.[::1]`}},
		{Config{AllowOrigins: []string{"https://bücher.example"}}, []string{"--allow-origin", `bücher`}},
		{Config{AllowOrigins: []string{"https://app.example.com:*"}}, []string{"--allow-origin", `:*`}},
		{Config{TokenFile: "/does/not/exist"}, []string{"--token-file", "/does/not/exist"}},
	} {
		_, err := New(c.config)
		if err == nil {
			t.Errorf("%+v: no error", c.config)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %q does not say %s", c.config, err, want)
			}
		}
	}
}
