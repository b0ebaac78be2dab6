// Package socket is the backend that is a tool server which listens on a
// socket, unix:///PATH or tcp://HOST:PORT, and speaks there as on stdio: every
// connection is a link of its own, one message a line either way. (2025-11-25,
// basic/transports, "Custom Transports")
//
// It imports backend, lines and wire, nothing else of ours, and reads no flag,
// no file and no environment.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/rawio"
	"sidegate/proxy/wire"
)

// The defaults of Config.
const (
	defaultMaxMessage     = 16 << 20
	minQueue              = 1 << 20
	defaultConnectTimeout = 10 * time.Second
	defaultStopTimeout    = 5 * time.Second
)

// Config says where a tool server listens and what a connection may cost.
type Config struct {
	// Name stands for the server in logs and errors. Default: the URL.
	Name string

	// URL is unix:///PATH or tcp://HOST:PORT.
	URL string

	// MaxMessage is the largest message accepted from the server, in bytes
	// without the newline. Default 16 MiB.
	MaxMessage int

	// MaxQueue bounds the bytes of memory in messages that wait to be written
	// to one connection. A message that is larger still fits when nothing else
	// waits. Default: two messages of MaxMessage, at least 1 MiB.
	MaxQueue int

	// Budget is charged for every message read, until its release; nil for
	// none.
	Budget wire.Budget

	// ConnectTimeout is how long connecting may take. Default 10 s.
	ConnectTimeout time.Duration

	// StopTimeout is how long the server may take to end a connection whose
	// sending direction the gate has ended. Then it is cut. Default 5 s.
	StopTimeout time.Duration

	// Log takes what the server did wrong; nil for none.
	Log *zap.Logger
}

// Backend connects to one tool server. Its methods may be called from any
// goroutine.
type Backend struct {
	config  Config
	network string // unix or tcp
	address string
	dialer  net.Dialer
	log     *zap.Logger
}

var (
	_ backend.Backend = (*Backend)(nil)
	_ backend.Checker = (*Backend)(nil)
)

// New checks config. It connects nowhere: the server may start later.
func New(config Config) (*Backend, error) {
	network, address, err := parse(config.URL)
	if err != nil {
		return nil, err
	}
	b := &Backend{config: withDefaults(config), network: network, address: address}
	b.dialer.KeepAliveConfig = keepAlive
	b.log = b.config.Log.With(zap.String("backend", b.config.Name))
	return b, nil
}

// keepAlive finds out within a minute and a half that a server's host is gone
// while nothing is said. A unix socket needs none.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4}

func parse(url string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(url, "unix://"); ok {
		if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
			return "", "", fmt.Errorf("%q is no socket: write unix:///PATH", url)
		}
		return "unix", path, nil
	}
	address, ok := strings.CutPrefix(url, "tcp://")
	_, port, err := net.SplitHostPort(address)
	if _, bad := strconv.ParseUint(port, 10, 16); !ok || err != nil || bad != nil {
		return "", "", fmt.Errorf("%q is no socket: write unix:///PATH or tcp://HOST:PORT", url)
	}
	return "tcp", address, nil
}

func withDefaults(c Config) Config {
	if c.Name == "" {
		c.Name = c.URL
	}
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

// String is the name of the backend.
func (b *Backend) String() string { return b.config.Name }

// Open connects. r may be called before Open returns. An error names what the
// system said and what to look at; a server that takes the connection and ends
// it at once is reported by r.Closed instead.
func (b *Backend) Open(ctx context.Context, r backend.Receiver) (backend.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.ConnectTimeout)
	defer cancel()
	s, err := b.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("the tool server %q cannot be reached: %w", b, b.explain(err))
	}
	return start(b, s, r), nil
}

// dial connects, and waits where the server's queue of connections to accept
// is full: on TCP the system does that by itself.
func (b *Backend) dial(ctx context.Context) (duplex, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		c, err := b.dialer.DialContext(ctx, b.network, b.address)
		if err == nil {
			return rawio.NewConn(c).(duplex), nil
		}
		if b.network != "unix" || !errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// Check tells whether the server may be there, and does not connect: a server
// behind a socket may well start a process for each connection, as `sidegate
// shim` and inetd do, and who only looks must not. So of a unix socket the file
// is looked at, and of a TCP address the name; whether somebody listens is what
// connections tell.
func (b *Backend) Check(ctx context.Context) error {
	err := b.look(ctx)
	if err != nil {
		return fmt.Errorf("the tool server %q cannot be reached: %w", b, b.explain(err))
	}
	return backend.ErrUnsure
}

func (b *Backend) look(ctx context.Context) error {
	if b.network == "unix" {
		info, err := os.Stat(b.address)
		if err == nil && info.Mode()&os.ModeSocket == 0 {
			return fmt.Errorf("%s is no socket", b.address)
		}
		return err
	}
	host, _, err := net.SplitHostPort(b.address)
	if err != nil || host == "" {
		return err
	}
	_, err = net.DefaultResolver.LookupHost(ctx, host)
	return err
}

// explain says what to do about a connection that failed, where that is known.
func (b *Backend) explain(err error) error {
	var lookup *net.DNSError
	advice := ""
	switch {
	case errors.Is(err, syscall.ENOENT):
		advice = "there is no such socket: is the tool server running?"
	case errors.Is(err, syscall.ECONNREFUSED) && b.network == "unix":
		advice = "nobody listens on it: the tool server has ended and left its socket behind, or it is no socket"
	case errors.Is(err, syscall.ECONNREFUSED):
		advice = "nobody listens there: is the tool server running, and is this its port?"
	case errors.Is(err, os.ErrPermission):
		advice = "this user may not use it: look at the mode of the socket and of the directories above it"
	case errors.Is(err, syscall.EPROTOTYPE):
		advice = "it is a socket for datagrams, and has to be one for streams"
	case errors.Is(err, syscall.EINVAL) && b.network == "unix":
		advice = "the path is too long for a socket, which may have some 100 bytes"
	case errors.Is(err, syscall.EAGAIN) && b.network == "unix":
		advice = "the tool server listens, and does not accept connections"
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		advice = "raise the limit on open files (ulimit -n), or lower --max-links"
	case errors.As(err, &lookup):
		advice = "the host's name is not known here"
	case errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err):
		advice = "it does not answer: is its host up, and does a firewall let this host through?"
	default:
		return err
	}
	return fmt.Errorf("%w; %s", err, advice)
}
