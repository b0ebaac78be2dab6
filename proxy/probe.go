package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/backend"
)

// probeTimeout is how long a tool server may take to answer a probe.
const probeTimeout = 5 * time.Second

// serveProbe asks a tool server itself whether it works, as a probe of its own
// would if it could reach it: /readyz says what the gate has found out so far,
// and this what the server says now. One probe of a server is under way at a
// time; who asks meanwhile gets its result.
func (g *Gate) serveProbe(ctx *fasthttp.RequestCtx, s *server) {
	_, err, _ := s.probes.Do("", func() (any, error) { return nil, s.probe() })
	if err != nil {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		ctx.SetBodyString(s.config.Name + ": " + err.Error() + "\n")
		return
	}
	ctx.SetBodyString("ok\n")
}

// probe asks the server: one that is spoken to over HTTP for the path that was
// named for that, or whether it takes a connection; others on a link.
func (s *server) probe() error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	switch b := s.backend.(type) {
	case backend.Passer:
		if s.config.Probe != "" {
			return probePath(ctx, b, s.config.Probe)
		}
		return s.backend.(backend.Checker).Check(ctx)
	default:
		return s.pool.Probe(ctx)
	}
}

// probePath wants a status below 400, as a kubelet does.
func probePath(ctx context.Context, b backend.Passer, path string) error {
	reply, err := b.Pass(ctx, &backend.PassRequest{Method: fasthttp.MethodGet, Target: path})
	if err != nil {
		return err
	}
	if reply.Release != nil {
		reply.Release()
	}
	if reply.Status >= fasthttp.StatusBadRequest {
		return fmt.Errorf("the tool server answers GET %s with status %d", path, reply.Status)
	}
	return nil
}
