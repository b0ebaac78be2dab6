package proxy

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// soundConfig is one that Validate has nothing to say about.
func soundConfig() *Config {
	return &Config{
		Listen: "127.0.0.1:8080", Admin: "127.0.0.1:8081",
		MaxMessage: 16 << 20, MaxHeader: 16 << 10, MaxBytesInFlight: 256 << 20, MaxConnections: 100,
		HeaderTimeout: time.Second, BodyTimeout: time.Second, WriteTimeout: time.Second,
		IdleTimeout: time.Minute, SessionLifetime: time.Hour, KeepAlive: time.Second,
		ReplayEvents: 10, ReplayBytes: 1 << 20, Grace: time.Second,
		Backends: []BackendConfig{{
			Name: "default", Command: []string{"true"}, Isolation: IsolationSession, Links: 1, MaxSessions: 100, MaxCalls: 64, Warm: 1, MaxLinks: 4,
			LinkWait: time.Second, CallTimeout: time.Hour, StopTimeout: time.Second,
			Era: EraAuto, MaxParked: 1, ParkTimeout: time.Second,
		}},
	}
}

func TestValidateAccepts(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"as it is":        func(*Config) {},
		"socket":          func(c *Config) { c.Listen, c.Admin = "unix:///run/gate.sock", "unix:///run/admin.sock" },
		"all addresses":   func(c *Config) { c.Listen = ":0" },
		"same port":       func(c *Config) { c.Listen, c.Admin = "127.0.0.1:9000", "127.0.0.2:9000" },
		"any port twice":  func(c *Config) { c.Listen, c.Admin = "127.0.0.1:0", "127.0.0.1:0" },
		"any port of all": func(c *Config) { c.Listen, c.Admin = ":0", "127.0.0.1:0" },
		"IPv6":            func(c *Config) { c.Listen = "[::1]:8080" },
		"name":            func(c *Config) { c.Listen = "localhost:8080" },
		"no admin":        func(c *Config) { c.Admin = "off" },
		"hosts":           func(c *Config) { c.AllowHosts = []string{"gate", "Gate.example.com", "10.0.0.1", "[::1]"} },
		"origins": func(c *Config) {
			c.AllowOrigins = []string{"https://a.example", "http://b:8080", "https://*.example.com"}
		},
		"rates":              func(c *Config) { c.Rate, c.Burst, c.AddressRate, c.AddressBurst = 0.5, 1, 1000, 2000 },
		"no waiting":         func(c *Config) { c.Grace, c.Backends[0].LinkWait = 0, 0 },
		"no replay":          func(c *Config) { c.ReplayEvents, c.ReplayBytes = 0, 0 },
		"nothing warm":       func(c *Config) { c.Backends[0].Warm = 0 },
		"one message fits":   func(c *Config) { c.MaxBytesInFlight = int64(c.MaxMessage) },
		"environment":        func(c *Config) { c.Backends[0].Env = []string{"A", "B=", "C=x y=z"} },
		"longest name":       func(c *Config) { c.Backends[0].Name = strings.Repeat("a", 63) },
		"URLs of every kind": useURLs("http://a/mcp", "https://a:1/x?key=y", "http+unix://%2Frun%2Fx", "http+unix://%2Frun%2Fx/mcp?a", "unix:///run/x", "tcp://a:1", "tcp://[::1]:1", "ws://a", "wss://a/ws"),
		"shared":             func(c *Config) { c.Backends[0].Isolation, c.Backends[0].Links = IsolationShared, 3 },
		"by caller": func(c *Config) {
			c.TokenFile, c.Backends[0].Isolation = "tokens", IsolationPrincipal
		},
		"passes": func(c *Config) {
			useURLs("http://a", "http+unix://%2Frun%2Fx")(c)
			c.Backends[0].Pass = []string{"/.well-known/oauth-protected-resource", "/.well-known/", "/mcp2", "/assets/a.b_c~d-e/"}
			c.Backends[1].Pass = []string{"/wsx"}
		},
		"public URL":           func(c *Config) { c.PublicURL = "https://example.com/gate/" },
		"public URL of a host": func(c *Config) { c.PublicURL = "http://10.0.0.1:8080" },
		"two commands": func(c *Config) {
			c.Backends = append(c.Backends, c.Backends[0])
			c.Backends[1].Name = "other"
		},
	} {
		c := soundConfig()
		change(c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// useURLs exchanges the backends for those.
func useURLs(urls ...string) func(*Config) {
	return func(c *Config) {
		sound := c.Backends[0]
		c.Backends = nil
		for i, u := range urls {
			b := sound
			b.Name, b.Command, b.URL = strings.Repeat("b", i+1), nil, u
			c.Backends = append(c.Backends, b)
		}
	}
}

// useProbe is usePass for the path of a probe.
func useProbe(url, path string) func(*Config) {
	return func(c *Config) {
		usePass(url, "/x")(c)
		c.Backends[0].Pass, c.Backends[0].Probe = nil, path
	}
}

// usePass exchanges the backends for one that lets a path through.
func usePass(url, path string) func(*Config) {
	return func(c *Config) {
		useURLs(url)(c)
		c.Backends[0].Pass = []string{path}
	}
}

func TestValidateRefuses(t *testing.T) {
	const address = `must be HOST:PORT, unix:///PATH or fd://NAME; it is `
	const badPath = `backends.b.pass must be a path that starts with / and is plain, without %, ?, ; and *; one that ends with / lets all below it through; it is `
	const timeout = `must be from 1ms to 10000h0m0s; it is `
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Listen = "" }, `--listen ` + address + `""`},
		{func(c *Config) { c.Listen = "8080" }, `--listen ` + address + `"8080"`},
		{func(c *Config) { c.Listen = "127.0.0.1:http" }, `--listen ` + address + `"127.0.0.1:http"`},
		{func(c *Config) { c.Listen = "127.0.0.1:65536" }, `--listen ` + address + `"127.0.0.1:65536"`},
		{func(c *Config) { c.Listen = "http://127.0.0.1:80" }, `--listen ` + address + `"http://127.0.0.1:80"`},
		{func(c *Config) { c.Listen = "unix://gate.sock" }, `--listen ` + address + `"unix://gate.sock"`},
		{func(c *Config) { c.Listen = "unix:///" }, `--listen ` + address + `"unix:///"`},
		{func(c *Config) { c.Listen = "off" }, `--listen ` + address + `"off"`},
		{func(c *Config) { c.Listen = "fd://" }, `--listen ` + address + `"fd://"`},
		{func(c *Config) { c.Listen = "fd://a b" }, `--listen ` + address + `"fd://a b"`},
		{func(c *Config) { c.Listen, c.Admin = "fd://a", "fd://a" }, `--admin must differ from --listen; both are "fd://a"`},
		{func(c *Config) { c.Admin = "none" }, `--admin must be HOST:PORT, unix:///PATH, fd://NAME or "off"; it is "none"`},
		{func(c *Config) { c.Admin = c.Listen }, `--admin must differ from --listen; both are "127.0.0.1:8080"`},
		{func(c *Config) { c.Listen, c.Admin = ":9000", "127.0.0.1:9000" }, `--admin must have another port than --listen, since one of them takes it on all addresses; they are "127.0.0.1:9000" and ":9000"`},
		{func(c *Config) { c.Listen, c.Admin = "[::1]:9000", "0.0.0.0:9000" }, `--admin must have another port than --listen, since one of them takes it on all addresses; they are "0.0.0.0:9000" and "[::1]:9000"`},
		{func(c *Config) { c.AllowHosts = []string{"https://x"} }, `--allow-host must be a host name or an address ([…] around IPv6), without a scheme, a port or a wildcard; it is "https://x"`},
		{func(c *Config) { c.AllowHosts = []string{"x:80"} }, `--allow-host must be a host name or an address ([…] around IPv6), without a scheme, a port or a wildcard; it is "x:80"`},
		{func(c *Config) { c.AllowHosts = []string{"a", "*.x"} }, `--allow-host must be a host name or an address ([…] around IPv6), without a scheme, a port or a wildcard; it is "*.x"`},
		{func(c *Config) { c.AllowOrigins = []string{"*"} }, `--allow-origin must be SCHEME://HOST[:PORT], where HOST may start with "*." and stands alone for https; it is "*"`},
		{func(c *Config) { c.AllowOrigins = []string{"null"} }, `--allow-origin must be SCHEME://HOST[:PORT], where HOST may start with "*." and stands alone for https; it is "null"`},
		{func(c *Config) { c.AllowOrigins = []string{"https://x/"} }, `--allow-origin must be SCHEME://HOST[:PORT], where HOST may start with "*." and stands alone for https; it is "https://x/"`},
		{func(c *Config) { c.AllowOrigins = []string{"https://a.*.x"} }, `--allow-origin must be SCHEME://HOST[:PORT], where HOST may start with "*." and stands alone for https; it is "https://a.*.x"`},
		{func(c *Config) { c.Rate = -1 }, `--rate must be requests a second, or 0 for no limit; it is -1`},
		{func(c *Config) { c.AddressRate = math.NaN() }, `--address-rate must be requests a second, or 0 for no limit; it is NaN`},
		{func(c *Config) { c.Burst = 1 }, `--burst means nothing without --rate`},
		{func(c *Config) { c.AddressRate, c.AddressBurst = 1, -1 }, `--address-burst must be at least 0 and at most 1073741824; it is -1`},
		{func(c *Config) { c.MaxMessage = 1 }, `--max-message must be from 1024 to 1073741824 bytes; it is 1`},
		{func(c *Config) { c.MaxHeader = 1 << 21 }, `--max-header must be from 1024 to 1048576 bytes; it is 2097152`},
		{func(c *Config) { c.MaxBytesInFlight = 1 }, `--max-bytes-in-flight must be at least --max-message, 16777216 bytes; it is 1`},
		{func(c *Config) { c.MaxConnections = 0 }, `--max-connections must be at least 1 and at most 1073741824; it is 0`},
		{func(c *Config) { c.Backends[0].MaxCalls = -1 }, `backends.default.max-calls must be at least 1 and at most 1073741824; it is -1`},
		{func(c *Config) { c.HeaderTimeout = 0 }, `--header-timeout ` + timeout + `0s`},
		{func(c *Config) { c.BodyTimeout = -time.Second }, `--body-timeout ` + timeout + `-1s`},
		{func(c *Config) { c.WriteTimeout = time.Microsecond }, `--write-timeout ` + timeout + `1µs`},
		{func(c *Config) { c.Backends[0].MaxSessions = 1 << 31 }, `backends.default.max-sessions must be at least 1 and at most 1073741824; it is 2147483648`},
		{func(c *Config) { c.IdleTimeout = 0 }, `--idle-timeout ` + timeout + `0s`},
		{func(c *Config) { c.SessionLifetime = math.MaxInt64 }, `--session-lifetime ` + timeout + `2562047h47m16.854775807s`},
		{func(c *Config) { c.KeepAlive = 0 }, `--keep-alive ` + timeout + `0s`},
		{func(c *Config) { c.ReplayEvents = -1 }, `--replay-events must be at least 0 and at most 1073741824; it is -1`},
		{func(c *Config) { c.ReplayBytes = -1 }, `--replay-bytes must be from 0 to 1073741824 bytes; it is -1`},
		{func(c *Config) { c.Grace = -1 }, `--grace ` + timeout + `-1ns`},
		{func(c *Config) { c.DrainDelay = -1 }, `--drain-delay ` + timeout + `-1ns`},
		{func(c *Config) { c.Backends = nil }, `--backend is missing: name the tool server, as in: sidegate run -- npx -y @modelcontextprotocol/server-filesystem "$PWD"`},
		{func(c *Config) { c.Backends[0].Name = "" }, `--backend must have a name of 1 to 63 characters a-z, 0-9 and -; it is ""`},
		{func(c *Config) { c.Backends = append(c.Backends, c.Backends[0]) }, `backends.default.backend stands for two backends named "default"; write --backend NAME=URL, with a name of its own for each`},
		{func(c *Config) { c.Backends[0].Command = nil }, `backends.default.command must have a command or a url`},
		{func(c *Config) { c.Backends[0].URL = "http://x" }, `backends.default.url cannot stand beside command: give one of the two`},
		{func(c *Config) { c.Backends[0].Command = []string{"", "x"} }, `backends.default.command must start with the program's name; it starts with an empty argument`},
		{func(c *Config) { c.Backends[0].Command = []string{"x", "\x00"} }, `backends.default.command must not hold a NUL character`},
		{func(c *Config) { useURLs("http://x")(c); c.Backends[0].Env = []string{"A=1"} }, `backends.b.env means nothing for a URL: it is a command that is given variables`},
		{func(c *Config) { c.Backends[0].Env = []string{"=secret"} }, `backends.default.env must be NAME=VALUE, or NAME to pass on the gate's own value; its name is ""`},
		{func(c *Config) { c.Backends[0].MaxLinks = 0 }, `backends.default.max-links must be at least 1 and at most 1073741824; it is 0`},
		{func(c *Config) { c.Backends[0].Warm = -1 }, `backends.default.warm must be at least 0 and at most 1073741824; it is -1`},
		{func(c *Config) { c.Backends[0].Warm = 5 }, `backends.default.warm must be at most --max-links, 4; it is 5`},
		{func(c *Config) { c.Backends[0].LinkWait = -1 }, `backends.default.link-wait ` + timeout + `-1ns`},
		{func(c *Config) { c.Backends[0].CallTimeout = 0 }, `backends.default.call-timeout ` + timeout + `0s`},
		{func(c *Config) { c.Backends[0].StopTimeout = 0 }, `backends.default.stop-timeout ` + timeout + `0s`},
		{func(c *Config) { c.Backends[0].ParkTimeout = 0 }, `backends.default.park-timeout ` + timeout + `0s`},
		{func(c *Config) { c.Backends[0].MaxParked = 0 }, `backends.default.max-parked must be at least 1 and at most 1073741824; it is 0`},
		{func(c *Config) { c.Backends[0].Era = "old" }, `backends.default.era must be auto, legacy or modern; it is "old"`},
		{func(c *Config) { c.PublicURL = "example.com" }, `--public-url must be http://HOST[:PORT][/PATH] or https://…, without a query; it is "example.com"`},
		{func(c *Config) { c.PublicURL = "https://example.com/?x" }, `--public-url must be http://HOST[:PORT][/PATH] or https://…, without a query; it is "https://example.com/?x"`},
		{func(c *Config) { c.PublicURL = "https://me:secret@example.com/" }, `--public-url must not hold a user or a password: every client is told it`},
		{func(c *Config) { c.Backends[0].Isolation = "alone" }, `backends.default.isolation must be session, principal or shared; it is "alone"`},
		{func(c *Config) { c.Backends[0].Isolation = "principal" }, `backends.default.isolation principal needs --token-file: without it callers cannot be told apart`},
		{func(c *Config) { c.Backends[0].Links = 0 }, `backends.default.links must be at least 1 and at most 1073741824; it is 0`},
		{func(c *Config) { c.Backends[0].Links = 2 }, `backends.default.links means something with --isolation shared only; it is 2, and the isolation session`},
		{func(c *Config) { c.Backends[0].Isolation, c.Backends[0].Links = "shared", 5 }, `backends.default.links must be less than --max-links, 4, since a call that may be asked something back has a link to itself; it is 5`},
		{func(c *Config) { c.Backends[0].Pass = []string{"/x"} }, `backends.default.pass means something for a URL only that starts with http://, https://, http+unix://: other servers have no paths`},
		{useProbe("ws://x", "/x"), `backends.b.probe means something for a URL only that starts with http://, https://, http+unix://: other servers have no paths`},
		{useProbe("http://x", "x"), `backends.b.probe must be a path that starts with /, without spaces, and what is not ASCII percent-encoded; it is "x"`},
		{useProbe("http://x", "/a b"), `backends.b.probe must be a path that starts with /, without spaces, and what is not ASCII percent-encoded; it is "/a b"`},
		{usePass("ws://x", "/x"), `backends.b.pass means something for a URL only that starts with http://, https://, http+unix://: other servers have no paths`},
		{usePass("http://x", ""), badPath + `""`},
		{usePass("http://x", "x"), badPath + `"x"`},
		{usePass("http://x", "/x*"), badPath + `"/x*"`},
		{usePass("http://x", "/%6dcp"), badPath + `"/%6dcp"`},
		{usePass("http://x", "/x;y"), badPath + `"/x;y"`},
		{usePass("http://x", "/x?y"), badPath + `"/x?y"`},
		{usePass("http://x", "/x y"), badPath + `"/x y"`},
		{usePass("http://x", `/x\y`), badPath + `"/x\\y"`},
		{usePass("http://x", "/é"), badPath + `"/é"`},
		{usePass("http://x", "/a/../mcp"), `backends.b.pass must not have empty parts, . or .. in it; it is "/a/../mcp"`},
		{usePass("http://x", "/a/./"), `backends.b.pass must not have empty parts, . or .. in it; it is "/a/./"`},
		{usePass("http://x", "//a"), `backends.b.pass must not have empty parts, . or .. in it; it is "//a"`},
		{usePass("http://x", "/a//"), `backends.b.pass must not have empty parts, . or .. in it; it is "/a//"`},
		{usePass("http://x", "/"), `backends.b.pass must leave /mcp to the gate itself; it is "/"`},
		{usePass("http://x", "/mcp"), `backends.b.pass must leave /mcp to the gate itself; it is "/mcp"`},
		{usePass("http://x", "/sse/"), `backends.b.pass must leave /sse to the gate itself; it is "/sse/"`},
		{usePass("http://x", "/messages/x"), `backends.b.pass must leave /messages to the gate itself; it is "/messages/x"`},
		{usePass("http://x", "/servers/b/x"), `backends.b.pass must leave /servers to the gate itself; it is "/servers/b/x"`},
		{usePass("http://x", "/healthz"), `backends.b.pass must leave /healthz to the gate itself; it is "/healthz"`},
		{useURLs("ftp://x"), `backends.b.url must be a URL that starts with http://, https://, http+unix://, unix://, tcp://, ws://, wss://; it is "ftp://x"`},
		{useURLs("x"), `backends.b.url must be a URL that starts with http://, https://, http+unix://, unix://, tcp://, ws://, wss://; it is "x"`},
		{useURLs("ftp://me:secret@x"), `backends.b.url must be a URL that starts with http://, https://, http+unix://, unix://, tcp://, ws://, wss://`},
		{useURLs("http://"), `backends.b.url must be http://HOST[:PORT][/PATH]; it is "http://"`},
		{useURLs("https://x/#y"), `backends.b.url must be https://HOST[:PORT][/PATH]; it is "https://x/#y"`},
		{useURLs("ws://x:99999"), `backends.b.url must be ws://HOST[:PORT][/PATH]; it is "ws://x:99999"`},
		{useURLs("wss:///x"), `backends.b.url must be wss://HOST[:PORT][/PATH]; it is "wss:///x"`},
		{useURLs("http://a:secret@x"), `backends.b.url must not hold a user or a password: they would end up in logs`},
		{useURLs("http://a:secret@x:port"), `backends.b.url must be http://HOST[:PORT][/PATH]`},
		{useURLs("unix://run/x"), `backends.b.url must be unix:///PATH; it is "unix://run/x"`},
		{useURLs("tcp://x"), `backends.b.url must be tcp://HOST:PORT; it is "tcp://x"`},
		{useURLs("tcp://:80"), `backends.b.url must be tcp://HOST:PORT; it is "tcp://:80"`},
		{useURLs("tcp://x:0"), `backends.b.url must be tcp://HOST:PORT; it is "tcp://x:0"`},
		{useURLs("http+unix:///run/x.sock"), `backends.b.url must be http+unix://SOCKET/PATH, where each / of SOCKET is written %2F, as in http+unix://%2Frun%2Ftool.sock/mcp; it is "http+unix:///run/x.sock"`},
	} {
		config := soundConfig()
		c.change(config)
		err := config.Validate()
		if err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
		var wrong *FlagError
		if !errors.As(err, &wrong) {
			t.Errorf("%v is no FlagError", err)
		}
	}
}

// All that is wrong is said at once.
func TestValidateFindsAll(t *testing.T) {
	c := soundConfig()
	c.Listen, c.Backends[0].MaxCalls, c.Backends[0].MaxLinks = "", 0, 0
	err := c.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v; want three errors", err)
	}
}
