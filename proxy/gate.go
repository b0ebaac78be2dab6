// Package proxy joins the rooms to a gate: the listeners, a request's way from
// the door to the frontend, the admin listener, and the order of the end.
//
// It sees a tool server through backend.Backend only, and reads no flags, no
// environment and no files: package main does.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"sidegate/limits"
	"sidegate/proxy/backend"
	"sidegate/proxy/frontend/sse"
	"sidegate/proxy/frontend/streamable"
	"sidegate/proxy/frontend/websocket"
	"sidegate/proxy/guard"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
	"sidegate/proxy/stream"
)

// ErrGrace is returned by Run when the grace ran out before all calls were
// answered; they were answered with a refusal, and what was left was ended hard.
var ErrGrace = errors.New("the grace ran out: what was still in flight has been cut (--grace)")

const (
	idleConnection = 2 * time.Minute // a client connection may stay open without a request
	retry          = time.Second     // what clients of a stream wait before they resume
	replayShare    = 4               // what is kept for replay may take another quarter of the bytes in flight
)

// A Gate is one running gate.
type Gate struct {
	config   *Config
	log      *zap.Logger
	metrics  *metrics.Metrics
	guard    *guard.Guard
	budget   *limits.Bytes
	replay   *limits.Bytes // what is kept of written events, over all sessions
	sockets  *limits.Slots
	bodies   bodyReader
	keeper   *stream.Keeper
	crew     stream.Crew
	servers  []*server // the first is the default one
	frontend frontends

	server, admin     *fasthttp.Server
	listener, adminLn net.Listener

	watched atomic.Bool   // somebody asks whether the gate is ready
	tell    sync.Once     // closes told
	told    chan struct{} // closed when the gate is to drain without ending
	leaving atomic.Bool   // the end has begun
	drained chan struct{} // closed when nothing is served any more
	cut     atomic.Bool   // calls were in flight when the grace ran out
}

// frontends are the doors for messages.
type frontends struct {
	streamable *streamable.Frontend
	sse        *sse.Frontend
	websocket  *websocket.Frontend
}

// New makes a gate in front of backends, one for each that c names. budget is
// the one that they charge what they read to. Nothing is started and nothing
// listens yet.
func New(c *Config, backends []backend.Backend, budget *limits.Bytes, log *zap.Logger) (*Gate, error) {
	door, err := guard.New(guard.Config{
		AllowHosts: c.AllowHosts, AllowOrigins: c.AllowOrigins, TrustProxies: c.TrustProxy, TokenFile: c.TokenFile,
		Rate: c.Rate, Burst: c.Burst, AddressRate: c.AddressRate, AddressBurst: c.AddressBurst, Log: log,
	})
	if err != nil {
		return nil, err
	}
	g := &Gate{
		config: c, log: log, metrics: metrics.New(), guard: door, budget: budget,
		replay:  limits.NewBytes(c.MaxBytesInFlight / replayShare),
		sockets: limits.NewSlots(c.MaxConnections),
		bodies:  bodyReader{limit: c.MaxMessage, timeout: c.BodyTimeout, budget: budget},
		told:    make(chan struct{}),
		drained: make(chan struct{}),
	}
	g.keeper = stream.NewKeeper(stream.KeeperOptions{WriteTimeout: c.WriteTimeout, Idle: idleConnection, Again: g.again, Leaving: &g.leaving})
	for i, b := range backends {
		g.servers = append(g.servers, g.newServer(&c.Backends[i], b))
	}
	if g.frontend, err = g.newFrontends(); err != nil {
		return nil, err
	}
	g.server = g.newHTTPServer(g.serve)
	g.admin = g.newHTTPServer(g.serveAdmin)
	g.measure()
	return g, nil
}

// NewVia makes a name for BackendConfig.Via.
func NewVia() string { return guard.NewVia() }

// publicURL is nil where clients are not told one.
func publicURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	return url.Parse(text)
}

