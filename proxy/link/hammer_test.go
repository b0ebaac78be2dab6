package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"sidegate/limits"
	"sidegate/proxy/backend"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// whimsical is a backend in memory whose servers answer, keep silent, or die,
// as they please.
type whimsical struct {
	budget *limits.Bytes
	alive  atomic.Int64
}

func (w *whimsical) String() string { return "whimsical" }

func (w *whimsical) Open(_ context.Context, r backend.Receiver) (backend.Conn, error) {
	if rand.IntN(20) == 0 {
		return nil, errors.New("not today")
	}
	c := &whim{backend: w, receiver: r, in: make(chan *wire.Buffer, 8), end: make(chan error, 1), gone: make(chan struct{})}
	w.alive.Add(1)
	go c.read()
	if rand.IntN(2) == 0 {
		return &breaking{c}, nil
	}
	return c, nil
}

// breaking is a connection on which requests are broken off, now and then.
type breaking struct{ *whim }

func (*breaking) Cancel([]byte) bool { return rand.IntN(2) == 0 }

type whim struct {
	backend  *whimsical
	receiver backend.Receiver
	in       chan *wire.Buffer
	end      chan error // ends the reader
	gone     chan struct{}

	mu   sync.Mutex
	over bool
}

func (c *whim) Send(msg *wire.Buffer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		msg.Release()
		return backend.ErrClosed
	}
	select {
	case c.in <- msg:
		return nil
	default:
		msg.Release()
		return backend.ErrFull
	}
}

// stop ends the connection, with err if it is the first to do so.
func (c *whim) stop(err error) {
	select {
	case c.end <- err:
	default:
	}
}

func (c *whim) Close(context.Context) {
	c.stop(nil)
	<-c.gone
}

// read is the connection's one reader.
func (c *whim) read() {
	defer c.backend.alive.Add(-1)
	defer close(c.gone)
	var env wire.Envelope
	for {
		select {
		case err := <-c.end:
			c.mu.Lock()
			c.over = true
			c.mu.Unlock()
			for len(c.in) > 0 {
				(<-c.in).Release()
			}
			c.receiver.Closed(err)
			return
		case msg := <-c.in:
			if env.Scan(msg.B) == nil && env.Kind == wire.Request {
				c.answer(string(env.ID.Of(msg.B)))
			}
			msg.Release()
		}
	}
}

// answer is what a server makes of one request.
func (c *whim) answer(id string) {
	whim := rand.IntN(20)
	if whim < 5 {
		c.say(fmt.Sprintf(progressNote, id))
	}
	if whim >= 15 {
		c.relate(id, fmt.Sprintf(changed, id))
		c.say(fmt.Sprintf(changed, id))
	}
	switch {
	case whim == 19: // where it is a listen; else not a word
		c.say(fmt.Sprintf(ended, id))
	case whim == 0:
		c.stop(errors.New("on a whim"))
	case whim == 1: // not a word
	case whim == 2:
		c.receiver.TooLong([]byte(id), 1<<30)
	case whim == 3:
		c.receiver.Garbage([]byte(id))
	default:
		c.say(`{"jsonrpc":"2.0","id":` + id + `,"result":{}}`)
	}
}

func (c *whim) say(text string) {
	msg, env := c.message(text)
	c.receiver.Message(msg, env)
}

// relate says something in the response to a call.
func (c *whim) relate(id, text string) {
	msg, env := c.message(text)
	c.receiver.(backend.Relater).Related([]byte(id), msg, env)
}

func (c *whim) message(text string) (*wire.Buffer, *wire.Envelope) {
	msg := wire.Acquire(len(text))
	msg.B = append(msg.B, text...)
	msg.Charge(c.backend.budget, int64(len(text)))
	var env wire.Envelope
	if err := env.Scan(msg.B); err != nil {
		panic(err)
	}
	return msg, &env
}

// counter is a leg that counts its answers.
type counter struct{ answers atomic.Int64 }

func (c *counter) Reply(*backend.Reply) {}

