package link

import (
	"context"
	"errors"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// Probe asks the server itself whether it works, on a link of the pool: one that
// is in use and on which no call is in flight is sent a ping. One with calls in
// flight is not asked: a server may well do one thing at a time, and whoever
// restarts it for that would cut them. Nor is one that nobody has used yet,
// since some servers end at a request before initialize: that it lives must do,
// once the server has kept it for a moment. Where there is no link a connection
// is tried, unless that is a process to be started: then, and where a link has
// yet to show whether the server keeps it, what is known so far is the answer.
// ctx bounds it.
func (p *Pool) Probe(ctx context.Context) error {
	p.mu.Lock()
	l, live := p.probed()
	age, _ := p.age()
	p.mu.Unlock()
	switch {
	case l != nil:
		return l.askPing(ctx)
	case live && age >= takes:
		return nil
	}
	if err := p.Ready(); err != nil {
		return err
	}
	if _, listens := p.backend.(backend.Checker); live || !listens {
		return nil
	}
	return p.try(ctx)
}

// probed finds a link that can be asked, and tells whether there is any that
// lives. p.mu is held.
func (p *Pool) probed() (idle *Link, live bool) {
	for _, m := range p.members {
		if m.dead != nil || m.state != active && m.state != warm {
			continue
		}
		live = true
		if m.state == active && m.link.Heard() && m.link.InFlight() == 0 {
			return m.link, true
		}
	}
	return nil, live
}

// errNoPing is the end of a server that is there and does not work.
var errNoPing = errors.New("the tool server does not answer a ping")

// askPing sends the server a ping and waits for its answer. Any answer will do:
// modern servers know no ping, and say so.
func (l *Link) askPing(ctx context.Context) error {
	msg, env := NewRequest(mcp.MethodPing, struct{}{})
	ping, refused := l.Inquire(msg, env, Sort{Modern: true})
	if refused != nil {
		return refused
	}
	select {
	case <-ping.Done():
	case <-ctx.Done():
		ping.Drop(refusal.CallTimeout)
	}
	if ping.leg.how == metrics.Lost {
		return errNoPing
	}
	return nil
}

// A trial is the receiver of a connection that is tried and not used.
type trial struct {
	ended  chan struct{} // closed by Closed
	turned string
	err    error
}

// Message keeps only that the server does not want the connection.
func (t *trial) Message(msg *wire.Buffer, env *wire.Envelope) {
	if t.turned == "" {
		t.turned = turnedAway(msg, env)
	}
	msg.Release()
}

func (t *trial) TooLong([]byte, int64)        {}
func (t *trial) Garbage([]byte)               {}
func (t *trial) Reply([]byte, *backend.Reply) {}

// Closed is the last to be called, also where the gate ends the connection.
func (t *trial) Closed(err error) {
	if t.err = err; t.turned != "" {
		t.err = &TurnedAwayError{t.turned, err}
	}
	close(t.ended)
}

// takes is how soon a server has ended a connection that it does not want.
const takes = 250 * time.Millisecond

// try opens a connection, waits for whether the server keeps it, and closes it.
// Nothing is sent. A server that says why it does not want it may take longer
// for that: its word counts also where it comes while the connection is closed.
func (p *Pool) try(ctx context.Context) error {
	t := &trial{ended: make(chan struct{})}
	conn, err := p.backend.Open(ctx, t)
	if err != nil {
		return err
	}
	kept := time.NewTimer(takes)
	defer kept.Stop()
	select {
	case <-t.ended:
	case <-kept.C:
	case <-ctx.Done():
	}
	conn.Close(ctx)
	return t.err
}
