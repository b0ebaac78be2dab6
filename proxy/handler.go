package proxy

import (
	"errors"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"sidegate/proxy/frontend/streamable"
	"sidegate/proxy/guard"
	"sidegate/proxy/refusal"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// What is served at the client listener.
var (
	mcpRoom = &guard.Room{
		Allow: "POST, GET, DELETE", JSON: true,
		Post: guard.AcceptJSON | guard.AcceptEventStream, Get: guard.AcceptEventStream,
	}
	healthRoom = &guard.Room{Allow: "GET, HEAD", Open: true}
)

// serve is a request's way through the gate, from top to bottom: the door, the
// body, the message, the frontend.
func (g *Gate) serve(ctx *fasthttp.RequestCtx) {
	defer g.recovered(ctx)
	room := roomAt(ctx)
	visitor, admitted := ctx.UserValue(admittedKey).(guard.Visitor)
	if !admitted {
		var refused *refusal.Refusal
		if visitor, refused = g.admit(ctx, room); refused != nil {
			g.refuse(ctx, refused, nil, false)
			return
		}
	}
	if visitor.Preflight {
		visitor.AnswerPreflight(ctx, room)
		return
	}
	if room == healthRoom {
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("ok\n")
		return
	}
	g.serveMCP(ctx, &visitor)
}

// roomAt is what is served at a request's path, nil for nothing.
func roomAt(ctx *fasthttp.RequestCtx) *guard.Room {
	switch string(ctx.Path()) {
	case "/mcp":
		return mcpRoom
	case "/healthz":
		return healthRoom
	}
	return nil
}

// admit is all that is asked of a request before its body is read.
func (g *Gate) admit(ctx *fasthttp.RequestCtx, room *guard.Room) (guard.Visitor, *refusal.Refusal) {
	visitor, refused := g.guard.Door(ctx, room)
	if refused != nil || room != mcpRoom || visitor.Preflight {
		return visitor, refused
	}
	if refused = guard.Headers(&ctx.Request.Header); refused != nil {
		return visitor, refused
	}
	length := ctx.Request.Header.ContentLength() // -1: chunked
	switch {
	case !ctx.IsPost() && (length > 0 || length == -1):
		// The connection would be held with the body unread, and that be taken
		// for the next request.
		refused = refusal.BadHTTP.With("a %s has no body here", ctx.Method())
	case length > g.config.MaxMessage:
		refused = guard.TooLarge(int64(length), g.config.MaxMessage)
	}
	return visitor, refused
}

// admittedKey is where expected leaves the visitor for serve.
type admitted struct{}

var admittedKey admitted

// expected is called where a client asks, by Expect: 100-continue, before it
// sends a body: who would be refused need not send it.
func (g *Gate) expected(ctx *fasthttp.RequestCtx) int {
	visitor, refused := g.admit(ctx, roomAt(ctx))
	if refused != nil {
		g.refuse(ctx, refused, nil, true)
		return refused.Status
	}
	ctx.SetUserValue(admittedKey, visitor)
	_ = ctx.Conn().SetReadDeadline(time.Now().Add(g.config.BodyTimeout)) // fails where the read will
	return fasthttp.StatusContinue
}

// serveMCP serves a request that has passed the door.
func (g *Gate) serveMCP(ctx *fasthttp.RequestCtx, visitor *guard.Visitor) {
	if ctx.IsPost() {
		g.post(ctx, visitor)
		return
	}
	r := g.request(ctx, visitor)
	serve := g.streamable.Delete
	if ctx.IsGet() {
		serve = g.streamable.Get
	}
	refused := serve(&r)
	if refused != nil {
		g.refuse(ctx, refused, nil, true)
	}
}

// A post is a POST on its way through the gate. It is used again and again.
type post struct {
	streamable.Request
	env wire.Envelope
	id  []byte // a copy of the message's id, for a refusal
}

var posts = sync.Pool{New: func() any { return new(post) }}

func (p *post) release() {
	p.Request = streamable.Request{}
	p.env.Reset()
	p.id = p.id[:0]
	posts.Put(p)
}

// post serves a POST: its body is read, its message is checked.
func (g *Gate) post(ctx *fasthttp.RequestCtx, visitor *guard.Visitor) {
	body, refused := g.bodies.read(ctx)
	if refused != nil {
		g.refuse(ctx, refused, nil, false)
		return
	}
	p := posts.Get().(*post)
	defer p.release()
	refused = g.check(body.B, &p.env)
	if p.env.Kind == wire.Request || refused != nil {
		p.id = append(p.id, p.env.ID.Of(body.B)...)
	}
	if refused != nil {
		body.Release()
		g.refuse(ctx, refused, p.id, true)
		return
	}
	p.Request = g.request(ctx, visitor)
	p.Body, p.Env = body, &p.env
	if refused = g.streamable.Post(&p.Request); refused != nil {
		g.refuse(ctx, refused, p.id, true)
	}
}

func (g *Gate) request(ctx *fasthttp.RequestCtx, visitor *guard.Visitor) streamable.Request {
	return streamable.Request{
		HTTP: ctx, Sessions: g.sessions, Principal: visitor.Principal, Head: string(visitor.AppendCORS(nil)),
	}
}

// check is the guard's second part with this gate's limit.
func (g *Gate) check(msg []byte, env *wire.Envelope) *refusal.Refusal {
	return guard.Message(msg, g.config.MaxMessage, env)
}

// refuse answers a request with a refusal. id is the raw id of what is refused,
// nil where there is none. Where the body was not read, the client may be in
// the middle of sending it: the connection is closed, after a bounded rest has
// been drained so that the answer can be read.
func (g *Gate) refuse(ctx *fasthttp.RequestCtx, r *refusal.Refusal, id []byte, bodyRead bool) {
	g.refused(r)
	ctx.SetStatusCode(r.Status)
	ctx.SetContentType("application/json")
	ctx.SetBody(r.AppendJSON(nil, id))
	if r.Retry > 0 {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(r.RetrySeconds()))
	}
	if !bodyRead && r.Status != fasthttp.StatusRequestTimeout { // who was too slow is not waited for any longer
		g.drainBody(ctx)
	}
}

