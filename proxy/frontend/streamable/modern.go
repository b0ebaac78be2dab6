package streamable

import (
	"github.com/valyala/fasthttp"

	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// PostModern serves one message of a modern client. That the client breaks the
// connection off while it waits is the call's cancellation. Where PostModern
// returns a refusal nothing has been answered yet. (2026-07-28,
// basic/transports/streamable-http)
func (f *Frontend) PostModern(r *Request) *refusal.Refusal {
	if r.Env.Kind != wire.Request {
		// A notification: the revision has none that means anything here.
		r.Body.Release()
		r.HTTP.SetStatusCode(fasthttp.StatusAccepted)
		return nil
	}
	f.options.Keeper.Begin()
	defer f.options.Keeper.Done()
	c := r.Calls.NewCall()
	st := stream.NewSingle(f.options.Single, c.Leave)
	defer st.Host().Serve() // in any case: others may wait for what it took
	r.Body.Host = st.Host()
	refused := c.Start(share.Caller{Principal: r.Principal, HTTP: true}, st, nil, flat(r.Body, r.Env), r.Env)
	st.Host().Serve()
	if refused != nil {
		return refused
	}
	if c.Listen {
		r.last()
	}
	f.answer(r, st, "")
	return nil
}
