package share

import (
	"context"
	"sync"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A WarmPool is a Pool that may have links ready; link.Pool is one.
type WarmPool interface {
	Pool
	// TakeWarm is Take where a link is there that nobody else waits for, else
	// nil. It does not wait.
	TakeWarm() *link.Link
}

// Own gives each session a link of its own, which the client initializes
// itself. It is the isolation "session".
type Own struct {
	pool WarmPool

	mu     sync.Mutex
	closed bool
	places map[*own]struct{} // that wait for a link
	work   sync.WaitGroup
}

// NewOwn makes a sharer that shares nothing.
func NewOwn(p WarmPool) *Own { return &Own{pool: p, places: make(map[*own]struct{})} }

// Run waits for ctx; see Sharer.
func (o *Own) Run(ctx context.Context) {
	<-ctx.Done()
	o.mu.Lock()
	o.closed = true
	for p := range o.places {
		p.cancel()
	}
	o.mu.Unlock()
	o.work.Wait()
}

// Join makes a place without a link.
func (o *Own) Join(c Client, _, _ string) Place {
	p := &own{sharer: o, client: c}
	p.open, p.cancel = context.WithCancel(context.Background())
	return p
}

// own is a place with a link to itself. It is the link's owner.
type own struct {
	sharer *Own
	client Client
	open   context.Context // done when the session has left
	cancel context.CancelFunc

	mu   sync.Mutex
	link *link.Link // nil before there is one
	left *refusal.Refusal
}

// Open leases a link and sends the client's initialize as the client wrote it:
// the server sees this client's revision and capabilities. A link that is warm
// has it when Open returns: a change of goroutines would wake a thread.
func (p *own) Open(c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	o := p.sharer
	if l := o.warm(); l != nil {
		p.start(l, c, msg, env)
		return
	}
	at := places(env)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		msg.Release()
		c.Refuse(refusal.Draining)
		return
	}
	o.places[p] = struct{}{}
	o.work.Go(func() {
		p.wait(c, msg, &at)
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.places, p)
	})
}

// warm takes a link that need not be waited for, nil where there is none.
func (o *Own) warm() *link.Link {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	return o.pool.TakeWarm()
}

// wait opens the place with a link that is not there yet.
func (p *own) wait(c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	l, err := p.sharer.pool.Take(p.open)
	if err == nil {
		p.start(l, c, msg, env)
		return
	}
	msg.Release()
	c.Refuse(p.notTaken(err))
}

// notTaken says why there is no link.
func (p *own) notTaken(err error) *refusal.Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left != nil {
		return p.left
	}
	return notTaken(err)
}

// start sends the initialize on a link that was taken for it.
func (p *own) start(l *link.Link, c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	refused := p.lease(l)
	if refused == nil {
		refused = l.Call(c, msg, env)
	} else {
		p.sharer.pool.End(l, refused)
		msg.Release()
	}
	if refused != nil {
		c.Refuse(refused)
	}
}

// lease makes l the session's own. Either side may have ended in the meantime.
func (p *own) lease(l *link.Link) *refusal.Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.left != nil:
		return p.left
	case l.Lease(p) != nil:
		return refusal.Start
	}
	p.link = l
	return nil
}

// now is the link, nil before there is one.
func (p *own) now() *link.Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link
}

func (p *own) Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	l := p.now()
	if l == nil {
		msg.Release()
		return refusal.Uninitialized
	}
	return l.Call(c, msg, env)
}

func (p *own) Cancel(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	l := c.Link()
	if l == nil { // the initialize, which must not be cancelled
		msg.Release()
		return nil
	}
	return l.Cancel(c, msg, env)
}

func (p *own) Tell(msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	l := p.now()
	if l == nil {
		msg.Release()
		return refusal.Uninitialized
	}
	return l.Send(msg)
}

// Leave ends the link: calls are answered by it.
func (p *own) Leave(_ []*link.Call, why *refusal.Refusal) {
	p.mu.Lock()
	p.left = why
	l := p.link
	p.mu.Unlock()
	p.cancel()
	if l != nil {
		l.Abort(why)
		p.sharer.pool.End(l, why)
	}
}

// Unasked implements link.Owner: all that is said on the link is for the one
// session.
func (p *own) Unasked(l *link.Link, msg *wire.Buffer, env *wire.Envelope) {
	p.client.Unasked(l, nil, msg, env)
}

// LinkClosed implements link.Owner: legacy servers keep state in the process,
// so the session ends with it.
func (p *own) LinkClosed(*link.Link, error) { p.client.Lost() }
