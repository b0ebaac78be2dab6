package guard

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	someOrigins = []string{
		"https://app.example.com", "https://*.example.org", "*.example.net", "http://*.test:8080",
		"HTTP://LocalHost:6274", "https://[2001:DB8:0::1]", "vscode-webview://abc-1", "https://secure.example:443",
	}
	originTable = []struct {
		rules  []string
		origin string
		want   bool
	}{
		// By default: loopback, http or https, any port.
		{nil, "http://localhost", true},
		{nil, "http://localhost:6274", true},
		{nil, "https://localhost:8443", true},
		{nil, "http://127.0.0.1:3000", true},
		{nil, "http://127.8.9.10", true},
		{nil, "http://[::1]:3000", true},
		{nil, "HTTP://LOCALHOST:3000", true},
		{nil, "http://localhost:80", true},
		{nil, "null", false},
		{nil, "NULL", false},
		{nil, "", false},
		{nil, "*", false},
		{nil, "localhost", false},
		{nil, "localhost:3000", false},
		{nil, "http:localhost", false},
		{nil, "http:/localhost", false},
		{nil, "//localhost", false},
		{nil, "://localhost", false},
		{nil, "http://", false},
		{nil, "http://:80", false},
		{nil, "file://", false},
		{nil, "file://localhost", false},
		{nil, "ftp://localhost", false},
		{nil, "tauri://localhost", false},
		{nil, "chrome-extension://localhost", false},
		{nil, "http://localhost/", false},
		{nil, "http://localhost/mcp", false},
		{nil, "http://localhost?", false},
		{nil, "http://localhost#", false},
		{nil, "http://localhost ", false},
		{nil, " http://localhost", false},
		{nil, "http://localhost http://localhost", false},
		{nil, "http://localhost, http://localhost", false},
		{nil, "http://localhost.", false},
		{nil, "http://localhost:", false},
		{nil, "http://localhost:0", false},
		{nil, "http://localhost:99999", false},
		{nil, "http://localhost:80:80", false},
		{nil, "http://localhost.evil.com", false},
		{nil, "http://evil.com", false},
		{nil, "http://evil.com:80@localhost", false},
		{nil, "http://localhost@evil.com", false},
		{nil, "http://localhost\\@evil.com", false},
		{nil, "http://127.0.0.1.nip.io", false},
		{nil, "http://127.1", false},
		{nil, "http://0.0.0.0:3000", false},
		{nil, "http://[::ffff:127.0.0.1]", false},
		{nil, "http://[::1%25lo]", false},
		{nil, "http://[::1", false},
		{nil, "http://localho\u017ft", false},
		{nil, "http://loc%61lhost", false},
		{nil, "http://local\x00host", false},
		{nil, "http://http://localhost", false},

		// With a list: what it names, and nothing else.
		{someOrigins, "https://app.example.com", true},
		{someOrigins, "https://App.Example.COM", true},
		{someOrigins, "https://app.example.com:443", true},
		{someOrigins, "https://app.example.com:8443", false},
		{someOrigins, "http://app.example.com", false},
		{someOrigins, "https://example.com", false},
		{someOrigins, "https://a.app.example.com", false},
		{someOrigins, "https://app.example.com.evil.com", false},
		{someOrigins, "https://evilapp.example.com", false},
		{someOrigins, "https://app.example.com.", false},
		{someOrigins, "https://a.example.org", true},
		{someOrigins, "https://a.b.example.org", true},
		{someOrigins, "https://A.EXAMPLE.ORG:443", true},
		{someOrigins, "https://example.org", false},
		{someOrigins, "https://.example.org", false},
		{someOrigins, "https://evilexample.org", false},
		{someOrigins, "https://a.example.org.evil.com", false},
		{someOrigins, "http://a.example.org", false},
		{someOrigins, "https://a.example.org:8443", false},
		{someOrigins, "https://evil.com/.example.org", false},
		{someOrigins, "https://evil.com?.example.org", false},
		{someOrigins, "https://evil.com#.example.org", false},
		{someOrigins, "https://evil.com\\.example.org", false},
		{someOrigins, "https://evil.com:.example.org", false},
		{someOrigins, "https://*.example.org", false},
		{someOrigins, "https://a.example.net", true},
		{someOrigins, "http://a.example.net", false},
		{someOrigins, "https://example.net", false},
		{someOrigins, "http://a.test:8080", true},
		{someOrigins, "http://a.test", false},
		{someOrigins, "http://localhost:6274", true},
		{someOrigins, "http://localhost:6275", false},
		{someOrigins, "http://localhost", false},
		{someOrigins, "http://127.0.0.1:6274", false},
		{someOrigins, "https://[2001:db8::1]", true},
		{someOrigins, "https://[2001:db8:0:0::1]:443", true},
		{someOrigins, "https://[2001:db8::2]", false},
		{someOrigins, "vscode-webview://abc-1", true},
		{someOrigins, "vscode-webview://abc-2", false},
		{someOrigins, "https://secure.example", true},
		{someOrigins, "null", false},
	}
)

