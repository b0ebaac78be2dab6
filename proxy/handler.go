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

	"sidegate/proxy/frontend/sse"
	"sidegate/proxy/frontend/streamable"
	"sidegate/proxy/frontend/websocket"
	"sidegate/proxy/guard"
	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// serve is a request's way through the gate, from top to bottom: the door, the
// body, the message, the frontend.
func (g *Gate) serve(ctx *fasthttp.RequestCtx) {
	defer g.recovered(ctx)
	if g.leaving.Load() {
		ctx.SetConnectionClose() // the next request is to go elsewhere
	}
	at := g.place(ctx.Path())
	visitor, admitted := ctx.UserValue(admittedKey).(guard.Visitor)
	if !admitted {
		var refused *refusal.Refusal
		if visitor, refused = g.admit(ctx, &at); refused != nil {
			g.refuse(ctx, refused, nil, false)
			return
		}
	}
	switch {
	case visitor.Preflight:
		visitor.AnswerPreflight(ctx, at.room)
	case at.door == health:
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("ok\n")
	case at.door == passDoor:
		g.pass(ctx, &at, &visitor)
	case ctx.IsPost():
		g.post(ctx, &at, &visitor)
	default:
		if refused := g.open(ctx, &at, &visitor); refused != nil {
			g.refuse(ctx, refused, nil, true)
		}
	}
}

// admit is all that is asked of a request before its body is read. That it is
// one request, and which, comes first.
func (g *Gate) admit(ctx *fasthttp.RequestCtx, at *place) (guard.Visitor, *refusal.Refusal) {
	if refused := guard.Framing(&ctx.Request.Header); refused != nil {
		ctx.SetConnectionClose() // what follows may be a body, or a request: nobody is to find out
		return guard.Visitor{}, refused
	}
	visitor, refused := g.guard.Door(ctx, at.room)
	if refused != nil || at.server == nil || visitor.Preflight {
		return visitor, refused
	}
	length := ctx.Request.Header.ContentLength() // -1: chunked
	if length > g.config.MaxMessage {
		return visitor, guard.TooLarge(int64(length), g.config.MaxMessage)
	}
	if at.door == passDoor {
		return visitor, nil
	}
	if !ctx.IsPost() && (length > 0 || length == -1) {
		// The connection would be held with the body unread, and that be taken
		// for the next request.
		return visitor, refusal.BadHTTP.With("a %s has no body here", ctx.Method())
	}
	refused = guard.Headers(&ctx.Request.Header)
	if refused == refusal.ModernMethod {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, fasthttp.MethodPost)
	}
	return visitor, refused
}

// admittedKey is where expected leaves the visitor for serve.
type admitted struct{}

var admittedKey admitted

func (g *Gate) expect(ctx *fasthttp.RequestCtx) (guard.Visitor, *refusal.Refusal) {
	at := g.place(ctx.Path())
	return g.admit(ctx, &at)
}

// expected is called where a client asks, by Expect: 100-continue, before it
// sends a body: who would be refused need not send it.
func (g *Gate) expected(ctx *fasthttp.RequestCtx) int {
	visitor, refused := g.expect(ctx)
	if refused != nil {
		g.refuse(ctx, refused, nil, true)
		return refused.Status
	}
	ctx.SetUserValue(admittedKey, visitor)
	_ = ctx.Conn().SetReadDeadline(time.Now().Add(g.config.BodyTimeout)) // fails where the read will
	return fasthttp.StatusContinue
}