func (g *Gate) newFrontends() (frontends, error) {
	public, err := publicURL(g.config.PublicURL)
	return frontends{
		streamable: streamable.New(streamable.Options{Keeper: g.keeper, Single: g.streamOptions(session.Streamable), Budget: g.budget, Check: g.check, Refused: g.refused}),
		sse: sse.New(sse.Options{
			Keeper: g.keeper, WriteTimeout: g.config.WriteTimeout, PublicURL: public,
			Budget: g.budget, Check: g.check, Refused: g.refused,
		}),
		websocket: websocket.New(websocket.Options{
			Keeper: g.keeper, WriteTimeout: g.config.WriteTimeout, Budget: g.budget, MaxMessage: g.config.MaxMessage, Compress: g.config.Compress,
			Check: g.check, Modern: modernMessage, Refused: g.refused,
			Rate: func(principal string, address netip.Addr) *refusal.Refusal {
				return g.guard.Rate(&guard.Visitor{Principal: principal, Address: address})
			},
		}),
	}, err
}

func (g *Gate) dropped(what string) { g.metrics.Dropped.WithLabelValues(what).Inc() }

// newHTTPServer sets the HTTP server up so that the gate decides: it hands a
// request over as soon as the head is read (a body is read by bodyReader,
// after the door), and gives up hijacked connections for good.
func (g *Gate) newHTTPServer(handler fasthttp.RequestHandler) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      handler,
		ErrorHandler:                 g.malformed,
		ExpectHandler:                g.expected,
		Logger:                       hush{g.log},
		Concurrency:                  1 << 20, // the listener counts connections
		ReadBufferSize:               g.config.MaxHeader,
		ReadTimeout:                  g.config.HeaderTimeout,
		WriteTimeout:                 g.config.WriteTimeout,
		IdleTimeout:                  idleConnection,
		MaxRequestBodySize:           1, // what is read before the handler runs
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		KeepHijackedConns:            true,
		CloseOnShutdown:              true,
	}
}

// again gives a connection that the gate held back to the HTTP server: its next
// request has begun to come.
func (g *Gate) again(s *stream.Socket) {
	_ = g.server.ServeConn(s) // an error is the connection's end, and it is closed
}

// Run serves until ctx is done, and then ends the gate in good order within
// the grace, unless it was told to drain before; then it returns at once when
// that is done. Listen must have been called.
func (g *Gate) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	for _, s := range g.servers {
		running.Go(func() { s.run(background) })
	}
	failed := make(chan error, 2)
	running.Go(func() { failed <- g.server.Serve(g.listener) })
	if g.adminLn != nil {
		running.Go(func() { failed <- g.admin.Serve(g.adminLn) })
	}

	var err error
	select {
	case <-ctx.Done():
		err = g.drain(g.watched.Load())
	case <-g.told:
		err = g.drain(true)
	case err = <-failed:
		err = errors.Join(fmt.Errorf("a listener failed: %w", err), g.drain(false))
	}
	stop()
	close(g.drained)
	if g.adminLn != nil {
		g.linger(ctx, err)
		end(g.admin, g.adminLn)
	}
	running.Wait()
	return err
}

// sessions is how many are open, at all servers.
func (g *Gate) sessions() (n int) {
	for _, s := range g.servers {
		n += s.sessions.Len()
	}
	return n
}

// inFlight is how many calls wait for their answer, at all servers.
func (g *Gate) inFlight() (n int) {
	for _, s := range g.servers {
		n += s.inFlight()
	}
	return n
}

// Kill ends the tool server's processes at once; the program is about to exit.
// It tells whether calls were cut, now or when the grace ran out. Run's context
// must be done.
func (g *Gate) Kill() (cut bool) {
	cut = g.cut.Load() || g.inFlight() > 0
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g.each(func(s *server) { s.pool.Close(ctx) })
	return cut
}

// hush passes the HTTP server's few words on to the log.
type hush struct{ log *zap.Logger }

// Printf implements fasthttp.Logger.
func (q hush) Printf(format string, args ...any) {
	q.log.Debug("http: " + fmt.Sprintf(format, args...))
}
