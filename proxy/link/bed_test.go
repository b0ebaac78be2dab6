package link

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sidegate/limits"
	"sidegate/proxy/backend"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// peer is the server's end of a link: it keeps what it is sent.
type peer struct {
	mu     sync.Mutex
	sent   []string
	fail   error  // what Send fails with
	onSend func() // is called by Send, before it returns
	closed bool
}

func (p *peer) Send(msg *wire.Buffer) error {
	defer msg.Release()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.onSend != nil {
		p.onSend()
	}
	if p.fail == nil {
		p.sent = append(p.sent, string(msg.B))
	}
	return p.fail
}

func (p *peer) Close(context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// take returns what the server was sent since the last time.
func (p *peer) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent := p.sent
	p.sent = nil
	return sent
}

// leg is a client's end of a call: it keeps what it gets.
type leg struct {
	mu      sync.Mutex
	sent    []string
	answers []string
	replies []string
	how     metrics.Outcome
}

func (l *leg) Send(msg *wire.Buffer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, string(msg.B))
	msg.Release()
}

func (l *leg) Answer(msg *wire.Buffer, how metrics.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers, l.how = append(l.answers, string(msg.B)), how
	msg.Release()
}

func (l *leg) Reply(r *backend.Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replies = append(l.replies, fmt.Sprintf("%d %s", r.Status, r.Header))
}

// wantAnswer checks that the leg has got the one answer, with such words in it.
func (l *leg) wantAnswer(t *testing.T, how metrics.Outcome, words ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) != 1 || l.how != how {
		t.Errorf("answers %q, ended as %d; want one and %d", l.answers, l.how, how)
		return
	}
	for _, w := range words {
		if !strings.Contains(l.answers[0], w) {
			t.Errorf("the answer is %s, want %q in it", l.answers[0], w)
		}
	}
}

func (l *leg) wantNothing(t *testing.T) {
	t.Helper()
	l.wantSent(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) != 0 {
		t.Errorf("got the answers %q, want none", l.answers)
	}
}

// wantSent checks what the leg got before its answer.
func (l *leg) wantSent(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.sent, want) {
		t.Errorf("got %q, want %q", l.sent, want)
	}
}

// owner keeps what names no call.
type owner struct {
	unasked []string
	closed  error
	onClose func()
}

func (o *owner) Unasked(_ *Link, msg *wire.Buffer, env *wire.Envelope) {
	o.unasked = append(o.unasked, string(msg.B))
	msg.Release()
}

func (o *owner) LinkClosed(_ *Link, err error) {
	o.closed = err
	if o.onClose != nil {
		o.onClose()
	}
}

// bed is a link between a peer and legs.
type bed struct {
	*Link
	t       *testing.T
	peer    *peer
	budget  *limits.Bytes
	mu      sync.Mutex
	dropped map[string]int
	deaths  []error
}

// newBed makes a bed that checks at the test's end that nothing is left. It
// may be made in a bubble.
func newBed(t *testing.T, o Options) *bed {
	b := &bed{t: t, peer: &peer{}, budget: limits.NewBytes(0), dropped: map[string]int{}}
	o.Dropped = func(what string) { b.mu.Lock(); b.dropped[what]++; b.mu.Unlock() }
	if o.CallTimeout == 0 {
		o.CallTimeout = time.Hour
	}
	b.Link = New(&o, func(err error) { b.deaths = append(b.deaths, err) })
	b.Attach(b.peer)
	t.Cleanup(func() {
		b.End(context.Background(), refusal.SessionEnd)
		if n := b.budget.InUse(); n != 0 {
			t.Errorf("%d bytes are still in flight", n)
		}
		if n := b.InFlight(); n != 0 {
			t.Errorf("%d calls are still in flight", n)
		}
		if !b.peer.closed {
			t.Error("the connection was not closed")
		}
	})
	return b
}

// message is a message that is paid for, with what the scan finds in it.
func (b *bed) message(text string) (*wire.Buffer, *wire.Envelope) {
	b.t.Helper()
	msg, env := wire.Acquire(len(text)), &wire.Envelope{}
	msg.B = append(msg.B, text...)
	if !msg.Charge(b.budget, int64(len(text))) {
		b.t.Fatal("no budget")
	}
	if err := env.Scan(msg.B); err != nil {
		b.t.Fatalf("%s: %v", text, err)
	}
	return msg, env
}

// start makes a call of the request.
func (b *bed) start(request string) (*Call, *leg, *refusal.Refusal) {
	b.t.Helper()
	msg, env := b.message(request)
	l := &leg{}
	c := &Call{ID: slices.Clone(env.ID.Of(msg.B)), Progress: slices.Clone(env.ProgressToken.Of(msg.B)), Leg: l}
	return c, l, b.Link.Call(c, msg, env)
}

// begin makes a call that is not refused.
func (b *bed) begin(request string) (*Call, *leg) {
	b.t.Helper()
	c, l, refused := b.start(request)
	if refused != nil {
		b.t.Fatalf("%s: refused: %v", request, refused)
	}
	return c, l
}

// say is what the server says.
func (b *bed) say(format string, args ...any) {
	b.t.Helper()
	msg, env := b.message(fmt.Sprintf(format, args...))
	b.Message(msg, env)
}

func (b *bed) wantSent(want ...string) {
	b.t.Helper()
	if got := b.peer.take(); !slices.Equal(got, want) {
		b.t.Errorf("the server got %q, want %q", got, want)
	}
}

func (b *bed) wantDropped(want map[string]int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !maps.Equal(b.dropped, want) {
		b.t.Errorf("dropped: %v, want %v", b.dropped, want)
	}
	clear(b.dropped)
}