// drainBody readies the connection of a request whose body nobody reads. A
// short body the HTTP server reads away by itself.
func (g *Gate) drainBody(ctx *fasthttp.RequestCtx) {
	const short = 16 << 10
	if length := ctx.Request.Header.ContentLength(); length > short || length == -1 || !ctx.IsPost() && length > 0 {
		ctx.SetConnectionClose()
		if socket, ok := ctx.Conn().(*stream.Socket); ok {
			socket.Drain(2 * int64(g.config.MaxMessage))
		}
	}
}

// refused counts a refusal.
func (g *Gate) refused(r *refusal.Refusal) {
	g.metrics.Refusals.WithLabelValues(r.Reason).Inc()
}

// recovered keeps a failure of ours to the one request that met it: the HTTP
// server does not recover from panics.
func (g *Gate) recovered(ctx *fasthttp.RequestCtx) {
	failure := recover()
	if failure == nil {
		return
	}
	g.log.Error("a request failed inside of the gate", zap.Any("panic", failure), zap.ByteString("stack", debug.Stack()))
	ctx.Response.Reset()
	ctx.SetConnectionClose()
	g.refuse(ctx, refusal.Internal, nil, false)
}

// tooSlow says what the HTTP server has waited for in vain.
func (g *Gate) tooSlow(ctx *fasthttp.RequestCtx) *refusal.Refusal {
	if ctx.UserValue(admittedKey) != nil { // the header has come, and was answered with 100
		return refusal.SlowBody
	}
	return refusal.SlowHeader
}

// malformed answers what is not a request: the HTTP server could not read it.
func (g *Gate) malformed(ctx *fasthttp.RequestCtx, err error) {
	r := refusal.BadHTTP // err quotes the request, at whatever length
	var large *fasthttp.ErrSmallBuffer
	var late net.Error
	switch {
	case errors.As(err, &large):
		r = refusal.HeaderSize.With("the request's header is larger than the limit of %d bytes (--max-header)", g.config.MaxHeader)
	case errors.As(err, &late) && late.Timeout():
		g.refuse(ctx, g.tooSlow(ctx), nil, true)
		return
	}
	g.refuse(ctx, r, nil, true)
	if socket, ok := ctx.Conn().(*stream.Socket); ok {
		socket.Drain(int64(g.config.MaxMessage))
	}
}
