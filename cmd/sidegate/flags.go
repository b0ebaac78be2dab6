package main

import (
	"time"

	"github.com/spf13/pflag"

	"sidegate/proxy"
)

// settings are what run and check are told.
type settings struct {
	gate     proxy.Config        // its Backends are filled in by resolve
	backend  proxy.BackendConfig // what holds for a backend that says nothing of its own
	backends []string            // [NAME=]URL
	file     string

	stateKeyFile string
	curl         bool

	logLevel, logFormat string
}

// defaults are documented by the help, which prints them from here.
func defaults() *settings {
	return &settings{
		gate: proxy.Config{
			Version: buildVersion(),

			Listen: "127.0.0.1:8080",
			Admin:  "127.0.0.1:8081",

			MaxMessage:       16 << 20,
			MaxHeader:        16 << 10,
			MaxBytesInFlight: 256 << 20,
			MaxConnections:   15_000,
			HeaderTimeout:    10 * time.Second,
			BodyTimeout:      30 * time.Second,
			WriteTimeout:     30 * time.Second,

			IdleTimeout:     30 * time.Minute,
			SessionLifetime: 24 * time.Hour,
			KeepAlive:       15 * time.Second,
			ReplayEvents:    1000,
			ReplayBytes:     4 << 20,
			SSE:             true,
			Grace:           25 * time.Second,
			DrainDelay:      5 * time.Second,
		},
		backend: proxy.BackendConfig{
			Isolation:   proxy.IsolationSession,
			Links:       1,
			MaxSessions: 10_000,
			MaxCalls:    64,
			Warm:        1,
			MaxLinks:    256,
			LinkWait:    10 * time.Second,
			CallTimeout: time.Hour,
			StopTimeout: 5 * time.Second,
			Era:         proxy.EraAuto,
			Cache:       true,
			MaxParked:   1000,
			ParkTimeout: 5 * time.Minute,
		},
		logLevel:  "info",
		logFormat: "auto",
	}
}

// A group is the flags that the help shows under one title.
type group struct {
	title string
	flags *pflag.FlagSet
}

// groups makes the flags over s, whose values are the defaults. A key of the
// file and a variable of the environment exist because a flag does.
func (s *settings) groups() []group {
	return []group{
		{"Listen", s.listenFlags()},
		{"Backend", s.allBackendsFlags()},
		{"Guard", s.guardFlags()},
		{"Limits", s.limitFlags()},
		{"Sessions", s.sessionFlags()},
		{"Configuration and logging", s.otherFlags()},
	}
}

// flagSet joins the groups: the one set that everything is looked up in.
func flagSet(groups []group) *pflag.FlagSet {
	all := newFlags()
	for _, g := range groups {
		all.AddFlagSet(g.flags)
	}
	return all
}

func newFlags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.SortFlags = false
	return fs
}

func (s *settings) listenFlags() *pflag.FlagSet {
	fs := newFlags()
	fs.Var(stringValue(&s.gate.Listen, "ADDR"), "listen", "serve clients at HOST:PORT (port 0: any free one) or unix:///PATH; fd://NAME: on the socket of that name that systemd passes")
	fs.Var(stringValue(&s.gate.Admin, "ADDR"), "admin", `serve /livez, /readyz, /probe/NAME, /metrics and /drain there; "off": not at all`)
	fs.Var(boolValue(&s.curl), "curl", "print a curl line to try it with")
	fs.Var(stringValue(&s.gate.PublicURL, "URL"), "public-url", "where clients find the gate behind other proxies, with the path that leads to it; where the proxies pass its Host on to a gate on loopback, --allow-host is needed as well")
	fs.Var(notValue(&s.gate.SSE), "no-sse", "do not serve HTTP+SSE (2024-11-05) at /sse and /messages")
	fs.Var(boolValue(&s.gate.Compress), "compress", "compress messages on WebSocket (permessage-deflate), for clients that offer it")
	for _, name := range []string{"curl", "no-sse", "compress"} {
		fs.Lookup(name).NoOptDefVal = "true"
	}
	return fs
}

func (s *settings) allBackendsFlags() *pflag.FlagSet {
	fs := newFlags()
	fs.Var(stringList(&s.backends, "[NAME=]URL", false), "backend", "instead of COMMAND: a tool server that listens, at http://, https://, http+unix://, unix://, tcp://, ws:// or wss://; repeatable, the first is the one at /mcp, and each is at /servers/NAME/mcp")
	fs.AddFlagSet(backendFlags(&s.backend))
	return fs
}

