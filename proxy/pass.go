package proxy

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/backend"
	"sidegate/proxy/guard"
	"sidegate/proxy/refusal"
)

// passTimeout bounds a request that is let through to another path.
const passTimeout = time.Minute

// pass lets a request through to another path of an HTTP server. Nothing of it
// is looked into; both ways it is framed anew.
func (g *Gate) pass(ctx *fasthttp.RequestCtx, at *place, visitor *guard.Visitor) {
	passer, ok := at.server.backend.(backend.Passer)
	if !ok || !plainTarget(ctx) {
		g.refuse(ctx, refusal.Path, nil, false)
		return
	}
	body, refused := g.bodies.read(ctx)
	if refused != nil {
		g.refuse(ctx, refused, nil, false)
		return
	}
	defer body.Release()
	target := at.target
	if query := ctx.URI().QueryString(); len(query) > 0 {
		target += "?" + string(query)
	}
	bounded, cancel := context.WithTimeout(context.Background(), passTimeout)
	defer cancel()
	reply, err := passer.Pass(bounded, &backend.PassRequest{
		Method: string(ctx.Method()), Target: target,
		Header: g.guard.AppendPassed(nil, &ctx.Request.Header, visitor),
		Type:   string(ctx.Request.Header.ContentType()), Body: body.B,
	})
	if err != nil {
		g.refuse(ctx, refusal.Server(fasthttp.StatusBadGateway, err.Error()), nil, true)
		return
	}
	ctx.SetStatusCode(reply.Status)
	for line := range bytes.SplitSeq(reply.Header, []byte("\r\n")) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok {
			ctx.Response.Header.AddBytesKV(name, at.within(name, bytes.TrimSpace(value)))
		}
	}
	ctx.SetContentType(reply.Type)
	if reply.Release == nil {
		ctx.SetBody(reply.Body)
		return
	}
	ctx.SetBodyStream(&passed{Reader: bytes.NewReader(reply.Body), release: reply.Release}, len(reply.Body))
}

// within keeps a redirect to another path of the server there, where the server
// is served below a path: else it would lead to the default server.
func (at *place) within(name, value []byte) []byte {
	if at.below == "" || !strings.EqualFold(string(name), fasthttp.HeaderLocation) || !bytes.HasPrefix(value, []byte("/")) || bytes.HasPrefix(value, []byte("//")) {
		return value
	}
	return append([]byte(at.below), value...)
}

// passed is a body that is paid for until it is written, or cannot be.
type passed struct {
	*bytes.Reader
	release func()
}

// Close is called by the HTTP server when it has done with the body.
func (p *passed) Close() error {
	if p.release != nil {
		p.release()
		p.release = nil
	}
	return nil
}

// plainTarget tells whether a request's path and query mean to the server what
// they mean to the gate: no two readers decode, clean or cut them in two ways.
func plainTarget(ctx *fasthttp.RequestCtx) bool {
	uri := ctx.URI()
	if !bytes.Equal(uri.PathOriginal(), uri.Path()) {
		return false
	}
	for _, part := range [][]byte{uri.Path(), uri.QueryString()} {
		for _, c := range part {
			if c <= ' ' || c >= 0x7f || c == '#' || c == '\\' {
				return false
			}
		}
	}
	return !bytes.ContainsRune(uri.Path(), '%') && !dotted(uri.Path())
}

// dotted tells whether a reader that cuts path parameters off would find a
// segment . or .. in the path, as in /a/..;x/b.
func dotted(path []byte) bool {
	for segment := range bytes.SplitSeq(path, []byte("/")) {
		if name, _, cut := bytes.Cut(segment, []byte(";")); cut && (string(name) == "." || string(name) == "..") {
			return true
		}
	}
	return false
}