func (c *counter) Send(msg *wire.Buffer) { msg.Release() }

func (c *counter) Answer(msg *wire.Buffer, _ metrics.Outcome) {
	msg.Release()
	c.answers.Add(1)
}

// user leases links and calls on them until it has made so many calls.
type user struct {
	t      *testing.T
	pool   *Pool
	budget *limits.Bytes
	legs   []*counter
}

func (u *user) run(calls int) {
	for len(u.legs) < calls {
		l, err := u.pool.Take(context.Background())
		if err != nil {
			time.Sleep(time.Millisecond) // the server fails too often, or all links are in use
			continue
		}
		ended := make(chan struct{})
		o := &owner{onClose: func() { close(ended) }}
		if l.Lease(o) == nil {
			for range rand.IntN(20) {
				u.call(l)
			}
		}
		switch rand.IntN(3) {
		case 0:
			l.Abort(refusal.SessionEnd)
		case 1: // a while for answers, and for the time-out of those that do not come
			select {
			case <-ended:
			case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond):
			}
		}
		u.pool.End(l, refusal.SessionEnd)
	}
}

// call makes a call and perhaps cancels it.
func (u *user) call(l *Link) {
	leg := &counter{}
	c := &Call{ID: []byte(`"mine"`), Progress: []byte("1"), Leg: leg, Modern: rand.IntN(2) == 0, Listen: rand.IntN(4) == 0}
	msg, env := u.message(`{"jsonrpc":"2.0","id":"mine","method":"x","params":{"_meta":{"progressToken":1}}}`)
	if l.Call(c, msg, env) != nil {
		if leg.answers.Load() != 0 {
			u.t.Error("a call was refused and answered")
		}
		return
	}
	u.legs = append(u.legs, leg)
	switch rand.IntN(16) {
	case 0, 1, 2, 3:
		msg, env := u.message(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"mine"}}`)
		l.Cancel(c, msg, env)
	case 4:
		c.GiveUp(refusal.Cancelled)
	case 5:
		l.Extend(c, time.Now().Add(time.Second))
	case 6:
		l.Extend(c, time.Time{})
	}
}

// wantAnswered waits for an answer: the link's timer may still be giving one.
func (u *user) wantAnswered(leg *counter) {
	for end := time.Now().Add(20 * time.Second); leg.answers.Load() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := leg.answers.Load(); n != 1 {
		u.t.Fatalf("a call was answered %d times", n)
	}
}

func (u *user) message(text string) (*wire.Buffer, *wire.Envelope) {
	msg, env := wire.Acquire(len(text)), &wire.Envelope{}
	msg.B = append(msg.B, text...)
	msg.Charge(u.budget, int64(len(text)))
	if err := env.Scan(msg.B); err != nil {
		panic(err)
	}
	return msg, env
}

// TestEveryCallIsAnsweredOnce: many call, cancel and end, while servers die and
// keep silent at random; every call that was not refused has one answer.
func TestEveryCallIsAnsweredOnce(t *testing.T) {
	w := &whimsical{budget: limits.NewBytes(0)}
	p := NewPool(w, PoolOptions{
		Warm: 2, MaxLinks: 20, Wait: 50 * time.Millisecond, Restarted: func() {}, Log: zap.NewNop(),
		Link: Options{CallTimeout: 20 * time.Millisecond, MaxMessage: 1 << 20, Dropped: func(string) {}},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running, using sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	users := make([]user, 50)
	for i := range users {
		users[i] = user{t: t, pool: p, budget: w.budget}
		using.Go(func() { users[i].run(200) })
	}
	using.Wait()
	cancel()
	running.Wait()
	p.Close(context.Background())
	for _, u := range users {
		for _, leg := range u.legs {
			u.wantAnswered(leg)
		}
	}
	if n := w.budget.InUse(); n != 0 {
		t.Errorf("%d bytes are still in flight", n)
	}
	if n := w.alive.Load(); n != 0 {
		t.Errorf("%d servers are left over", n)
	}
}
