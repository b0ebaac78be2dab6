package http

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// origin is what a URL says about where a server is.
type origin struct {
	scheme  string // http, https or http+unix
	network string // tcp or unix
	address string // to dial
	server  string // the name that a certificate must be for
	host    string // the Host header
	target  string // the endpoint's path and query
	name    string // the URL without query
}

const urlForm = "write http://HOST:PORT/PATH, https://HOST/PATH, or http+unix://%2Fpath%2Fto.sock/PATH"

// parseURL reads the URL of a backend. What it says of one that cannot be used
// quotes no part of it that may be secret.
func parseURL(text string) (*origin, error) {
	u, err := url.Parse(withoutSocket(text))
	if err != nil {
		return nil, errors.New("the tool server's URL is none; " + urlForm)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("the tool server's URL has a user or password in it, which are not sent; take them out, and have clients send an Authorization header")
	case u.Fragment != "":
		return nil, errors.New("the tool server's URL has a fragment (#…), which means nothing to a server; take it out")
	case u.Opaque != "" || u.Host == "":
		return nil, errors.New("the tool server's URL names no host; " + urlForm)
	}
	o := &origin{scheme: u.Scheme, target: targetOf(u)}
	switch u.Scheme {
	case "http", "https":
		err = o.tcp(u)
	case "http+unix":
		err = o.unix(text)
	default:
		err = fmt.Errorf("the tool server's URL has the scheme %q; %s", u.Scheme, urlForm)
	}
	path, _, _ := strings.Cut(o.target, "?")
	o.name = o.base() + path
	return o, err
}

const unixScheme = "http+unix://"

// withoutSocket puts a name in the place of a socket's path, which net/url does
// not take for a host.
func withoutSocket(text string) string {
	if rest, ok := strings.CutPrefix(text, unixScheme); ok {
		if i := strings.IndexAny(rest, "/?#@"); i < 0 {
			return unixScheme + "localhost"
		} else if rest[i] != '@' {
			return unixScheme + "localhost" + rest[i:]
		}
	}
	return text
}

// targetOf is the path and query of a URL as they go into a request.
func targetOf(u *url.URL) string {
	target := u.EscapedPath()
	if target == "" {
		target = "/mcp"
	}
	if u.RawQuery != "" {
		target += "?" + u.RawQuery
	}
	return target
}

func (o *origin) tcp(u *url.URL) error {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	o.network, o.address, o.server, o.host = "tcp", net.JoinHostPort(u.Hostname(), port), u.Hostname(), u.Host
	if u.Hostname() == "" || !sendable(u.Host) {
		return errors.New("the tool server's URL names no host; " + urlForm)
	}
	return nil
}

// unix reads the socket's path, which stands where a host does, percent-encoded.
func (o *origin) unix(text string) error {
	host, _, _ := strings.Cut(strings.TrimPrefix(text, unixScheme), "/")
	host, _, _ = strings.Cut(host, "?")
	path, err := url.PathUnescape(host)
	if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
		return fmt.Errorf("the socket %q in the tool server's URL is no absolute path with each / written as %%2F; write http+unix://%%2Frun%%2Ftool.sock/mcp", host)
	}
	o.network, o.address, o.host = "unix", path, "localhost"
	return nil
}

// base is the origin as a URL.
func (o *origin) base() string {
	if o.network == "unix" {
		return unixScheme + url.PathEscape(o.address)
	}
	return o.scheme + "://" + o.host
}

// own is the origin as the server knows it.
func (o *origin) own() string {
	if o.network == "unix" {
		return "http://" + o.host
	}
	return o.scheme + "://" + o.host
}

// resolve makes a request's target of a reference that the server gave, and
// fails where that leads to another origin. The error completes "an endpoint …".
func (o *origin) resolve(reference string) (target string, err error) {
	base, err := url.Parse(o.own() + o.target)
	if err != nil {
		return "", err
	}
	u, err := base.Parse(reference)
	if err != nil || !sendable(reference) {
		return "", errors.New("that is no URL")
	}
	if u.Scheme != base.Scheme || !strings.EqualFold(withPort(u), withPort(base)) || u.User != nil {
		return "", errors.New("on another origin, to which nothing is sent; give the gate a URL with the scheme, host and port that the server names")
	}
	if target = u.RequestURI(); !strings.HasPrefix(target, "/") {
		return "", errors.New("that has no path")
	}
	return target, nil
}

func withPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// sendable tells whether a text may stand in a request line or a header: it is
// visible ASCII, and there is some of it.
func sendable(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return text != ""
}
