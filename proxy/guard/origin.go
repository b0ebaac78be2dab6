package guard

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"
)

// origins is the rule about who may send a browser here (2025-11-25,
// basic/transports, "Security Warning": servers must validate Origin and answer
// 403). A request without Origin passes: no SDK sends one, and every browser
// does where it matters.
type origins []originRule // empty: loopback origins only

// An originRule is one value of --allow-origin.
type originRule struct {
	scheme string
	host   string // ".example.com" where suffix
	port   int    // 0: the scheme's own
	suffix bool
}

// An origin is what a browser says a page came from: scheme, host, port, each
// canonical, and the scheme's own port left out.
type origin struct {
	scheme []byte // lives in the buffer it was parsed into
	authority
}

func newOrigins(values []string) (origins, error) {
	var rules origins
	for _, value := range values {
		rule, ok := parseOriginRule(value)
		if !ok {
			return nil, fmt.Errorf(`--allow-origin must be SCHEME://HOST[:PORT], where HOST may start with "*." and stands alone for https; it is %q`, value)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// parseOriginRule reads one value of --allow-origin. "*" and "null" are none:
// the one stands for everybody, and the other for whoever likes to.
func parseOriginRule(value string) (originRule, bool) {
	if strings.HasPrefix(value, "*.") {
		value = "https://" + value
	}
	scheme, host, _ := strings.Cut(value, "://")
	host, suffix := strings.CutPrefix(host, "*.")
	var buf hostBuffer
	o, ok := parseOrigin(buf[:], []byte(scheme+"://"+host))
	if !ok || suffix && isAddress(o.host) {
		return originRule{}, false
	}
	rule := originRule{scheme: string(o.scheme), host: string(o.host), port: o.port, suffix: suffix}
	if suffix {
		rule.host = "." + rule.host
	}
	return rule, true
}

// check returns the Origin to echo, "" where there is none, and whether the
// request may go on.
func (rules origins) check(h *fasthttp.RequestHeader) (echo string, ok bool) {
	values := h.PeekAll(fasthttp.HeaderOrigin)
	switch {
	case len(values) == 0:
		return "", true
	case len(values) > 1 || !rules.allow(values[0]):
		return "", false
	}
	return string(values[0]), true
}

// allow tells whether raw, the value of an Origin header, is an origin that may
// use the gate. "null" is not one, and neither is a list.
func (rules origins) allow(raw []byte) bool {
	var buf hostBuffer
	o, ok := parseOrigin(buf[:], raw)
	if !ok {
		return false
	}
	if len(rules) == 0 {
		return (string(o.scheme) == "http" || string(o.scheme) == "https") && isLoopback(o.host)
	}
	for i := range rules {
		if rules[i].allows(&o) {
			return true
		}
	}
	return false
}

func (r *originRule) allows(o *origin) bool {
	if string(o.scheme) != r.scheme || o.port != r.port {
		return false
	}
	if r.suffix { // at least one character before the dot
		return len(o.host) > len(r.host) && string(o.host[len(o.host)-len(r.host):]) == r.host
	}
	return string(o.host) == r.host
}

// parseOrigin reads a serialised origin (RFC 6454, section 6.2) into buf.
func parseOrigin(buf, raw []byte) (origin, bool) {
	i := bytes.Index(raw, []byte("://"))
	if i < 1 || i > len(hostBuffer{})-longestHost {
		return origin{}, false
	}
	scheme := buf[:0]
	for n, c := range raw[:i] {
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case 'a' <= c && c <= 'z':
		case n > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return origin{}, false
		}
		scheme = append(scheme, c)
	}
	a, ok := parseAuthority(buf[i:], raw[i+len("://"):])
	if !ok {
		return origin{}, false
	}
	if string(scheme) == "http" && a.port == 80 || string(scheme) == "https" && a.port == 443 {
		a.port = 0
	}
	return origin{scheme: scheme, authority: a}, true
}