// backendFlags are the ones that may differ from one backend to the next.
func backendFlags(b *proxy.BackendConfig) *pflag.FlagSet {
	fs := newFlags()
	fs.Var(stringList(&b.Env, "NAME[=VALUE]", false), "env", "give a COMMAND a variable, or the gate's own of that name; repeatable")
	fs.Var(stringList(&b.Pass, "PATH", false), "pass", "let requests for another path of an HTTP server through, as /.well-known/oauth-protected-resource, or for all below one that ends with /; repeatable")
	fs.Var(stringValue(&b.Probe, "PATH"), "probe", "the path of an HTTP server that says by its status whether it works, for /probe/NAME on the admin listener")
	fs.Var(choiceValue(&b.Isolation, proxy.IsolationSession, proxy.IsolationPrincipal, proxy.IsolationShared), "isolation", "who shares a link: nobody, the sessions of one caller, or everybody")
	fs.Var(countValue(&b.Links), "links", "with --isolation shared, how many links are shared by each kind of client")
	fs.Var(choiceValue(&b.Era, proxy.EraAuto, proxy.EraLegacy, proxy.EraModern), "era", "what the tool server speaks: revisions up to 2025-11-25 (legacy), 2026-07-28 (modern), or what it says when it is asked (auto)")
	fs.Var(notValue(&b.Cache), "no-cache", "do not keep lists, and what a modern server marks as public, for other clients")
	fs.Var(countValue(&b.MaxParked), "max-parked", "calls of modern clients at once that wait in a legacy server for their client's input; the oldest gives way")
	fs.Var(durationValue(&b.ParkTimeout), "park-timeout", "how long such a call waits")
	fs.Lookup("no-cache").NoOptDefVal = "true"
	fs.Var(countValue(&b.Warm), "warm", "links kept started and unused")
	fs.Var(countValue(&b.MaxLinks), "max-links", "links (child processes, connections) at once; unless it is said, 2000 for an HTTP server")
	fs.Var(durationValue(&b.LinkWait), "link-wait", "how long initialize, or a call that needs a link to itself, waits for one")
	fs.Var(countValue(&b.MaxSessions), "max-sessions", "sessions at once")
	fs.Var(countValue(&b.MaxCalls), "max-calls", "calls in flight in one session")
	fs.Var(durationValue(&b.CallTimeout), "call-timeout", "how long a call may go without an answer or progress")
	fs.Var(durationValue(&b.StopTimeout), "stop-timeout", "how long a child may take to end after its input is closed, and again after SIGTERM; a connection, to be closed")
	return fs
}

func (s *settings) guardFlags() *pflag.FlagSet {
	g, fs := &s.gate, newFlags()
	fs.Var(stringList(&g.AllowHosts, "HOST", true), "allow-host", "accept this Host besides the loopback names and, beyond loopback, plain addresses; repeatable")
	fs.Var(stringList(&g.AllowOrigins, "ORIGIN", true), "allow-origin", "accept browsers from https://app.example or *.example.com, instead of loopback origins; repeatable")
	fs.Var(prefixList(&g.TrustProxy), "trust-proxy", "believe X-Forwarded-For from there; repeatable")
	fs.Var(stringValue(&g.TokenFile, "FILE"), "token-file", "ask for a bearer token; a line is TOKEN or NAME=TOKEN, read again when it changes")
	fs.Var(stringValue(&s.stateKeyFile, "FILE"), "state-key-file", "seal the requestState of parked calls with the 32-byte key in base64 on its first line; one on a second line opens what was sealed before; unless it is said, a key of the process's own")
	fs.Var(rateValue(&g.Rate), "rate", "requests a second for each caller; 0: no limit")
	fs.Var(countValue(&g.Burst), "burst", "requests a caller may send at once; 0: as many as in a second")
	fs.Var(rateValue(&g.AddressRate), "address-rate", "requests a second for each client address; 0: no limit")
	fs.Var(countValue(&g.AddressBurst), "address-burst", "requests an address may send at once; 0: as many as in a second")
	return fs
}

func (s *settings) limitFlags() *pflag.FlagSet {
	g, fs := &s.gate, newFlags()
	fs.Var(sizeValue(&g.MaxMessage), "max-message", "size of one message, either way")
	fs.Var(sizeValue(&g.MaxHeader), "max-header", "size of a request's header")
	fs.Var(sizeValue(&g.MaxBytesInFlight), "max-bytes-in-flight", "bytes of all messages under way; the process itself takes two to three times that under load")
	fs.Var(countValue(&g.MaxConnections), "max-connections", "client connections at once")
	fs.Var(durationValue(&g.HeaderTimeout), "header-timeout", "how long a request's header may take")
	fs.Var(durationValue(&g.BodyTimeout), "body-timeout", "how long each MiB of a body may take")
	fs.Var(durationValue(&g.WriteTimeout), "write-timeout", "how long a client may read nothing of what is sent to it")
	return fs
}

func (s *settings) sessionFlags() *pflag.FlagSet {
	g, fs := &s.gate, newFlags()
	fs.Var(durationValue(&g.IdleTimeout), "idle-timeout", "end a session without call and stream after that")
	fs.Var(durationValue(&g.SessionLifetime), "session-lifetime", "end a session after that, however busy")
	fs.Var(durationValue(&g.KeepAlive), "keep-alive", "send a comment on a stream that is silent for that long")
	fs.Var(countValue(&g.ReplayEvents), "replay-events", "events a session keeps for clients that resume")
	fs.Var(sizeValue(&g.ReplayBytes), "replay-bytes", "their size together")
	fs.Var(durationValue(&g.Grace), "grace", "on SIGTERM or sidegate drain, how long calls may go on")
	fs.Var(durationValue(&g.DrainDelay), "drain-delay", "how much of that, half at most, everybody is served as before while /readyz says that the gate is draining; longer than balancers take to notice. On SIGTERM 0 unless somebody asks for /readyz")
	return fs
}

func (s *settings) otherFlags() *pflag.FlagSet {
	fs := newFlags()
	fs.VarP(stringValue(&s.file, "FILE"), "config", "c", "read a YAML file: a key is a flag's name, backends: maps NAME to command: or url:")
	fs.Var(choiceValue(&s.logLevel, "debug", "info", "warn", "error"), "log-level", "least level that is logged")
	fs.Var(choiceValue(&s.logFormat, "auto", "json", "console"), "log-format", "auto: console on a terminal, else json")
	return fs
}
