package http

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"sidegate/proxy/rawio"
)

const (
	maxIdle     = 64               // connections kept
	maxIdleTime = 60 * time.Second // where the server says for how long it keeps them

	// idleTime is for servers that do not say it: one that closes a connection
	// just when a call is sent on it loses the call. Many close after 5 s.
	idleTime = 4 * time.Second
)

// pool keeps the connections to one server that nobody uses. It keeps them as
// long as there is somebody who may want them.
type pool struct {
	origin  *origin
	timeout time.Duration
	tls     *tls.Config // nil without TLS

	mu    sync.Mutex
	users int
	idle  []*upstream // the last one is taken first
	timer *time.Timer // ends the connections whose time is over
	timed bool        // the timer is set
}

func (p *pool) init(o *origin, c Config) {
	p.origin, p.timeout = o, c.ConnectTimeout
	if o.scheme != "https" {
		return
	}
	p.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		p.tls = c.TLS.Clone()
	}
	if p.tls.ServerName == "" {
		p.tls.ServerName = o.server
	}
	p.tls.NextProtos = []string{"http/1.1"}
}

// enter counts a user.
func (p *pool) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users++
}

// leave closes what is kept, with the last user.
func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users > 0 {
		return
	}
	for _, u := range p.idle {
		u.close()
	}
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
		p.timed = false
	}
}

// get returns a connection of the pool that is good, or else a new one, with
// its read buffer.
func (p *pool) get(ctx context.Context) (*upstream, error) {
	if u := p.good(); u != nil {
		return u, nil
	}
	return p.fresh(ctx)
}

// good returns a connection of the pool that is good, with its read buffer; nil
// where there is none.
func (p *pool) good() *upstream {
	for u := p.take(); u != nil; u = p.take() {
		if u.usable() {
			u.reused = true
			u.borrow()
			return u
		}
		u.close()
	}
	return nil
}

func (p *pool) take() *upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	u := p.idle[n]
	p.idle[n] = nil
	p.idle = p.idle[:n]
	return u
}

// put takes a connection back whose last response was read to its end.
func (p *pool) put(u *upstream) {
	if !u.giveBack() || u.idle <= 0 {
		u.close()
		return
	}
	u.end = time.Now().Add(u.idle)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == 0 || len(p.idle) >= maxIdle {
		u.close()
		return
	}
	p.idle = append(p.idle, u)
	p.watch()
}

// watch sets the timer if it is not set. p.mu is held.
func (p *pool) watch() {
	if p.timed || len(p.idle) == 0 {
		return
	}
	p.timed = true
	const every = time.Second
	if p.timer == nil {
		p.timer = time.AfterFunc(every, p.expire)
		return
	}
	p.timer.Reset(every)
}

// expire closes the connections whose time is over.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.idle = slices.DeleteFunc(p.idle, func(u *upstream) bool {
		over := now.After(u.end)
		if over {
			u.close()
		}
		return over
	})
	p.timed = false
	p.watch()
}

// fresh returns a new connection, with its read buffer.
func (p *pool) fresh(ctx context.Context) (*upstream, error) {
	u, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	u.borrow()
	return u, nil
}

// dial makes a connection. The error has words for a client. That the other end
// is gone without a word shows after some minutes, by the keep-alive of TCP that
// net sets: a response may be silent for as long as it likes.
func (p *pool) dial(ctx context.Context) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var d net.Dialer
	socket, err := d.DialContext(ctx, p.origin.network, p.origin.address)
	if err != nil {
		return nil, fmt.Errorf("the tool server cannot be reached at %s: %w", p.origin.base(), err)
	}
	if p.tls == nil {
		return newUpstream(socket, socket), nil
	}
	secured := tls.Client(rawio.NewConn(socket), p.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("the tool server at %s cannot be spoken to over TLS: %w", p.origin.base(), err)
	}
	return newUpstream(secured, socket), nil
}
