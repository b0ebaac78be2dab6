package proxy

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

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
	if !ctx.IsGet() && !ctx.IsHead() {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, HEAD")
		g.refuse(ctx, refusal.Method, nil, false)
		return
	}
	ctx.SetContentType("text/plain; charset=utf-8")
	switch string(ctx.Path()) {
	case "/livez":
		ctx.SetBodyString("ok\n")
	case "/readyz":
		g.serveReady(ctx)
	case "/metrics":
		fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(g.metrics.Registry, promhttp.HandlerOpts{}))(ctx)
	default:
		g.refuse(ctx, refusal.Path.With("nothing is served at this path; /livez, /readyz and /metrics are"), nil, false)
	}
}

// serveReady says whether the gate can take new sessions, and if not why.
func (g *Gate) serveReady(ctx *fasthttp.RequestCtx) {
	select {
	case <-g.draining:
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		ctx.SetBodyString("draining\n")
		return
	default:
	}
	if err := g.pool.Ready(); err != nil {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		ctx.SetBodyString(err.Error() + "\n")
		return
	}
	ctx.SetBodyString("ok\n")
}

// measure registers what is read at each scrape: what is in use, and how much
// of it there may be.
func (g *Gate) measure() {
	m, c := g.metrics, g.config
	m.Gauge("sessions", "Sessions that are open.", nil, func() float64 { return float64(g.sessions.Len()) })
	m.Limit("sessions", float64(c.MaxSessions))
	m.Gauge("calls_in_flight", "Calls that wait for their answer.", nil, func() float64 { return float64(g.sessions.InFlight()) })
	m.Gauge("session_calls_limit", "The most calls in flight that one session may have.", nil, func() float64 { return float64(c.MaxCalls) })
	m.Gauge("bytes_in_flight", "Bytes of messages on their way.", nil, func() float64 { return float64(g.budget.InUse()) })
	m.Limit("bytes_in_flight", float64(c.MaxBytesInFlight))
	m.Gauge("replay_bytes", "Bytes of written events that are kept for clients that resume.", nil, func() float64 { return float64(g.replay.InUse()) })
	m.Limit("replay_bytes", float64(g.replay.Limit()))
	m.Gauge("connections", "Client connections that are open.", nil, func() float64 { return float64(g.sockets.InUse()) })
	m.Limit("connections", float64(c.MaxConnections))
	m.Gauge("message_bytes_limit", "The most bytes that a message may have.", nil, func() float64 { return float64(c.MaxMessage) })
	b := c.Backends[0]
	m.Limit("links", float64(b.MaxLinks))
	for state, count := range g.pool.Counts() {
		m.Gauge("links", "Links by state.", prometheus.Labels{"backend": b.Name, "state": state}, func() float64 { return float64(count()) })
	}
}
