package http

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// Pass sends one request for another path of the server; see backend.Passer.
func (b *Backend) Pass(ctx context.Context, r *backend.PassRequest) (*backend.Reply, error) {
	switch {
	case !token([]byte(r.Method)) || r.Method == "CONNECT":
		return nil, errors.New("the request's method cannot be passed on")
	case !strings.HasPrefix(r.Target, "/") || !sendable(r.Target):
		return nil, errors.New("the request's path cannot be passed on")
	case len(r.Body) > b.config.MaxMessage:
		return nil, fmt.Errorf("the request's body is larger than the limit of %d bytes (--max-message)", b.config.MaxMessage)
	}
	x := b.exchange(nil)
	defer x.free()
	x.composePass(r)
	reply, err := x.pass(ctx, r)
	var long *wire.TooLong
	switch {
	case errors.As(err, &long):
		return nil, fmt.Errorf("the tool server's response is larger than the limit of %d bytes (--max-message), or there was no room for it (--max-bytes-in-flight)", b.config.MaxMessage)
	case ctx.Err() != nil:
		return nil, errors.New("the tool server did not answer in time")
	case err != nil:
		b.warn("a request for another path was not answered by the tool server", zap.String("reason", brokenText(err, b.origin.base())))
		return nil, errors.New(brief(err))
	}
	return reply, nil
}

// composePass writes the request, framed anew. The client unpacks the response,
// if it is one that can.
func (x *exchange) composePass(r *backend.PassRequest) {
	x.out = appendTarget(x.out[:0], r.Method, r.Target, x.backend.origin.host)
	if lineOf(r.Header, "Accept-Encoding:") == nil {
		x.out = append(x.out, identity...)
	}
	x.out = append(append(x.out, r.Header...), x.backend.via...)
	if r.Type != "" && plain([]byte(r.Type)) {
		x.out = append(append(append(x.out, "Content-Type: "...), r.Type...), "\r\n"...)
	}
	if len(r.Body) > 0 || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" {
		x.out = appendLength(x.out, len(r.Body))
		return
	}
	x.out = append(x.out, "\r\n"...)
}

// pass sends what was composed until a connection takes it, and reads the
// response.
func (x *exchange) pass(ctx context.Context, r *backend.PassRequest) (*backend.Reply, error) {
	get := x.backend.pool.get
	for {
		u, err := get(ctx)
		if err != nil {
			return nil, &unreachable{err}
		}
		stop := context.AfterFunc(ctx, u.breaks)
		n, err := u.write(x.out, r.Body)
		if err == nil {
			var reply *backend.Reply
			if reply, err = x.passed(u, r.Method); err == nil && x.body.over && !x.head.closes && stop() {
				u.idle = x.head.idle()
				x.backend.pool.put(u)
				return reply, nil
			}
			stop()
			u.close()
			if err != nil && ctx.Err() == nil && safe(r.Method) && x.head.lost(u, err) {
				get = x.backend.pool.fresh
				continue
			}
			return reply, err
		}
		stop()
		u.close()
		if n > 0 || !u.reused {
			return nil, err
		}
	}
}

// passed reads the response.
func (x *exchange) passed(u *upstream, method string) (*backend.Reply, error) {
	if err := x.head.read(u.r); err != nil {
		return nil, err
	}
	x.body.start(u.r, &x.head, method)
	reply := &backend.Reply{Status: x.head.status, Type: string(x.head.kind), Header: x.head.appendPassed(nil, x.backend.origin.own())}
	if x.body.over {
		return reply, nil
	}
	msg, err := x.readBody(x.backend.config.MaxMessage)
	if err != nil {
		return nil, err
	}
	reply.Body, reply.Release = msg.B, msg.Release
	return reply, nil
}
