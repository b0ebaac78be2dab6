package guard

import (
	"net/netip"
	"testing"
)

func TestAddress(t *testing.T) {
	const peer = "10.0.0.1:50000"
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:cafe::/48")}
	for _, c := range []struct {
		name    string
		proxies []netip.Prefix
		remote  string
		fields  []string
		want    string // "": no address
	}{
		{"nothing trusted", nil, peer, []string{"X-Forwarded-For: 192.0.2.1"}, "10.0.0.1"},
		{"the peer is not trusted", trusted, "192.0.2.9:1", []string{"X-Forwarded-For: 192.0.2.1"}, "192.0.2.9"},
		{"no header", trusted, peer, nil, "10.0.0.1"},
		{"one entry", trusted, peer, []string{"X-Forwarded-For: 192.0.2.1"}, "192.0.2.1"},
		{"what the client invented", trusted, peer, []string{"X-Forwarded-For: 203.0.113.5, 192.0.2.1"}, "192.0.2.1"},
		{"through two proxies", trusted, peer, []string{"X-Forwarded-For: 203.0.113.5, 192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		{"in two fields", trusted, peer, []string{"X-Forwarded-For: 203.0.113.5, 192.0.2.1", "X-Forwarded-For: 10.0.0.2"}, "192.0.2.1"},
		{"in two fields, the last one decides", trusted, peer, []string{"X-Forwarded-For: 203.0.113.5", "X-Forwarded-For: 192.0.2.1"}, "192.0.2.1"},
		{"all trusted", trusted, peer, []string{"X-Forwarded-For: 10.0.0.4, 10.0.0.3, 10.0.0.2"}, "10.0.0.4"},
		{"spaces and tabs", trusted, peer, []string{"X-Forwarded-For: 203.0.113.5 ,\t192.0.2.1\t, 10.0.0.2"}, "192.0.2.1"},
		{"no spaces", trusted, peer, []string{"X-Forwarded-For: 203.0.113.5,192.0.2.1,10.0.0.2"}, "192.0.2.1"},
		{"with a port", trusted, peer, []string{"X-Forwarded-For: 192.0.2.1:4711"}, "192.0.2.1"},
		{"IPv6", trusted, peer, []string{"X-Forwarded-For: 2001:db8::5"}, "2001:db8::5"},
		{"IPv6 in brackets", trusted, peer, []string{"X-Forwarded-For: [2001:db8::5]"}, "2001:db8::5"},
		{"IPv6 with a port", trusted, peer, []string{"X-Forwarded-For: [2001:db8::5]:4711"}, "2001:db8::5"},
		{"IPv6 with a zone", trusted, peer, []string{"X-Forwarded-For: fe80::5%eth0"}, "fe80::5"},
		{"a trusted IPv6 proxy", trusted, "[2001:db8:cafe::1]:1", []string{"X-Forwarded-For: 192.0.2.1"}, "192.0.2.1"},
		{"IPv4 in IPv6 clothes", trusted, "[::ffff:10.0.0.1]:1", []string{"X-Forwarded-For: ::ffff:192.0.2.1"}, "192.0.2.1"},
		{"malformed", trusted, peer, []string{"X-Forwarded-For: 192.0.2.1, unknown"}, "10.0.0.1"},
		{"malformed behind a proxy", trusted, peer, []string{"X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"malformed, unread", trusted, peer, []string{"X-Forwarded-For: unknown, 192.0.2.1"}, "192.0.2.1"},
		{"an empty entry", trusted, peer, []string{"X-Forwarded-For: 192.0.2.1,"}, "10.0.0.1"},
		{"an empty field", trusted, peer, []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For:"}, "10.0.0.1"},
		{"IPv4 in brackets", trusted, peer, []string{"X-Forwarded-For: [192.0.2.1]"}, "10.0.0.1"},
		{"half a bracket", trusted, peer, []string{"X-Forwarded-For: [2001:db8::5"}, "10.0.0.1"},
		{"a name", trusted, peer, []string{"X-Forwarded-For: localhost"}, "10.0.0.1"},
		{"Unix socket", nil, "unix", []string{"X-Forwarded-For: 192.0.2.1"}, ""},
		{"Unix socket behind a proxy", trusted, "unix", []string{"X-Forwarded-For: 203.0.113.5, 192.0.2.1"}, "192.0.2.1"},
		{"Unix socket behind a silent proxy", trusted, "unix", nil, ""},
	} {
		g := mustNew(t, Config{TrustProxies: c.proxies})
		ctx := request(t, between(c.remote, "127.0.0.1:8080"), "GET /mcp HTTP/1.1", append(c.fields, hostField)...)
		var want netip.Addr
		if c.want != "" {
			want = netip.MustParseAddr(c.want)
		}
		if got := g.address(ctx); got != want {
			t.Errorf("%s: %s, want %s", c.name, got, want)
		}
		if v, _ := g.Door(ctx, health); v.Address != want {
			t.Errorf("%s: the visitor's address is %s", c.name, v.Address)
		}
	}
}
