package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"sidegate/proxy/backend"
	"sidegate/proxy/bridge/modern"
	"sidegate/proxy/cache"
	"sidegate/proxy/era"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/session"
	"sidegate/proxy/stateless"
	"sidegate/proxy/stream"
)

// A server is one tool server behind the gate, with all that is its own: links,
// who shares them, sessions.
type server struct {
	config   *BackendConfig
	backend  backend.Backend
	pool     *link.Pool
	eras     *era.Switch
	bridge   *modern.Desk
	stores   []*cache.Store
	behind   []runner // what the eras lead to and do not run
	sessions *session.Manager
	calls    [session.Doors]*stateless.Calls // of modern clients; nil at a door that is not theirs
	probes   singleflight.Group
	rooms    rooms
	forwards bool // the server is to see what stood in the client's HTTP request
}

// newServer makes a server of which nothing is started.
func (g *Gate) newServer(c *BackendConfig, b backend.Backend) *server {
	s := &server{config: c, backend: b, rooms: roomsOf(c.Via)}
	_, s.forwards = b.(backend.Passer) // it is spoken to over HTTP
	s.pool = link.NewPool(b, link.PoolOptions{
		Warm: c.Warm, MaxLinks: c.MaxLinks, Wait: c.LinkWait,
		Link: link.Options{
			CallTimeout: c.CallTimeout, MaxMessage: g.config.MaxMessage, Dropped: g.dropped,
		},
		Restarted: g.metrics.LinkRestarts.Inc,
		Log:       g.log,
	})
	g.joinEras(s)
	s.sessions = session.NewManager(g.sessionOptions(c), s.eras)
	for _, door := range []session.Door{session.Streamable, session.WebSocket} {
		s.calls[door] = stateless.New(g.statelessOptions(s, door))
	}
	return s
}

// The values of BackendConfig.Isolation.
const (
	IsolationSession   = "session"
	IsolationPrincipal = "principal"
	IsolationShared    = "shared"
)

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

// statelessOptions are those of the modern calls at a door.
func (g *Gate) statelessOptions(s *server, door session.Door) stateless.Options {
	counts := g.metrics.Calls(door.String(), "modern")
	return stateless.Options{
		Desk: s.eras, Most: s.config.MaxSessions, Dropped: g.dropped,
		Ended: func(method int, how metrics.Outcome, lasted time.Duration) {
			counts.Ended(method, how)
			g.metrics.CallSeconds.Observe(lasted.Seconds())
		},
	}
}

func (g *Gate) streamOptions(door session.Door) *stream.Options {
	c, open := g.config, g.metrics.Streams.WithLabelValues(door.String())
	return &stream.Options{
		ReplayEvents: c.ReplayEvents, ReplayBytes: c.ReplayBytes, Replay: g.replay,
		KeepAlive: c.KeepAlive, WriteTimeout: c.WriteTimeout, Retry: retry, Crew: &g.crew,
		Dropped: g.dropped, Opened: open.Inc, Closed: open.Dec,
	}
}

// run runs what a server needs to be run, until ctx is done.
func (s *server) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.pool.Run(ctx) })
	running.Go(func() { s.eras.Run(ctx) })
	for _, r := range s.behind {
		running.Go(func() { r.Run(ctx) })
	}
	running.Go(func() { s.sessions.Run(ctx) })
	running.Wait()
}

// inFlight is how many calls wait for their answer.
func (s *server) inFlight() int {
	n := s.sessions.InFlight()
	s.eachCalls(func(c *stateless.Calls) { n += c.InFlight() })
	return n
}

// kept is the bytes of answers that are kept for others.
func (s *server) kept() (n int64) {
	for _, store := range s.stores {
		n += store.Kept()
	}
	return n
}

// eachCalls does something with the modern calls of each door.
func (s *server) eachCalls(do func(*stateless.Calls)) {
	for _, c := range s.calls {
		if c != nil {
			do(c)
		}
	}
}

// turnAway takes no new sessions and no new listens until ctx is done, and ends
// those there are: a listen at once, with its result, and sessions as
// session.Manager says.
func (s *server) turnAway(ctx context.Context, patience time.Duration) {
	s.eachCalls((*stateless.Calls).TurnAway)
	s.sessions.TurnAway(ctx, patience)
}

// drain takes no new sessions and no new calls, and waits until those in flight
// are answered or ctx is done. It tells whether all were.
func (s *server) drain(ctx context.Context) bool {
	var late atomic.Bool
	var draining sync.WaitGroup
	draining.Go(func() {
		if !s.sessions.Drain(ctx) {
			late.Store(true)
		}
	})
	s.eachCalls(func(c *stateless.Calls) {
		draining.Go(func() {
			if !c.Drain(ctx) {
				late.Store(true)
			}
		})
	})
	draining.Wait()
	return !late.Load()
}

// end ends all sessions and all calls that are left.
func (s *server) end(ctx context.Context) {
	s.eachCalls((*stateless.Calls).Close)
	s.sessions.Close(ctx)
}
