package era

import (
	"context"
	"sync"
	"sync/atomic"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// Join implements share.Sharer.
func (s *Switch) Join(c share.Client, principal, id string) share.Place {
	if known := s.options.Finder.Known(); known != nil {
		return s.join(known, c, principal, id)
	}
	p := &place{sw: s, client: c, principal: principal, id: id}
	p.open, p.cancel = context.WithCancel(s.open)
	return p
}

// join makes the place that serves a legacy client with the server.
func (s *Switch) join(to *Server, c share.Client, principal, id string) share.Place {
	if !to.Legacy {
		return s.options.LegacyOfModern.Join(c, principal, id)
	}
	return s.options.Finder.watch(s.options.Legacy.Join(c, principal, id))
}

// A place is one of a session that has come before the server's era was known.
type place struct {
	sw            *Switch
	client        share.Client
	principal, id string
	open          context.Context // done when the session has left
	cancel        context.CancelFunc

	inner atomic.Pointer[share.Place] // nil while the era is not known

	mu      sync.Mutex
	opening bool // inner is being opened
	left    *refusal.Refusal
	calls   []*link.Call // that were in flight then
}

// now is the place that was joined, nil before that.
func (p *place) now() share.Place {
	if inner := p.inner.Load(); inner != nil {
		return *inner
	}
	return nil
}

// Open waits for the era, and then opens the place for it.
func (p *place) Open(c *link.Call, msg *wire.Buffer, _ *wire.Envelope) {
	if !p.sw.begin(func() { p.start(c, msg) }) {
		msg.Release()
		c.Refuse(refusal.Draining)
	}
}

func (p *place) start(c *link.Call, msg *wire.Buffer) {
	defer p.cancel()
	to, failed := p.sw.find(p.open, msg.Header)
	inner, why := p.enter(to)
	switch {
	case why != nil:
		msg.Release()
		c.Refuse(why)
		return
	case failed != nil:
		msg.Release()
		failed.Tell(c)
		return
	}
	var env wire.Envelope
	if err := env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error()) // it has been scanned before
	}
	inner.Open(c, msg, &env)
	p.mu.Lock()
	p.opening = false
	why, calls := p.left, p.calls
	p.mu.Unlock()
	if why != nil {
		inner.Leave(calls, why)
	}
}

// enter joins what serves the session, unless it has left: then it says why.
func (p *place) enter(to *Server) (share.Place, *refusal.Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left != nil || to == nil {
		return nil, p.left
	}
	inner := p.sw.join(to, p.client, p.principal, p.id)
	p.opening = true
	p.inner.Store(&inner)
	return inner, nil
}

func (p *place) Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if inner := p.now(); inner != nil {
		return inner.Call(c, msg, env)
	}
	msg.Release()
	return refusal.Uninitialized
}

func (p *place) Cancel(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if inner := p.now(); inner != nil {
		return inner.Cancel(c, msg, env)
	}
	msg.Release() // the initialize, which must not be cancelled
	return nil
}

func (p *place) Tell(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if inner := p.now(); inner != nil {
		return inner.Tell(msg, env)
	}
	msg.Release()
	return refusal.Uninitialized
}

// Leave ends the wait for the era, or the place that was joined.
func (p *place) Leave(calls []*link.Call, why *refusal.Refusal) {
	p.mu.Lock()
	p.left, p.calls = why, calls
	inner := p.now()
	if p.opening { // who opens it does the rest
		inner = nil
	}
	p.mu.Unlock()
	p.cancel()
	if inner != nil {
		inner.Leave(calls, why)
	}
}

// Watch makes a Sharer of places at a server that seems to be legacy: where it
// refuses initialize, its era is asked for again. It is for those who join the
// sharer past the switch.
func (f *Finder) Watch(s share.Sharer) share.Sharer { return watchful{s, f} }

// watchful is a sharer whose places are watched.
type watchful struct {
	share.Sharer
	finder *Finder
}

func (w watchful) Join(c share.Client, principal, id string) share.Place {
	return w.finder.watch(w.Sharer.Join(c, principal, id))
}

// watch watches a place, unless the era is what the configuration says.
func (f *Finder) watch(p share.Place) share.Place {
	if f.options.Mode != Auto {
		return p
	}
	return &watched{Place: p, finder: f}
}

// watched is a place at a server that seems to be legacy: one that refuses
// initialize is perhaps none.
type watched struct {
	share.Place
	finder *Finder
}

func (w *watched) Open(c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	c.Leg = &doubtful{inner: c.Leg, call: c, finder: w.finder}
	w.Place.Open(c, msg, env)
}

// doubtful is the leg of such an initialize.
type doubtful struct {
	inner  link.Leg
	call   *link.Call
	finder *Finder
}

func (d *doubtful) Send(msg *wire.Buffer)  { d.inner.Send(msg) }
func (d *doubtful) Reply(r *backend.Reply) { d.inner.Reply(r) }

// Answer forgets the era before the client can try again.
func (d *doubtful) Answer(msg *wire.Buffer, how metrics.Outcome) {
	l := d.call.Link()
	if how == metrics.Failed || how == metrics.Lost && l != nil && !l.Heard() {
		d.finder.Doubt()
	}
	d.inner.Answer(msg, how)
}
