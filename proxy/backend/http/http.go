// Package http is the backend that is a URL: a tool server that speaks
// Streamable HTTP or, where it has nothing newer, HTTP+SSE (2025-11-25,
// basic/transports, "Streamable HTTP" and "Backwards Compatibility"). A
// connection of the gate's is one session of the server's, whose id stays in
// here.
//
// It is a reverse proxy that trusts nobody's framing: what is sent is framed
// anew, always with a Content-Length, and a response that two readers could
// end in two places is refused and its connection dropped. Upstream
// connections are pooled for all sessions of a Backend and looked at before
// they are used again, so a server that was restarted between two calls is not
// noticed. A request is sent a second time only if nothing of it was written,
// or if it changes nothing and the connection, one of the pool, ended before the
// first byte of the response.
//
// A message of a modern revision belongs to no session (2026-07-28,
// basic/transports/streamable-http): it is a request alone, which nothing waits
// for and which is cancelled by closing its connection.
//
// It imports backend, wire and mcp, nothing else of ours, and is handed what
// it needs: it reads no flag, no file and no environment.
package http

import (
	"context"
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// The defaults of Config, and what has no setting.
const (
	defaultMaxMessage     = 16 << 20
	minQueue              = 1 << 20
	defaultConnectTimeout = 5 * time.Second
	defaultStopTimeout    = 2 * time.Second

	maxCalls     = 4096             // requests of one session that wait for their answer
	maxReplyBody = 64 << 10         // bytes of a response that stands for an answer
	noteTimeout  = 5 * time.Second  // for a notification, before what comes after it is sent
	noteLimit    = 30 * time.Second // for a notification in all
	afterAnswer  = 5 * time.Second  // for an event stream to end once the answer has come
	cancelGrace  = 5 * time.Second  // for a call that was cancelled
)

// Config says where a tool server is and what it may cost.
type Config struct {
	// Name stands for the server in logs and errors. Default: the URL without
	// its query.
	Name string

	// URL is the server's endpoint: http://HOST[:PORT]/PATH, https://…, or
	// http+unix://SOCKET/PATH, where SOCKET is the path of a Unix socket with
	// each / written as %2F: http+unix://%2Frun%2Ftool.sock/mcp. Without a path
	// it is /mcp.
	URL string

	// Via is the name under which requests are sent, in the header of that name
	// (RFC 9110, section 7.6.3); "" for none.
	Via string

	// MaxMessage is the largest message accepted from the server, in bytes,
	// whether a body or an event. Default 16 MiB.
	MaxMessage int

	// MaxQueue bounds the bytes of memory in messages of one connection that
	// wait to be taken by the server. A message that is larger still fits when
	// nothing else waits. Default: two messages of MaxMessage, at least 1 MiB.
	MaxQueue int

	// Budget is charged for every message read, until its release; nil for
	// none.
	Budget wire.Budget

	// ConnectTimeout is how long a connection may take to be made, with TLS.
	// Default 5 s. The wait for an answer is bounded by whoever calls.
	ConnectTimeout time.Duration

	// StopTimeout is how long Close waits for calls in flight, and again for
	// the server to end the session. Default 2 s.
	StopTimeout time.Duration

	// TLS is used for https; nil stands for the system's roots.
	TLS *tls.Config

	// Log takes what the server did wrong; nil for none.
	Log *zap.Logger
}

// Backend is one tool server. Its methods may be called from any goroutine.
type Backend struct {
	config Config
	origin origin
	pool   pool
	log    *zap.Logger
	often  rate.Sometimes // bounds what a server's faults write to the log

	newer     atomic.Bool // the transport that worked last is Streamable HTTP
	older     atomic.Bool // or HTTP+SSE
	heard     atomic.Bool // it has responded
	loops     atomic.Bool // a call has come back to a gate that it was at before
	exchanges sync.Pool   // *exchange
	post      []byte      // how every POST to the endpoint begins
	via       []byte      // the line that every request has; empty where Config.Via is
}

var (
	_ backend.Backend = (*Backend)(nil)
	_ backend.Checker = (*Backend)(nil)
	_ backend.Passer  = (*Backend)(nil)
)

// New checks config. The error says what to change.
func New(config Config) (*Backend, error) {
	o, err := parseURL(config.URL)
	if err != nil {
		return nil, err
	}
	config = withDefaults(config)
	if config.Name == "" {
		config.Name = o.name
	}
	b := &Backend{config: config, origin: *o, log: config.Log.With(zap.String("backend", config.Name))}
	b.often = rate.Sometimes{First: 5, Interval: time.Second}
	b.pool.init(&b.origin, config)
	b.post = appendPost(nil, o.target, o.host)
	if config.Via != "" {
		b.via = []byte("Via: 1.1 " + config.Via + "\r\n")
	}
	b.exchanges.New = func() any { return newExchange(b) }
	return b, nil
}

func withDefaults(c Config) Config {
	if c.MaxMessage <= 0 {
		c.MaxMessage = defaultMaxMessage
	}
	if c.MaxQueue <= 0 {
		c.MaxQueue = max(2*c.MaxMessage, minQueue)
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = defaultConnectTimeout
	}
	if c.StopTimeout <= 0 {
		c.StopTimeout = defaultStopTimeout
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

// String is the name of the backend, without the query of its URL.
func (b *Backend) String() string { return b.config.Name }

// Open makes a connection. Nothing is sent before its first message is: a
// server that cannot be reached is reported for each call, and may come back.
func (b *Backend) Open(ctx context.Context, r backend.Receiver) (backend.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return newConn(b, r), nil
}

// Check fails where the server does not take a connection, with TLS where its
// URL says https, and where it is the gate itself, as far as calls have shown.
func (b *Backend) Check(ctx context.Context) error {
	u, err := b.pool.dial(ctx)
	if err != nil {
		return err
	}
	u.close()
	return b.checkLoop(ctx)
}

// warn logs what the server did wrong, though not every time.
func (b *Backend) warn(text string, fields ...zap.Field) {
	b.often.Do(func() { b.log.Warn(text, fields...) })
}
