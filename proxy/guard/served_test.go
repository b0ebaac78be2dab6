package guard

import (
	"bufio"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// quiet is a logger for a server that is meant to meet malformed requests.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// TestServed goes through fasthttp's own server and real sockets: what it
// refuses by itself, and which addresses a connection says it has.
func TestServed(t *testing.T) {
	g := mustNew(t, Config{})
	server := &fasthttp.Server{Logger: quiet{}, Handler: func(ctx *fasthttp.RequestCtx) {
		if _, r := g.Door(ctx, endpoint); r != nil {
			ctx.SetStatusCode(r.Status)
		}
	}}
	cases := []struct {
		name, target string
		fields       []string
		tcp, unix    string
	}{
		{"loopback", "/mcp", []string{hostField}, "200", "200"},
		{"foreign", "/mcp", []string{"Host: evil.example"}, "403", "200"},
		{"none", "/mcp", nil, "400", "400"},
		{"empty", "/mcp", []string{"Host:"}, "400", "400"},
		{"twice", "/mcp", []string{hostField, hostField}, "400", "400"},
		{"one good and one foreign", "/mcp", []string{hostField, "host: evil.example"}, "400", "400"},
		{"foreign in the target", "http://evil.example/mcp", []string{hostField}, "403", "200"},
		{"loopback in the target", "http://localhost/mcp", []string{hostField}, "200", "200"},
		{"loopback in the target alone", "http://localhost/mcp", []string{"Host: evil.example"}, "403", "200"},
	}
	for _, network := range []string{"tcp4", "tcp6", "unix"} {
		t.Run(network, func(t *testing.T) {
			listener := listen(t, network)
			defer listener.Close()
			go serve(server, listener)
			for _, c := range cases {
				want := c.tcp
				if network == "unix" {
					want = c.unix
				}
				if got := status(t, listener.Addr(), "DELETE "+c.target+" HTTP/1.1", c.fields); got != want {
					t.Errorf("%s: status %s, want %s", c.name, got, want)
				}
			}
		})
	}
}

func listen(t *testing.T, network string) net.Listener {
	t.Helper()
	address := map[string]string{
		"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s"),
	}[network]
	l, err := net.Listen(network, address)
	if err != nil && network == "tcp6" {
		t.Skipf("this machine has no IPv6 loopback: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve serves one connection after the other, until l is closed. Serve itself
// would leave a goroutine behind for ten seconds.
func serve(s *fasthttp.Server, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = s.ServeConn(c) // what the server makes of a malformed request is for the client to see
		c.Close()
	}
}

// status sends one request over a connection of its own.
func status(t *testing.T, to net.Addr, line string, fields []string) string {
	t.Helper()
	c, err := net.Dial(to.Network(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head := line + "\r\nConnection: close\r\n" + strings.Join(append(fields, "", ""), "\r\n")
	if _, err := c.Write([]byte(head)); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(answer)[1]
}
