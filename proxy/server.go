package proxy

import (
	"context"
	"sync"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/session"
	"sidegate/proxy/share"
	"sidegate/proxy/stream"
)

// A server is one tool server behind the gate, with all that is its own: links,
// who shares them, sessions.
type server struct {
	config   *BackendConfig
	backend  backend.Backend
	pool     *link.Pool
	sharer   share.Sharer
	sessions *session.Manager
	forwards bool // the server is to see what stood in the client's HTTP request
}

// newServer makes a server of which nothing is started.
func (g *Gate) newServer(c *BackendConfig, b backend.Backend) *server {
	s := &server{config: c, backend: b}
	_, s.forwards = b.(backend.Passer) // it is spoken to over HTTP
	s.pool = link.NewPool(b, link.PoolOptions{
		Warm: c.Warm, MaxLinks: c.MaxLinks, Wait: c.LinkWait,
		Link: link.Options{
			CallTimeout: c.CallTimeout, Shared: c.Isolation != IsolationSession,
			MaxMessage: g.config.MaxMessage, Dropped: g.dropped,
		},
		Restarted: g.metrics.LinkRestarts.Inc,
		Log:       g.log,
	})
	s.sharer = g.newSharer(c, s.pool)
	s.sessions = session.NewManager(g.sessionOptions(c), s.sharer)
	return s
}

// The values of BackendConfig.Isolation.
const (
	IsolationSession   = "session"
	IsolationPrincipal = "principal"
	IsolationShared    = "shared"
)

func (g *Gate) newSharer(c *BackendConfig, p *link.Pool) share.Sharer {
	if c.Isolation == IsolationSession {
		return share.NewOwn(p)
	}
	return share.NewGroup(share.Options{
		Principal: c.Isolation == IsolationPrincipal, Links: c.Links, Warm: c.Warm,
		Version: g.config.Version, Budget: g.budget, Dropped: g.dropped,
	}, p)
}

func (g *Gate) sessionOptions(c *BackendConfig) session.Options {
	o := session.Options{
		MaxSessions: c.MaxSessions, MaxCalls: c.MaxCalls, Idle: g.config.IdleTimeout, Lifetime: g.config.SessionLifetime,
		Dropped: g.dropped,
	}
	var calls [session.Doors]*metrics.Calls
	for door := range session.Doors {
		calls[door] = g.metrics.Calls(door.String(), "legacy")
		o.Stream[door] = g.streamOptions(door)
	}
	o.Ended = func(door session.Door, method int, how metrics.Outcome, lasted time.Duration) {
		calls[door].Ended(method, how)
		g.metrics.CallSeconds.Observe(lasted.Seconds())
	}
	return o
}

func (g *Gate) streamOptions(door session.Door) *stream.Options {
	c, open := g.config, g.metrics.Streams.WithLabelValues(door.String())
	return &stream.Options{
		ReplayEvents: c.ReplayEvents, ReplayBytes: c.ReplayBytes, Replay: g.replay,
		KeepAlive: c.KeepAlive, WriteTimeout: c.WriteTimeout, Retry: retry,
		Dropped: g.dropped, Opened: open.Inc, Closed: open.Dec,
	}
}

// run runs what a server needs to be run, until ctx is done.
func (s *server) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.pool.Run(ctx) })
	running.Go(func() { s.sharer.Run(ctx) })
	running.Go(func() { s.sessions.Run(ctx) })
	running.Wait()
}
