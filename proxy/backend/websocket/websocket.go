// Package websocket is the backend that is a tool server which speaks
// WebSocket, ws://… or wss://…: every connection is a link of its own, one
// message a text frame either way. (2025-11-25, basic/transports, "Custom
// Transports"; RFC 6455)
//
// It imports backend, lines, ws and wire, nothing else of ours, and reads no
// flag, no file and no environment.
package websocket

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
	"sidegate/proxy/ws"
)

// The defaults of Config.
const (
	defaultMaxMessage     = 16 << 20
	minQueue              = 1 << 20
	defaultConnectTimeout = 10 * time.Second
	defaultStopTimeout    = 5 * time.Second
	defaultPing           = 30 * time.Second
)

// Config says where a tool server listens and what a connection may cost.
type Config struct {
	// Name stands for the server in logs and errors. Default: the URL without
	// its query, which may hold secrets.
	Name string

	// URL is ws://HOST[:PORT][/PATH] or wss://….
	URL string

	// Header is sent with every handshake, such as Authorization. The lines of
	// the handshake itself cannot be among them.
	Header http.Header

	// Via is the name under which handshakes are sent, in the header of that name
	// (RFC 9110, section 7.6.3); "" for none.
	Via string

	// TLS says whom wss:// trusts; nil for the system's authorities.
	TLS *tls.Config

	// MaxMessage is the largest message accepted from the server, in bytes.
	// Default 16 MiB.
	MaxMessage int

	// MaxQueue bounds the bytes of memory in messages that wait to be written
	// to one connection. A message that is larger still fits when nothing else
	// waits. Default: two messages of MaxMessage, at least 1 MiB.
	MaxQueue int

	// Budget is charged for every message read, until its release; nil for
	// none.
	Budget wire.Budget

	// ConnectTimeout is how long connecting and the handshake may take.
	// Default 10 s.
	ConnectTimeout time.Duration

	// StopTimeout is how long the server may take to answer the goodbye. Then
	// the connection is cut. Default 5 s.
	StopTimeout time.Duration

	// Ping is the silence after which the server is asked for a sign of life;
	// without one for as long again it is given up. Default 30 s.
	Ping time.Duration

	// Log takes what the server did wrong; nil for none.
	Log *zap.Logger
}

// Backend connects to one tool server. Its methods may be called from any
// goroutine.
type Backend struct {
	config  Config
	address string // host:port
	log     *zap.Logger
}

var (
	_ backend.Backend = (*Backend)(nil)
	_ backend.Checker = (*Backend)(nil)
)

// New checks config. It connects nowhere: the server may start later.
func New(config Config) (*Backend, error) {
	u, err := parse(config.URL)
	if err != nil {
		return nil, err
	}
	if config.Name == "" {
		config.Name = u.Scheme + "://" + u.Host + u.EscapedPath()
	}
	if config.Via != "" {
		config.Header = config.Header.Clone()
		if config.Header == nil {
			config.Header = http.Header{}
		}
		config.Header.Add("Via", "1.1 "+config.Via)
	}
	b := &Backend{config: withDefaults(config), address: address(u)}
	b.log = b.config.Log.With(zap.String("backend", b.config.Name))
	return b, nil
}

func parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" || u.Fragment != "":
		return nil, errors.New("this is no WebSocket URL: write ws://HOST:PORT/PATH or wss://HOST/PATH") // it may hold secrets
	case u.User != nil:
		return nil, errors.New("a WebSocket URL cannot hold a user's name: let the gate in by its address, or by a token in the URL's query")
	}
	return u, nil
}

func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
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
	if c.Ping <= 0 {
		c.Ping = defaultPing
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

// String is the name of the backend.
func (b *Backend) String() string { return b.config.Name }

// Open connects and does the handshake. r may be called before Open returns. An
// error says what to look at.
func (b *Backend) Open(ctx context.Context, r backend.Receiver) (backend.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.ConnectTimeout)
	defer cancel()
	peer, err := ws.Dial(ctx, ws.Target{URL: b.config.URL, Header: b.config.Header, TLS: b.config.TLS, Ping: b.config.Ping})
	if err != nil {
		return nil, fmt.Errorf("the tool server %q cannot be reached: %w", b, explain(err))
	}
	return start(b, peer, r), nil
}

// Check tells whether somebody listens at the address. It does no handshake,
// for which the server may start something.
func (b *Backend) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.ConnectTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", b.address)
	if err != nil {
		return fmt.Errorf("the tool server %q cannot be reached: %w", b, explain(err))
	}
	return c.Close()
}

// explain says what to do about a connection that failed, where that is known.
func explain(err error) error {
	var lookup *net.DNSError
	var refused *ws.Refused
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	advice := ""
	switch {
	case errors.As(err, &refused):
		advice = statusAdvice(refused.Status)
	case errors.As(err, &record):
		advice = "it does not speak TLS there: is it ws:// instead of wss://?"
	case errors.As(err, &authority) || errors.As(err, &certificate):
		advice = "its certificate is not trusted for this name"
	case errors.Is(err, syscall.ECONNREFUSED):
		advice = "nobody listens there: is the tool server running, and is this its port?"
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		advice = "raise the limit on open files (ulimit -n), or lower --max-links"
	case errors.As(err, &lookup):
		advice = "the host's name is not known here"
	case errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err):
		advice = "it does not answer: is its host up, and does a firewall let this host through?"
	}
	if advice == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, advice)
}

func statusAdvice(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "it lets in only who has leave, which the gate has not: let it in by its address, or by a token in the URL's query"
	case status >= 300 && status < 400:
		return "it is elsewhere, and the gate does not follow: give its new URL"
	case status == http.StatusNotFound:
		return "is this its path?"
	case status == http.StatusLoopDetected:
		return "it is this gate itself, or leads back to it: check --backend, and --gate-uid of sidegate fence"
	case status >= 500:
		return "its own log says why"
	}
	return "does it speak WebSocket at this path?"
}