// open serves a request that brings no message: it opens a stream, or ends a
// session.
func (g *Gate) open(ctx *fasthttp.RequestCtx, at *place, visitor *guard.Visitor) *refusal.Refusal {
	head := string(visitor.AppendCORS(nil))
	switch at.door {
	case sseDoor:
		return g.frontend.sse.Get(&sse.Request{
			HTTP: ctx, Sessions: at.server.sessions, Principal: visitor.Principal, Head: head, Below: at.below,
		})
	case websocketDoor:
		return g.frontend.websocket.Get(&websocket.Request{
			HTTP: ctx, Sessions: at.server.sessions, Calls: at.server.calls[session.WebSocket], MaxCalls: at.server.config.MaxCalls,
			Principal: visitor.Principal, Address: visitor.Address, Head: head,
			Forwarded: g.forwarded(ctx, at, visitor),
		})
	}
	r := &streamable.Request{HTTP: ctx, Sessions: at.server.sessions, Principal: visitor.Principal, Head: head}
	if ctx.IsGet() {
		return g.frontend.streamable.Get(r)
	}
	return g.frontend.streamable.Delete(r)
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
func (g *Gate) post(ctx *fasthttp.RequestCtx, at *place, visitor *guard.Visitor) {
	body, refused := g.bodies.read(ctx)
	if refused != nil {
		g.refuse(ctx, refused, nil, false)
		return
	}
	p := posts.Get().(*post)
	defer p.release()
	era, refused := g.judge(ctx, at, body.B, &p.env)
	if p.env.Kind == wire.Request || p.env.Kind == wire.Invalid { // what is no request has no answer that its id could name
		p.id = append(p.id, p.env.ID.Of(body.B)...)
	}
	if refused != nil {
		body.Release()
		g.refuse(ctx, refused, p.id, true)
		return
	}
	body.Header = g.forwarded(ctx, at, visitor)
	if at.door == messagesDoor {
		refused = g.frontend.sse.Post(&sse.Request{
			HTTP: ctx, Sessions: at.server.sessions, Principal: visitor.Principal, Body: body, Env: &p.env,
		})
	} else {
		refused = g.postStreamable(ctx, at, visitor, body, p, era)
	}
	if refused != nil {
		g.refuse(ctx, refused, p.id, true)
	}
}

// judge checks a message, and tells which era it is of: HTTP+SSE is a legacy
// transport, whatever its messages say.
func (g *Gate) judge(ctx *fasthttp.RequestCtx, at *place, body []byte, env *wire.Envelope) (guard.Era, *refusal.Refusal) {
	if refused := g.check(body, env); refused != nil {
		return guard.Legacy, refused
	}
	era, refused := guard.EraOf(&ctx.Request.Header, body, env)
	switch {
	case refused != nil || era == guard.Legacy:
	case at.door != mcpDoor:
		return guard.Legacy, nil
	default:
		refused = guard.CheckModern(&ctx.Request.Header, body, env)
	}
	return era, refused
}

func (g *Gate) postStreamable(ctx *fasthttp.RequestCtx, at *place, visitor *guard.Visitor, body *wire.Buffer, p *post, era guard.Era) *refusal.Refusal {
	p.Request = streamable.Request{
		HTTP: ctx, Sessions: at.server.sessions, Calls: at.server.calls[session.Streamable], Principal: visitor.Principal,
		Head: string(visitor.AppendCORS(nil)), Body: body, Env: &p.env,
	}
	if era == guard.Legacy {
		return g.frontend.streamable.Post(&p.Request)
	}
	if !at.server.forwards {
		body.Header = guard.AppendParams(nil, &ctx.Request.Header)
	}
	return g.frontend.streamable.PostModern(&p.Request)
}

// modernMessage tells whether a message without headers is of a modern client, and
// what is wrong with it.
func modernMessage(msg []byte, env *wire.Envelope) (bool, *refusal.Refusal) {
	if guard.EraOfMessage(msg, env) == guard.Legacy {
		return false, nil
	}
	return true, guard.CheckModernMessage(msg, env)
}

// usualLines is room in bytes for what mostly is forwarded of a header.
const usualLines = 256

// forwarded is what a tool server that is spoken to over HTTP is to see of the
// request's header, which may be nothing; nil for other servers.
func (g *Gate) forwarded(ctx *fasthttp.RequestCtx, at *place, visitor *guard.Visitor) []byte {
	if !at.server.forwards {
		return nil
	}
	return g.guard.AppendForwarded(make([]byte, 0, usualLines), &ctx.Request.Header, visitor)
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
