package proxy

import (
	"net/netip"
	"time"
)

// Config is everything the gate can be told. Package main reads it from flags,
// environment and file, where the defaults live too; a zero Config is not a
// usable one. Sizes are in bytes.
type Config struct {
	// Version is the gate's own, as it tells tool servers.
	Version string

	// Listen is where clients come in: HOST:PORT, an empty HOST for all
	// addresses, port 0 for any free one; unix:///PATH; or fd://NAME for a socket
	// that Listen is given.
	Listen string
	// Admin is where /livez, /readyz and /metrics are served, in the same
	// forms, or "off".
	Admin string
	// PublicURL is where clients find the gate, which may be below a path; ""
	// where they are not told.
	PublicURL string
	// SSE serves HTTP+SSE too, at /sse and /messages.
	SSE bool
	// Compress takes and sends compressed messages over WebSocket, where the
	// client offers it.
	Compress bool

	// Guard.

	AllowHosts   []string       // Host names besides the loopback ones, without a port
	AllowOrigins []string       // SCHEME://HOST[:PORT], HOST may start with "*."; empty: loopback origins only
	TrustProxy   []netip.Prefix // whose X-Forwarded-For is believed, masked
	TokenFile    string         // a line is TOKEN or NAME=TOKEN; "": no token is asked for
	Rate         float64        // requests a second for each caller; 0: no limit
	Burst        int            // requests a caller may send at once; 0: one second of Rate
	AddressRate  float64        // requests a second for each client address; 0: no limit
	AddressBurst int            // requests an address may send at once; 0: one second of AddressRate

	// Limits.

	MaxMessage       int // bytes of one message, on every leg
	MaxHeader        int // bytes of a request's header
	MaxBytesInFlight int64
	MaxConnections   int
	HeaderTimeout    time.Duration
	BodyTimeout      time.Duration // granted anew for each MiB that arrives
	WriteTimeout     time.Duration // how long a reader may take nothing before its connection is closed

	// Sessions.

	IdleTimeout     time.Duration // without a call in flight and without an open stream
	SessionLifetime time.Duration // however busy
	KeepAlive       time.Duration // between comments on a stream that is silent
	ReplayEvents    int           // kept for each session, to resume from; 0: none
	ReplayBytes     int           // kept for each session; 0: none
	Grace           time.Duration // for calls in flight once the gate is told to end; 0: none
	DrainDelay      time.Duration // of the grace, half of it at most: all is served while others look away; 0: none

	// StateKeys seal what a modern client brings back to a parked call, 32 bytes
	// each: the first seals, all open. Empty: a key of the process's own.
	StateKeys [][]byte

	// Backends are the tool servers, in the order they were named. The first
	// is the default one, served at /mcp.
	Backends []BackendConfig
}

// BackendConfig is one tool server: a command or a URL, and the limits that
// may differ from one server to the next. What the operator said for all
// servers is filled in already.
type BackendConfig struct {
	Name    string   // [a-z0-9-]{1,63}
	Command []string // program and arguments; empty for a URL
	URL     string   // "" for a command

	Via   string   // the name by which requests to an HTTP or WebSocket server are known where they come back, of NewVia; "": they say none
	Probe string   // the path of an HTTP server that says whether it works; "": that it takes connections must do
	Pass  []string // other paths of an HTTP server that are let through: exact, or with all below where it ends with "/"

	Env []string // NAME=VALUE, or NAME for the gate's own value

	Isolation string // who shares a link: "session", "principal" or "shared"
	Links     int    // shared links for each kind of client, where they are shared

	Era         string        // what the server speaks: "auto", "legacy" or "modern"
	Cache       bool          // keep for others what may be given to others
	MaxParked   int           // calls at once that wait for a modern client's input
	ParkTimeout time.Duration // for that input

	MaxSessions int
	MaxCalls    int           // in flight in one session
	Warm        int           // links kept started and unused
	MaxLinks    int           // links at once, warm ones included
	LinkWait    time.Duration // for a free link, before initialize is refused; 0: refused at once
	CallTimeout time.Duration // of one call, restarted by progress
	StopTimeout time.Duration // for a child to end after its input was closed, and again after TERM; for a connection to end once it was closed
}
