package proxy

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/limits"
	"sidegate/proxy/guard"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

const (
	firstRead = 4 << 10 // what is made room for before the length is known
	slack     = 64      // room behind a message, so that an id can be exchanged in place
	bodyGrant = 1 << 20 // bytes after which the body time is granted anew
)

// A bodyReader reads request bodies within the limits: the size, the time, and
// the bytes in flight. Room is made as bytes arrive and not as a header
// promises them.
type bodyReader struct {
	limit   int
	timeout time.Duration
	budget  *limits.Bytes
}

// read reads a request's body. The caller owns it, charged to the budget.
func (r *bodyReader) read(ctx *fasthttp.RequestCtx) (*wire.Buffer, *refusal.Refusal) {
	length := ctx.Request.Header.ContentLength() // negative: chunked, or no body
	if length > r.limit {
		return nil, guard.TooLarge(int64(length), r.limit)
	}
	body := ctx.RequestBodyStream()
	if body == nil {
		return wire.Acquire(0), nil
	}
	msg := wire.Acquire(firstRead)
	if refused := r.fill(msg, body, ctx.Conn(), length); refused != nil {
		msg.Release()
		return nil, refused
	}
	if length < 0 && hasTrailers(ctx) { // which the HTTP server reads less strictly than a head
		msg.Release()
		return nil, refusal.BadHTTP.With("a body with trailers is not taken")
	}
	return msg, nil
}

func hasTrailers(ctx *fasthttp.RequestCtx) bool {
	for range ctx.Request.Header.Trailers() {
		return true
	}
	return false
}

// fill reads body into msg to its end.
func (r *bodyReader) fill(msg *wire.Buffer, body io.Reader, conn net.Conn, length int) *refusal.Refusal {
	granted := 0
	for {
		if len(msg.B) >= granted {
			granted += bodyGrant
			if conn.SetReadDeadline(time.Now().Add(r.timeout)) != nil {
				return refusal.CutBody
			}
		}
		room, refused := r.room(msg, length)
		if refused != nil {
			return refused
		}
		n, err := body.Read(room)
		msg.B = msg.B[:len(msg.B)+n]
		if len(msg.B) > r.limit {
			return guard.TooLarge(int64(len(msg.B)), r.limit)
		}
		if err != nil {
			return r.ended(err, len(msg.B), length)
		}
	}
}

// room makes room in msg for the next read, and pays for it. One byte past the
// limit is as far as it goes.
func (r *bodyReader) room(msg *wire.Buffer, length int) ([]byte, *refusal.Refusal) {
	have := len(msg.B)
	if cap(msg.B)-have <= slack {
		want := max(firstRead, 2*have)
		if length >= 0 {
			want = min(want, length+1)
		}
		msg.Grow(max(min(want, r.limit+1)-have, 1) + slack)
	}
	end := min(cap(msg.B)-slack, r.limit+1)
	if !msg.ChargeUpTo(r.budget, int64(end)) {
		return nil, refusal.Budget
	}
	return msg.B[have:end], nil
}

// ended judges how a body ended.
func (r *bodyReader) ended(err error, have, length int) *refusal.Refusal {
	if errors.Is(err, io.EOF) && (length < 0 || have == length) {
		return nil
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return refusal.SlowBody
	}
	return refusal.CutBody
}
