package guard

import "testing"

func TestHosts(t *testing.T) {
	const (
		v4   = "127.0.0.1:8080"
		v4b  = "127.0.0.53:8080"
		v6   = "[::1]:8080"
		in6  = "[::ffff:127.0.0.1]:8080"
		pod  = "10.0.0.7:8080"
		pod6 = "[2001:db8::7]:8080"
	)
	named := []string{"gate.example.com", "10.0.0.9", "[2001:DB8:0::9]", "My_Gate"}
	for _, c := range []struct {
		local string
		allow []string
		host  string
		want  bool
	}{
		// Loopback names, with any port or none, on any loopback address.
		{v4, nil, "localhost", true},
		{v4, nil, "localhost:8080", true},
		{v4, nil, "localhost:1", true},
		{v4, nil, "localhost:65535", true},
		{v4, nil, "LocalHost:8080", true},
		{v4, nil, "127.0.0.1", true},
		{v4, nil, "127.0.0.1:8080", true},
		{v4, nil, "127.255.255.254:80", true},
		{v4, nil, "[::1]", true},
		{v4, nil, "[::1]:8080", true},
		{v4, nil, "[0:0:0:0:0:0:0:1]:8080", true},
		{v6, nil, "localhost:8080", true},
		{v6, nil, "[::1]:8080", true},
		{v4b, nil, "localhost:8080", true},
		{in6, nil, "localhost:8080", true},

		// DNS rebinding: a name that somebody else has.
		{v4, nil, "evil.example", false},
		{v4, nil, "evil.example:8080", false},
		{v6, nil, "evil.example:8080", false},
		{v4b, nil, "evil.example:8080", false},
		{in6, nil, "evil.example:8080", false},
		{v4, nil, "localhost.evil.com", false},
		{v4, nil, "evil-localhost", false},
		{v4, nil, "localhost.localdomain", false},
		{v4, nil, "sub.localhost", false},
		{v4, nil, "127.0.0.1.nip.io", false},
		{v4, nil, "127.0.0.1.evil.com:8080", false},
		{v4, nil, "127.0.0.1evil.com", false},
		{v4, nil, "127.evil.com", false},
		{v4, nil, "localhost@evil.com", false},
		{v4, nil, "evil.com@localhost", false},
		{v4, nil, "user:password@localhost:8080", false},
		{v4, nil, "10.0.0.7:8080", false},

		// Other spellings of loopback, and what is hardly a host.
		{v4, nil, "localhost.", false},
		{v4, nil, "localhost.:8080", false},
		{v4, nil, ".localhost", false},
		{v4, nil, "localhost..", false},
		{v4, nil, "localhost:", false},
		{v4, nil, "localhost:0", false},
		{v4, nil, "localhost:080", false},
		{v4, nil, "localhost:80:80", false},
		{v4, nil, "localhost:65536", false},
		{v4, nil, "localhost:123456", false},
		{v4, nil, "localhost:-1", false},
		{v4, nil, "localhost:http", false},
		{v4, nil, "localhost 8080", false},
		{v4, nil, "localhost,evil.com", false},
		{v4, nil, "localhost/mcp", false},
		{v4, nil, "http://localhost", false},
		{v4, nil, "localho\u017ft", false}, // a long s, which Unicode folds to s
		{v4, nil, "%6cocalhost", false},
		{v4, nil, "127.1", false},
		{v4, nil, "127.0.0.01", false},
		{v4, nil, "127.0.0.256", false},
		{v4, nil, "127.0.0.1.", false},
		{v4, nil, "0x7f.0.0.1", false},
		{v4, nil, "2130706433", false},
		{v4, nil, "0.0.0.0", false},
		{v4, nil, "0.0.0.0:8080", false},
		{v4, nil, "[::]", false},
		{v4, nil, "::1", false},
		{v4, nil, "[::1", false},
		{v4, nil, "::1]", false},
		{v4, nil, "[::1]8080", false},
		{v4, nil, "[::1]:", false},
		{v4, nil, "[::1]:80:80", false},
		{v4, nil, "[::1%lo]", false},
		{v4, nil, "[::1%25lo]:8080", false},
		{v4, nil, "[127.0.0.1]", false},
		{v4, nil, "[::ffff:127.0.0.1]", false},
		{v4, nil, "[]", false},
		{v4, nil, "[", false},

		// What --allow-host adds.
		{v4, named, "gate.example.com", true},
		{v4, named, "Gate.Example.COM:443", true},
		{v4, named, "localhost:8080", true},
		{v4, named, "my_gate", true},
		{v4, named, "10.0.0.9:8080", true},
		{v4, named, "[2001:db8::9]:8080", true},
		{v4, named, "evil.example", false},
		{v4, named, "gate.example.com.evil.com", false},
		{v4, named, "a.gate.example.com", false},
		{v4, named, "gate.example.com.", false},
		{v4, named, "10.0.0.7:8080", false},

		// Elsewhere: anything, or what is named, and addresses.
		{pod, nil, "evil.example", true},
		{pod6, nil, "evil.example", true},
		{pod, nil, "not a host at all", true},
		{pod, named, "gate.example.com", true},
		{pod, named, "localhost:8080", true},
		{pod, named, "10.0.0.7:8080", true},
		{pod, named, "192.0.2.1", true},
		{pod, named, "[2001:db8::7]:8080", true},
		{pod, named, "evil.example", false},
		{pod, named, "10.0.0.7.nip.io", false},
		{pod, named, "10.0.0.7:8080:8080", false},
		{pod6, named, "evil.example", false},

		// No browser gets to a Unix socket.
		{"unix", nil, "evil.example", true},
		{"unix", named, "evil.example", true},
	} {
		h, err := newHosts(c.allow)
		if err != nil {
			t.Fatal(err)
		}
		remote := c.local
		if got := h.serve(request(t, between(remote, c.local), "GET /mcp HTTP/1.1", "Host: "+c.host)); got != c.want {
			t.Errorf("Host %q at %s, allowing %q: %v, want %v", c.host, c.local, c.allow, got, c.want)
		}
	}
}

