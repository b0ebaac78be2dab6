package guard

import (
	"bytes"
	"net/netip"
)

// An authority is HOST[:PORT] as it stands in a Host header, a URL or an
// origin, in canonical form.
type authority struct {
	host []byte // lower case, an IPv6 address shortened and in brackets; lives in the buffer it was parsed into
	port int    // 0: none was given
}

// longestHost is the longest name that DNS has.
const longestHost = 253

// A hostBuffer has room for the canonical form of a scheme and a host. It is
// meant for the stack.
type hostBuffer [longestHost + 64]byte

// parseAuthority reads raw, over buf. It is strict, because what it takes in is
// compared with what was allowed: user info, a trailing dot, an empty or
// impossible port, a zone, an escape, and any character that no host name has
// are refused.
func parseAuthority(buf, raw []byte) (authority, bool) {
	host, port := raw, 0
	if i := bytes.LastIndexByte(raw, ':'); i >= 0 && bytes.IndexByte(raw[i:], ']') < 0 {
		var ok bool
		host = raw[:i]
		if port, ok = parsePort(raw[i+1:]); !ok {
			return authority{}, false
		}
	}
	host, ok := canonicalHost(buf, host)
	if !ok {
		return authority{}, false
	}
	return authority{host: host, port: port}, true
}

// parsePort reads a port number as it is written: 1 to 65535, without leading
// zeros.
func parsePort(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 5 || b[0] == '0' {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n < 1<<16
}

// canonicalHost writes host over buf in lower case, if it is a name or an
// address.
func canonicalHost(buf, host []byte) ([]byte, bool) {
	if len(host) == 0 || len(host) > longestHost {
		return nil, false
	}
	if host[0] == '[' {
		return canonicalIPv6(buf, host)
	}
	buf = buf[:0]
	label := 0
	for _, c := range host {
		switch {
		case c == '.':
			if label == 0 {
				return nil, false
			}
			label = -1
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_': // container names have underscores
		default:
			return nil, false
		}
		label++
		buf = append(buf, c)
	}
	return buf, label > 0 // no trailing dot
}

func canonicalIPv6(buf, host []byte) ([]byte, bool) {
	if string(host) == "[::1]" { // what is nearly always asked for need not allocate
		return append(buf[:0], host...), true
	}
	if host[len(host)-1] != ']' {
		return nil, false
	}
	a, err := netip.ParseAddr(string(host[1 : len(host)-1]))
	if err != nil || !a.Is6() || a.Zone() != "" {
		return nil, false
	}
	buf = append(buf[:0], '[')
	buf = a.AppendTo(buf)
	return append(buf, ']'), true
}

// isLoopback tells whether a canonical host is localhost, of 127.0.0.0/8, or
// [::1]. Names that only lead to loopback, such as 127.0.0.1.nip.io, and other
// spellings of its addresses are not among them: the point of asking is that
// nobody else can have a page under such a name.
func isLoopback(host []byte) bool {
	switch string(host) {
	case "localhost", "127.0.0.1", "[::1]":
		return true
	}
	if !bytes.HasPrefix(host, []byte("127.")) {
		return false
	}
	_, err := netip.ParseAddr(string(host))
	return err == nil
}

// isAddress tells whether a canonical host is an address and not a name.
func isAddress(host []byte) bool {
	if host[0] == '[' {
		return true
	}
	_, err := netip.ParseAddr(string(host))
	return err == nil
}
