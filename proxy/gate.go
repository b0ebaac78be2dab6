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
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"sidegate/limits"
	"sidegate/proxy/backend"
	"sidegate/proxy/frontend/streamable"
	"sidegate/proxy/guard"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
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
	config     *Config
	log        *zap.Logger
	metrics    *metrics.Metrics
	guard      *guard.Guard
	budget     *limits.Bytes
	replay     *limits.Bytes // what is kept of written events, over all sessions
	sockets    *limits.Slots
	bodies     bodyReader
	pool       *link.Pool
	sessions   *session.Manager
	streamable *streamable.Frontend

	server, admin     *fasthttp.Server
	listener, adminLn net.Listener
	draining          chan struct{} // closed when the end begins
}

// New makes a gate in front of one backend. budget is the one that the backend
// charges what it reads to. Nothing is started and nothing listens yet.
func New(c *Config, b backend.Backend, budget *limits.Bytes, log *zap.Logger) (*Gate, error) {
	door, err := guard.New(guard.Config{
		AllowHosts: c.AllowHosts, AllowOrigins: c.AllowOrigins, TrustProxies: c.TrustProxy, TokenFile: c.TokenFile,
		Rate: c.Rate, Burst: c.Burst, AddressRate: c.AddressRate, AddressBurst: c.AddressBurst, Log: log,
	})
	if err != nil {
		return nil, err
	}
	g := &Gate{
		config: c, log: log, metrics: metrics.New(), guard: door, budget: budget,
		replay:   limits.NewBytes(c.MaxBytesInFlight / replayShare),
		sockets:  limits.NewSlots(c.MaxConnections),
		bodies:   bodyReader{limit: c.MaxMessage, timeout: c.BodyTimeout, budget: budget},
		draining: make(chan struct{}),
	}
	g.pool = link.NewPool(b, g.poolOptions())
	g.sessions = session.NewManager(g.sessionOptions(), g.pool)
	g.streamable = streamable.New(streamable.Options{
		WriteTimeout: c.WriteTimeout, Idle: idleConnection, Budget: budget, Check: g.check, Refused: g.refused, Again: g.again,
	})
	g.server = g.newServer(g.serve)
	g.admin = g.newServer(g.serveAdmin)
	g.measure()
	return g, nil
}

func (g *Gate) poolOptions() link.PoolOptions {
	b := g.config.Backends[0]
	return link.PoolOptions{
		Warm: b.Warm, MaxLinks: b.MaxLinks, Wait: b.LinkWait,
		Link:      link.Options{CallTimeout: b.CallTimeout, MaxMessage: g.config.MaxMessage, Dropped: g.dropped},
		Restarted: g.metrics.LinkRestarts.Inc,
		Log:       g.log,
	}
}

func (g *Gate) sessionOptions() session.Options {
	c := g.config
	calls := g.metrics.Calls("streamable", "legacy")
	streams := g.metrics.Streams.WithLabelValues("streamable")
	return session.Options{
		MaxSessions: c.MaxSessions, MaxCalls: c.MaxCalls, Idle: c.IdleTimeout, Lifetime: c.SessionLifetime,
		Stream: &stream.Options{
			ReplayEvents: c.ReplayEvents, ReplayBytes: c.ReplayBytes,
			Replay:    g.replay,
			KeepAlive: c.KeepAlive, WriteTimeout: c.WriteTimeout, Retry: retry,
			Dropped: g.dropped, Opened: streams.Inc, Closed: streams.Dec,
		},
		Ended: func(method int, how metrics.Outcome, lasted time.Duration) {
			calls.Ended(method, how)
			g.metrics.CallSeconds.Observe(lasted.Seconds())
		},
		Dropped: g.dropped,
	}
}

func (g *Gate) dropped(what string) { g.metrics.Dropped.WithLabelValues(what).Inc() }

// newServer sets the HTTP server up so that the gate decides: it hands a
// request over as soon as the head is read (a body is read by bodyReader,
// after the door), and gives up hijacked connections for good.
func (g *Gate) newServer(handler fasthttp.RequestHandler) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      handler,
		ErrorHandler:                 g.malformed,
		ExpectHandler:                g.expected,
		Logger:                       quiet{g.log},
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

// again gives a connection that the gate held back to the HTTP server.
func (g *Gate) again(s *stream.Socket) {
	select {
	case <-g.draining:
		_ = s.Close()
	default:
		_ = g.server.ServeConn(s) // an error is the connection's end, and it is closed
	}
}

// Run serves until ctx is done, and then ends the gate in good order within
// the grace. Listen must have been called.
func (g *Gate) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { g.pool.Run(background) })
	running.Go(func() { g.sessions.Run(background) })
	failed := make(chan error, 2)
	running.Go(func() { failed <- g.server.Serve(g.listener) })
	if g.adminLn != nil {
		running.Go(func() { failed <- g.admin.Serve(g.adminLn) })
	}

	var err error
	select {
	case <-ctx.Done():
		err = g.drain()
	case err = <-failed:
		err = errors.Join(fmt.Errorf("a listener failed: %w", err), g.drain())
	}
	stop()
	running.Wait()
	return err
}

// drain ends the gate. The order matters: load balancers look away first, what
// has begun is finished, and what others depend on goes last.
func (g *Gate) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Grace)
	defer cancel()
	g.log.Info("draining", zap.Int("sessions", g.sessions.Len()), zap.Int("calls", g.sessions.InFlight()))

	close(g.draining)                 // 1. unready
	finished := g.sessions.Drain(ctx) // 2. no new sessions, no new calls; calls in flight are answered
	g.sessions.Close(ctx)             // 3. streams end
	flush, cancelFlush := atLeast(ctx, lastWords)
	defer cancelFlush()
	g.streamable.Wait(flush)         // 4. what was said has gone out
	g.pool.Close(ctx)                // 5. children end
	end(flush, g.server, g.listener) // 6. clients' connections are closed
	if g.adminLn != nil {
		end(flush, g.admin, g.adminLn)
	}
	if !finished {
		return ErrGrace
	}
	return nil
}

// lastWords is how long answers may take to go out when the grace has run out:
// calls that were cut have been answered, and clients are to see it.
const lastWords = time.Second

// atLeast is ctx, or where ctx ends too soon a context that ends after d.
func atLeast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.WithTimeout(context.WithoutCancel(ctx), d)
	}
	return context.WithCancel(ctx)
}

// end closes a listener and what was accepted from it. The listener is closed
// first: the server knows it only once it has begun to serve.
func end(ctx context.Context, s *fasthttp.Server, ln net.Listener) {
	_ = ln.Close()
	_ = s.ShutdownWithContext(ctx) // an error is ctx's end, which the caller sees
}

// Kill ends the tool server's processes at once; the program is about to exit.
func (g *Gate) Kill() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g.pool.Close(ctx)
}

// quiet passes the HTTP server's few words on to the log.
type quiet struct{ log *zap.Logger }

// Printf implements fasthttp.Logger.
func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("http: " + fmt.Sprintf(format, args...))
}