// TestTargets: the absolute form of a target goes before Host, so both are
// looked at.
func TestTargets(t *testing.T) {
	for _, c := range []struct {
		target, host string
		want         bool
	}{
		{"/mcp", "localhost", true},
		{"//evil.example/mcp", "localhost", true}, // a path, whatever it looks like
		{"/http://evil.example/mcp", "localhost", true},
		{"*", "localhost", true},
		{"http://localhost:8080/mcp", "localhost", true},
		{"HTTP://LOCALHOST/mcp", "localhost", true},
		{"http://localhost", "localhost", true},
		{"http://localhost?a", "localhost", true},
		{"http://localhost#a", "localhost", true},
		{"http://evil.example/mcp", "localhost", false},
		{"http://localhost/mcp", "evil.example", false},
		{"http://localhost@evil.example/mcp", "localhost", false},
		{"http://evil.example?@localhost/", "localhost", false},
		{"http://localhost.evil.example/mcp", "localhost", false},
		{"http:///mcp", "localhost", false},
		{"evil.example/mcp", "localhost", false},
		{"mcp", "localhost", false},
	} {
		ctx := request(t, loopback, "GET / HTTP/1.1", "Host: "+c.host)
		ctx.Request.Header.SetRequestURI(c.target) // past fasthttp's own opinion of it
		if got := (hosts{}).serve(ctx); got != c.want {
			t.Errorf("target %s, Host %s: %v, want %v", c.target, c.host, got, c.want)
		}
	}
}

// TestUnknownTransport: where a connection does not say where it arrived, the
// strict rule holds.
func TestUnknownTransport(t *testing.T) {
	w := &fakeConn{local: pipeAddr{}, remote: pipeAddr{}}
	if (hosts{}).serve(request(t, w, "GET /mcp HTTP/1.1", "Host: evil.example")) {
		t.Error("a foreign Host was served")
	}
	if !(hosts{}).serve(request(t, w, "GET /mcp HTTP/1.1", "Host: localhost")) {
		t.Error("localhost was not served")
	}
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
