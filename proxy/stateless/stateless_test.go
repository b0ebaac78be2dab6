package stateless

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a desk that keeps what it is given, and the calls in front of it.
type bed struct {
	t     *testing.T
	calls *Calls

	mu      sync.Mutex
	taken   []*link.Call
	from    []share.Caller
	left    []*link.Call
	refuses *refusal.Refusal
	ended   []metrics.Outcome
	dropped []string
}

func newBed(t *testing.T, most int) *bed {
	b := &bed{t: t}
	b.calls = New(Options{
		Desk: b, Most: most,
		Ended: func(_ int, how metrics.Outcome, _ time.Duration) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.ended = append(b.ended, how)
		},
		Dropped: func(what string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.dropped = append(b.dropped, what)
		},
	})
	return b
}

func (b *bed) Call(c *link.Call, from share.Caller, msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	msg.Release()
	if b.refuses != nil {
		return b.refuses
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken, b.from = append(b.taken, c), append(b.from, from)
	return nil
}

func (b *bed) Leave(c *link.Call) {
	b.mu.Lock()
	b.left = append(b.left, c)
	b.mu.Unlock()
	c.Refuse(refusal.Cancelled) // as desks do; nobody reads it
}

func (b *bed) Run(context.Context) {}

func message(text string) *wire.Buffer {
	m := wire.Acquire(len(text))
	m.B = append(m.B, text...)
	return m
}

// start starts a call on a stream of its own.
func (b *bed) start(method string) (*Call, *stream.Stream, *refusal.Refusal) {
	b.t.Helper()
	c := b.calls.NewCall()
	st := stream.NewSingle(&stream.Options{Dropped: func(string) {}}, c.Leave)
	msg := message(fmt.Sprintf(`{"jsonrpc":"2.0","id":"a","method":%q,"params":{"_meta":{"progressToken":7}}}`, method))
	var env wire.Envelope
	if err := env.Scan(msg.B); err != nil {
		b.t.Fatal(err)
	}
	return c, st, c.Start(share.Caller{Principal: "ann", HTTP: true}, st, nil, msg, &env)
}

// wait is the status and the text of the answer on st, 0 without one.
func wait(st *stream.Stream) (int, string) {
	msg, form := st.Wait(10*time.Millisecond, 1000)
	if msg == nil {
		return 0, ""
	}
	defer msg.Release()
	return form.Status, string(msg.B)
}

// TestForms: the status that an answer has is its code's, or the refusal's.
func TestForms(t *testing.T) {
	errorOf := func(code int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":"a","error":{"code":%d,"message":"m"}}`, code)
	}
	for _, test := range []struct {
		answer string
		how    metrics.Outcome
		want   int
	}{
		{`{"jsonrpc":"2.0","id":"a","result":{}}`, metrics.OK, 200},
		{errorOf(-32601), metrics.Failed, 404},
		{errorOf(-32602), metrics.Failed, 200},
		{errorOf(-32020), metrics.Failed, 400},
		{errorOf(-32021), metrics.Failed, 400},
		{errorOf(-32022), metrics.Failed, 400},
		{errorOf(-32603), metrics.Failed, 200},
	} {
		b := newBed(t, 10)
		c, st, _ := b.start("tools/call")
		b.taken[0].Leg.Answer(message(test.answer), test.how)
		if status, text := wait(st); status != test.want || text != test.answer {
			t.Errorf("%s: got %d %s, want %d", test.answer, status, text, test.want)
		}
		c.Leave() // after the answer it means nothing
		if !slices.Equal(b.ended, []metrics.Outcome{test.how}) || b.calls.InFlight() != 0 {
			t.Errorf("ended %v, %d in flight", b.ended, b.calls.InFlight())
		}
	}
	b := newBed(t, 10)
	_, st, _ := b.start("tools/call")
	b.taken[0].Refuse(refusal.Links)
	if status, _ := wait(st); status != refusal.Links.Status {
		t.Errorf("a refusal has status %d, want %d", status, refusal.Links.Status)
	}
	if b.from[0] != (share.Caller{Principal: "ann", HTTP: true}) || string(b.taken[0].Progress) != "7" || !b.taken[0].Modern {
		t.Errorf("the desk got %+v, progress %s", b.from[0], b.taken[0].Progress)
	}
}

// TestLeave: nothing of a call reaches a client that has left.
func TestLeave(t *testing.T) {
	b := newBed(t, 10)
	c, st, _ := b.start("tools/call")
	c.Leave()
	c.Send(message(`{"late":1}`))
	c.Answer(message(`{"late":2}`), metrics.OK)
	c.Reply(&backend.Reply{Status: 500})
	if status, text := wait(st); status != 0 {
		t.Errorf("got %d %s", status, text)
	}
	if len(b.left) != 1 || b.left[0] != &c.Call || !slices.Equal(b.dropped, []string{"undelivered"}) || !slices.Equal(b.ended, []metrics.Outcome{metrics.Cancelled}) {
		t.Errorf("left %v, dropped %v, ended %v", b.left, b.dropped, b.ended)
	}
}

func TestBound(t *testing.T) {
	b := newBed(t, 1)
	c, _, _ := b.start("tools/call")
	if _, _, refused := b.start("tools/call"); refused == nil || refused.Status != refusal.Calls.Status {
		t.Errorf("got %v", refused)
	}
	c.Leave()
	b.refuses = refusal.Busy
	if _, _, refused := b.start("tools/call"); refused != refusal.Busy {
		t.Errorf("got %v", refused)
	}
	if b.refuses = nil; b.calls.InFlight() != 0 {
		t.Error("a call that was refused is in flight")
	}
}

// TestDrain ends listens with a result, waits for calls, and takes no more.
func TestDrain(t *testing.T) {
	b := newBed(t, 10)
	_, listen, _ := b.start("subscriptions/listen")
	_, call, _ := b.start("tools/call")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if b.calls.Drain(ctx) {
		t.Error("all calls are answered, though one is not")
	}
	if status, text := wait(listen); status != 200 || text != `{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"a"}}}` {
		t.Errorf("the listen ended with %d %s", status, text)
	}
	if _, _, refused := b.start("tools/list"); refused != refusal.Draining {
		t.Errorf("got %v", refused)
	}
	b.calls.Close()
	if status, _ := wait(call); status != refusal.Draining.Status {
		t.Errorf("the call ended with %d", status)
	}
	if len(b.left) != 2 || !b.calls.Drain(t.Context()) {
		t.Errorf("%d were left", len(b.left))
	}
}