func mustOrigins(t testing.TB, values []string) origins {
	t.Helper()
	rules, err := newOrigins(values)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestOrigins(t *testing.T) {
	for _, c := range originTable {
		if got := mustOrigins(t, c.rules).allow([]byte(c.origin)); got != c.want {
			t.Errorf("Origin %q, allowing %q: %v, want %v", c.origin, c.rules, got, c.want)
		}
	}
}

// TestLongOrigins: what does not fit into a buffer on the stack is no origin.
func TestLongOrigins(t *testing.T) {
	label := strings.Repeat("a", 50)
	long := strings.Repeat(label+".", 4)
	rules := mustOrigins(t, []string{"https://*.example.org"})
	for _, c := range []struct {
		origin string
		want   bool
	}{
		{"https://" + long + strings.Repeat("a", 253-len(long)-len(".example.org")) + ".example.org", true},
		{"https://" + long + strings.Repeat("a", 254-len(long)-len(".example.org")) + ".example.org", false},
		{"https://" + strings.Repeat("a.", 10_000) + "example.org", false},
		{strings.Repeat("a", 10_000) + "://a.example.org", false},
		{"https://a.example.org:" + strings.Repeat("4", 10_000), false},
		{"https://[" + strings.Repeat("0", 10_000) + "]", false},
	} {
		if got := rules.allow([]byte(c.origin)); got != c.want {
			t.Errorf("Origin of %d bytes: %v, want %v", len(c.origin), got, c.want)
		}
	}
}

// FuzzOrigin compares the rule with a second opinion, which is slow, allocates
// and is made of net/url, net/netip and a pattern.
func FuzzOrigin(f *testing.F) {
	for _, c := range originTable {
		f.Add(c.origin)
	}
	rules := mustOrigins(f, someOrigins)
	f.Fuzz(func(t *testing.T, raw string) {
		o, ok := secondOpinion(raw)
		if got, want := origins(nil).allow([]byte(raw)), ok && o.isLoopback(); got != want {
			t.Errorf("%q by default: %v, the second opinion is %v", raw, got, want)
		}
		if got, want := rules.allow([]byte(raw)), ok && o.isListed(); got != want {
			t.Errorf("%q from the list: %v, the second opinion is %v", raw, got, want)
		}
		if ok && strings.ContainsAny(raw, "\r\n") {
			t.Errorf("%q would end a header line", raw)
		}
	})
}

// A plainOrigin is scheme, host without brackets, and port with the scheme's
// own filled in.
type plainOrigin struct{ scheme, host, port string }

var hostPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$`)

func secondOpinion(raw string) (plainOrigin, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || len(u.Scheme) > 64 {
		return plainOrigin{}, false
	}
	if i := len(u.Scheme) + len("://"); raw[i:] != u.Host { // there is nothing before and nothing after it
		return plainOrigin{}, false
	}
	o := plainOrigin{u.Scheme, u.Hostname(), u.Port()}
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(o.host)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return plainOrigin{}, false
		}
		o.host = a.String()
	} else if !hostPattern.MatchString(o.host) || len(o.host) > 253 {
		return plainOrigin{}, false
	}
	o.host = strings.ToLower(o.host)
	if strings.HasSuffix(u.Host, ":") {
		return plainOrigin{}, false
	}
	if o.port == "" {
		o.port = map[string]string{"http": "80", "https": "443"}[o.scheme]
		return o, true
	}
	n, err := strconv.Atoi(o.port)
	return o, err == nil && n > 0 && n < 65536 && strconv.Itoa(n) == o.port
}

func (o plainOrigin) isLoopback() bool {
	if o.scheme != "http" && o.scheme != "https" {
		return false
	}
	a, err := netip.ParseAddr(o.host)
	return o.host == "localhost" || err == nil && a.IsLoopback() && !a.Is4In6()
}

// isListed is someOrigins, said again.
func (o plainOrigin) isListed() bool {
	switch o {
	case plainOrigin{"https", "app.example.com", "443"}, plainOrigin{"http", "localhost", "6274"},
		plainOrigin{"https", "2001:db8::1", "443"}, plainOrigin{"vscode-webview", "abc-1", ""},
		plainOrigin{"https", "secure.example", "443"}:
		return true
	}
	under := func(domain string) bool { return strings.HasSuffix(o.host, domain) }
	return o.scheme == "https" && o.port == "443" && (under(".example.org") || under(".example.net")) ||
		o.scheme == "http" && o.port == "8080" && under(".test")
}
