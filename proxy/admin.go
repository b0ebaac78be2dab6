package proxy

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
)

// serveAdmin serves the admin listener. Host and Origin are checked there too:
// it listens on loopback, where any web page could try to reach it.
func (g *Gate) serveAdmin(ctx *fasthttp.RequestCtx) {
	defer g.recovered(ctx)
	if refused := g.guard.Admin(ctx); refused != nil {
		g.refuse(ctx, refused, nil, false)
		return
	}
	path := string(ctx.Path())
	if path == "/drain" {
		g.serveDrain(ctx)
		return
	}
	if !ctx.IsGet() && !ctx.IsHead() {
		g.refuseMethod(ctx, "GET, HEAD")
		return
	}
	ctx.SetContentType("text/plain; charset=utf-8")
	if name, ok := strings.CutPrefix(path, "/readyz/"); ok && g.named(name) != nil {
		g.serveReady(ctx, name)
		return
	}
	if name, ok := strings.CutPrefix(path, "/probe/"); ok && g.named(name) != nil {
		g.serveProbe(ctx, g.named(name))
		return
	}
	switch path {
	case "/livez":
		ctx.SetBodyString("ok\n")
	case "/readyz":
		g.serveReady(ctx, "")
	case "/metrics":
		fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(g.metrics.Registry, promhttp.HandlerOpts{}))(ctx)
	default:
		g.refuse(ctx, refusal.Path.With("nothing is served at this path; /livez, /readyz, /readyz/NAME, /probe/NAME, /metrics and, to POST, /drain are"), nil, false)
	}
}

func (g *Gate) refuseMethod(ctx *fasthttp.RequestCtx, allow string) {
	ctx.Response.Header.Set(fasthttp.HeaderAllow, allow)
	g.refuse(ctx, refusal.Method, nil, false)
}

// serveDrain has the gate drain without ending, and answers when that is done:
// within the grace and the time that children take to end. Who asks while it
// drains waits as well.
func (g *Gate) serveDrain(ctx *fasthttp.RequestCtx) {
	if !ctx.IsPost() {
		g.refuseMethod(ctx, "POST")
		return
	}
	if refused := g.guard.Operator(ctx); refused != nil {
		g.refuse(ctx, refused, nil, false)
		return
	}
	g.drainBody(ctx) // nobody reads it
	g.tell.Do(func() { close(g.told) })
	<-g.drained
	ctx.SetContentType("text/plain; charset=utf-8")
	if g.cut.Load() {
		ctx.SetStatusCode(fasthttp.StatusGatewayTimeout)
		ctx.SetBodyString(ErrGrace.Error() + "\n")
		return
	}
	ctx.SetBodyString("drained\n")
}

// serveReady says whether the gate can take new sessions, and if not why: for
// all servers, or for the one that is named.
func (g *Gate) serveReady(ctx *fasthttp.RequestCtx, name string) {
	g.watched.Store(true)
	if g.leaving.Load() {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		ctx.SetBodyString("draining\n")
		return
	}
	var troubles []string
	for _, s := range g.servers {
		if name != "" && name != s.config.Name {
			continue
		}
		if err := s.pool.Ready(); err != nil {
			troubles = append(troubles, s.config.Name+": "+err.Error())
		}
	}
	if len(troubles) > 0 {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		ctx.SetBodyString(strings.Join(troubles, "\n") + "\n")
		return
	}
	ctx.SetBodyString("ok\n")
}

// measure registers what is read at each scrape: what is in use, and how much
// of it there may be.
func (g *Gate) measure() {
	m, c := g.metrics, g.config
	m.Gauge("bytes_in_flight", "Bytes of messages on their way.", nil, func() float64 { return float64(g.budget.InUse()) })
	m.Limit("bytes_in_flight", float64(c.MaxBytesInFlight))
	m.Gauge("replay_bytes", "Bytes of written events that are kept for clients that resume.", nil, func() float64 { return float64(g.replay.InUse()) })
	m.Limit("replay_bytes", float64(g.replay.Limit()))
	m.Gauge("connections", "Client connections that are open.", nil, func() float64 { return float64(g.sockets.InUse()) })
	m.Limit("connections", float64(c.MaxConnections))
	m.Gauge("message_bytes_limit", "The most bytes that a message may have.", nil, func() float64 { return float64(c.MaxMessage) })
	for _, s := range g.servers {
		s.measure(m)
	}
}

// measure registers what is in use of one server.
func (s *server) measure(m *metrics.Metrics) {
	own := prometheus.Labels{"backend": s.config.Name}
	fixed := func(name, help string, limit int) {
		m.Gauge(name, help, own, func() float64 { return float64(limit) })
	}
	m.Gauge("sessions", "Sessions that are open.", own, func() float64 { return float64(s.sessions.Len()) })
	fixed("sessions_limit", "The most there may be of sidegate_sessions.", s.config.MaxSessions)
	m.Gauge("calls_in_flight", "Calls that wait for their answer.", own, func() float64 { return float64(s.inFlight()) })
	m.Gauge("parked_calls", "Calls of modern clients that wait in a legacy server for their client's input.", own, func() float64 { return float64(s.bridge.Parked()) })
	fixed("parked_calls_limit", "The most there may be of sidegate_parked_calls.", s.config.MaxParked)
	m.Gauge("cache_bytes", "Bytes of answers that are kept for others.", own, func() float64 { return float64(s.kept()) })
	fixed("session_calls_limit", "The most calls in flight that one session may have.", s.config.MaxCalls)
	fixed("links_limit", "The most there may be of sidegate_links.", s.config.MaxLinks)
	for state, count := range s.pool.Counts() {
		m.Gauge("links", "Links by state.", prometheus.Labels{"backend": s.config.Name, "state": state}, func() float64 { return float64(count()) })
	}
}
