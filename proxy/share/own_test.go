package share

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
)

// ownBed is sessions with links of their own, of which so many are warm.
type ownBed struct {
	*bed
	own  *Own
	warm int
	stop func() // the sessions' sharer
}

func (b *ownBed) TakeWarm() *link.Link {
	if b.warm == 0 {
		return nil
	}
	b.warm--
	l, err := b.Take(context.Background())
	if err != nil {
		b.t.Error(err)
	}
	return l
}

func inOwn(t *testing.T, warm int, test func(t *testing.T, b *ownBed)) {
	in(t, Options{}, func(t *testing.T, inner *bed) {
		b := &ownBed{bed: inner, warm: warm}
		b.own = NewOwn(b)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { b.own.Run(ctx); close(ended) }()
		b.stop = func() { cancel(); <-ended }
		test(t, b)
		b.stop()
	})
}

// open sends a session's initialize, and waits for nothing.
func (b *ownBed) open(c *client) *leg {
	l := &leg{b: b.bed}
	msg, env := message(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	c.place.Open(&link.Call{ID: []byte(`"i"`), Leg: l, Opens: true}, msg, env)
	return l
}

func (b *ownBed) client() *client {
	c := &client{b: b.bed}
	c.place = b.own.Join(c, "", "id")
	return c
}

// TestOwnWarm: a warm link has the initialize when Open returns.
func TestOwnWarm(t *testing.T) {
	inOwn(t, 1, func(t *testing.T, b *ownBed) {
		c := b.client()
		answer := b.open(c)
		if len(b.servers) != 1 || len(b.servers[0].took()) != 1 {
			t.Error("the server has not been sent the initialize")
		}
		answer.want(`"result":{`)
		c.tool("1")
		c.leave()
		b.wantLinks(0, 1)
	})
}

// TestOwnCold: where no link is warm Open does not wait until one has started.
func TestOwnCold(t *testing.T) {
	inOwn(t, 0, func(t *testing.T, b *ownBed) {
		b.most = 0 // there is no room
		c := b.client()
		answer := b.open(c)
		answer.wantNothing()
		b.mu.Lock()
		b.most = 1
		b.mu.Unlock()
		time.Sleep(time.Second)
		answer.want(`"result":{`)
		c.leave()
		b.wantLinks(0, 1)
	})
}

// TestOwnLeftBefore: a session that has ended does not keep the link that was
// warm for it.
func TestOwnLeftBefore(t *testing.T) {
	inOwn(t, 1, func(t *testing.T, b *ownBed) {
		c := b.client()
		c.place.Leave(nil, refusal.SessionIdle)
		b.open(c).want(refusal.SessionIdle.Text)
		b.server(1).wantTook()
		b.wantLinks(0, 1)
	})
}

// TestOwnDeadLink: a link that has died in the meantime opens nothing.
func TestOwnDeadLink(t *testing.T) {
	inOwn(t, 1, func(t *testing.T, b *ownBed) {
		l := b.TakeWarm()
		b.server(1).dies()
		c := b.client()
		msg, env := message(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{}}`)
		answer := &leg{b: b.bed}
		c.place.(*own).start(l, &link.Call{ID: []byte(`"i"`), Leg: answer, Opens: true}, msg, env)
		answer.want(refusal.Start.Text)
		b.wantLinks(0, 1)
	})
}

// TestOwnClosed: a warm link is not taken once the gate ends.
func TestOwnClosed(t *testing.T) {
	inOwn(t, 1, func(t *testing.T, b *ownBed) {
		c := b.client()
		b.stop()
		b.open(c).want(refusal.Draining.Text)
		synctest.Wait()
		b.wantLinks(0, 0)
	})
}
