package guard

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"
)

// address is the client's address: the connection's own, or what trusted
// proxies say about it.
func (g *Guard) address(ctx *fasthttp.RequestCtx) netip.Addr {
	peer := addressOf(ctx.RemoteAddr())
	if len(g.proxies) == 0 || peer.IsValid() && !g.trusts(peer) {
		return peer
	}
	return g.forwarded(peer, ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedFor))
}

// forwarded walks X-Forwarded-For from the right, where each proxy adds whom it
// heard from, to the first address that is no trusted proxy's: that one is
// vouched for, and all before it may be invented. A malformed entry ends the
// walk at the last address that was good.
func (g *Guard) forwarded(client netip.Addr, lines [][]byte) netip.Addr {
	for i := len(lines) - 1; i >= 0; i-- {
		for line, more := lines[i], true; more; {
			entry := line
			comma := bytes.LastIndexByte(line, ',')
			if more = comma >= 0; more {
				line, entry = line[:comma], line[comma+1:]
			}
			a, ok := parseForwarded(bytes.Trim(entry, " \t"))
			if !ok {
				return client
			}
			client = a
			if !g.trusts(client) {
				return client
			}
		}
	}
	return client
}

// parseForwarded reads one entry: an address, that of IPv6 in brackets or not,
// with or without a port.
func parseForwarded(entry []byte) (netip.Addr, bool) {
	s := string(entry)
	if a, err := netip.ParseAddr(s); err == nil {
		return plain(a), true
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return plain(a.Addr()), true
	}
	if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
		if a, err := netip.ParseAddr(s[1 : n-1]); err == nil && a.Is6() {
			return plain(a), true
		}
	}
	return netip.Addr{}, false
}

// trusts tells whether a is a trusted proxy's.
func (g *Guard) trusts(a netip.Addr) bool {
	for _, p := range g.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addressOf is a's IP address; not valid where it has none, as on a Unix
// socket.
func addressOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return plain(t.AddrPort().Addr())
	}
	return netip.Addr{}
}

// plain is a in the one form in which addresses are compared: IPv4 out of its
// IPv6 clothes, and without a zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
