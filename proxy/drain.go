package proxy

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// drain ends all that the gate serves but the admin listener. The order matters:
// those who send clients here look away first, what has begun is finished, and
// what others depend on goes last. aside tells whether there is somebody who is
// to look away.
//
// No request that was let in is lost on the way. Until the listener is closed a
// client's answer says that its connection closes with it, so it takes a new
// one, which leads to another gate; there a legacy client meets one 404, and
// initializes anew.
func (g *Gate) drain(aside bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Grace)
	defer cancel()
	g.log.Info("draining", zap.Int("sessions", g.sessions()), zap.Int("calls", g.inFlight()))

	g.leaving.Store(true) // 1. unready; answers close their connections
	if aside {
		pause(ctx, min(g.config.DrainDelay, g.config.Grace/2)) // 2. all is served while others look away
	}
	g.crew.Hurry()
	g.rest(ctx)                            // 3. no new sessions; each ends when no call of it is in flight
	finished := g.quiet(ctx)               // 4. no new calls; those in flight are answered
	g.each(func(s *server) { s.end(ctx) }) // 5. what is left ends: calls are refused, streams closed
	flush, cancelFlush := atLeast(ctx, lastWords)
	defer cancelFlush()
	g.keeper.Wait(flush)                          // 6. what was said has gone out
	end(g.server, g.listener)                     // 7. clients' connections are closed
	g.each(func(s *server) { s.pool.Close(ctx) }) // 8. children end
	if !finished {
		return ErrGrace
	}
	return nil
}

// linger goes on answering on the admin listener where the gate was told to
// drain and not to end, until it is told to: whoever runs it would take an end
// for a failure, and start it again.
func (g *Gate) linger(ctx context.Context, err error) {
	select {
	case <-g.told:
	default:
		return
	}
	g.log.Info("drained; the gate ends on SIGTERM", zap.Error(err))
	<-ctx.Done()
}

// rest lets no server have new sessions, ends each session that comes to rest,
// and waits until no call is in flight; new ones are served. It does not wait
// longer than half of what is left of the grace: a client that calls on and on
// must not keep the others from being answered.
func (g *Gate) rest(ctx context.Context) {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	late, cancel := context.WithTimeout(ctx, left/2)
	patience := min(goodbye, left/4)
	until := time.Now().Add(patience)
	var turning sync.WaitGroup
	for _, s := range g.servers {
		turning.Go(func() { s.turnAway(late, patience) })
	}
	for late.Err() == nil && (g.inFlight() > 0 || g.sessions() > 0 && time.Now().Before(until)) {
		pause(late, 10*time.Millisecond)
	}
	cancel()
	turning.Wait()
}

// goodbye is how long a client on a WebSocket may be silent before it hears that
// the gate goes away, rather than with the next answer.
const goodbye = time.Second

// quiet lets no server have new sessions and calls, and tells whether all that
// were in flight have been answered before ctx was done.
func (g *Gate) quiet(ctx context.Context) bool {
	g.each(func(s *server) {
		if !s.drain(ctx) {
			g.cut.Store(true)
		}
	})
	return !g.cut.Load()
}

// each does the same with all servers, and waits until it is done.
func (g *Gate) each(do func(*server)) {
	var doing sync.WaitGroup
	for _, s := range g.servers {
		doing.Go(func() { do(s) })
	}
	doing.Wait()
}

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// lastWords is how long answers may take to go out when the grace has run out:
// calls that were cut have been answered, and clients are to see it.
const lastWords = time.Second

// atLeast is ctx, or where ctx ends too soon a context that ends after d.
func atLeast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.WithTimeout(context.WithoutCancel(ctx), d)
	}
	return context.WithCancel(ctx)
}

// end closes a listener and what was accepted from it. The listener is closed
// first: the server knows it only once it has begun to serve. A connection on
// which no request has come is not waited for long.
func end(s *fasthttp.Server, ln net.Listener) {
	_ = ln.Close()
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_ = s.ShutdownWithContext(ctx) // an error is ctx's end: nothing is in flight on what is left
}
