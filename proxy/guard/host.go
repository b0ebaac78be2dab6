package guard

import (
	"bytes"
	"fmt"
	"net"

	"github.com/valyala/fasthttp"
)

// hosts is the rule against DNS rebinding: a page of evil.example that has its
// own name resolved to 127.0.0.1 reaches the gate as same-origin, but with its
// own name in Host.
//
//   - On a loopback address: loopback names with any port, and what --allow-host
//     adds.
//   - Elsewhere any Host passes, unless --allow-host names some: then these, the
//     loopback names, and every plain IP address. Nobody can rebind an address,
//     and probes use them.
//   - On a Unix socket any Host passes: no browser gets there.
type hosts map[string]struct{}

func newHosts(names []string) (hosts, error) {
	h := make(hosts, len(names))
	for _, name := range names {
		var buf hostBuffer
		host, ok := canonicalHost(buf[:], []byte(name))
		if !ok {
			return nil, fmt.Errorf("--allow-host must be a host name or an address ([…] around IPv6), without a scheme, a port or a wildcard; it is %q", name)
		}
		h[string(host)] = struct{}{}
	}
	return h, nil
}

// serve tells whether the request asks for a host that is served where it
// arrived. Two Host headers, or none at HTTP/1.1, do not get this far: fasthttp
// answers 400.
func (h hosts) serve(ctx *fasthttp.RequestCtx) bool {
	loopback := true // of what we do not know, the strict rule holds
	switch a := ctx.LocalAddr().(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		loopback = a.IP.IsLoopback()
	}
	if !loopback && len(h) == 0 {
		return true
	}
	if !h.has(ctx.Request.Header.Host(), loopback) {
		return false
	}
	// The absolute form of a target goes before Host (RFC 9112, section 3.2.2).
	target, absolute := targetAuthority(ctx.Request.Header.RequestURI())
	return !absolute || h.has(target, loopback)
}

// has tells whether one HOST[:PORT] is served.
func (h hosts) has(raw []byte, loopback bool) bool {
	var buf hostBuffer
	a, ok := parseAuthority(buf[:], raw)
	if !ok {
		return false
	}
	if _, ok := h[string(a.host)]; ok {
		return true
	}
	return isLoopback(a.host) || !loopback && isAddress(a.host)
}

// targetAuthority is the authority of a request target in absolute form; false
// where it has another form: "/path" or "*". It is a part of uri.
func targetAuthority(uri []byte) ([]byte, bool) {
	if len(uri) == 0 || uri[0] == '/' || string(uri) == "*" {
		return nil, false
	}
	_, rest, ok := bytes.Cut(uri, []byte("://"))
	if !ok {
		return nil, true // neither form: no host is served by that name
	}
	if end := bytes.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return rest, true
}
