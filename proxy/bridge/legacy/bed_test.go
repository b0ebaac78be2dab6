package legacy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sidegate/limits"
	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A sent is a request that came to the desk; the test answers it as the server.
type sent struct {
	call   *link.Call
	from   share.Caller
	text   string
	header string
	left   int
	over   bool
}

// bed is a desk, a session's client, and a place between them.
type bed struct {
	t      testing.TB
	sharer *Sharer
	place  share.Place
	budget *limits.Bytes
	logs   *observer.ObservedLogs
	shut   func() // ends the sharer
	stop   func() // ends the session, then the sharer, and looks what is left

	mu      sync.Mutex
	sent    []*sent
	refuse  *refusal.Refusal // of the desk, nil where it takes what comes
	during  func()           // is called before the desk knows a call, nil for nothing
	asked   []*asked
	settled []share.Asker
	calls   []*link.Call
}

type asked struct {
	from share.Asker
	on   *link.Call
	text string
}

func newBed(t testing.TB, o Options) *bed {
	core, logs := observer.New(zap.InfoLevel)
	b := &bed{t: t, budget: limits.NewBytes(8 << 20), logs: logs}
	o.Desk, o.Name, o.Budget, o.Log, o.Dropped = b, "everything", b.budget, zap.New(core), func(string) {}
	b.sharer = New(o)
	b.place = b.sharer.Join(b, "me", "session-1")
	ctx, stop := context.WithCancel(context.Background())
	running := make(chan struct{})
	go func() { b.sharer.Run(ctx); close(running) }()
	b.shut = func() { stop(); <-running }
	b.stop = func() {
		b.place.Leave(nil, refusal.SessionEnd)
		b.shut()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, s := range b.sent {
			if !s.over && s.left == 0 {
				t.Errorf("the desk still has %s", s.text)
			}
		}
		if n := b.budget.InUse(); n != 0 {
			t.Errorf("%d bytes are still in flight", n)
		}
	}
	return b
}

// run runs a test in a bubble of its own, with an opened session.
func run(t *testing.T, capabilities string, f func(*bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{Answers: time.Hour})
		b.open("2025-11-25", capabilities)
		f(b)
		synctest.Wait()
		b.stop()
	})
}

func (b *bed) Call(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	var own wire.Envelope
	if err := own.Scan(msg.B); err != nil || own.ID != env.ID || own.Params != env.Params {
		b.t.Errorf("the envelope is not that of %s: %v", msg.B, err)
	}
	if b.during != nil {
		b.during()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		msg.Release()
		return b.refuse
	}
	b.sent = append(b.sent, &sent{call: c, from: from, text: string(msg.B), header: string(msg.Header)})
	msg.Release()
	return nil
}

func (b *bed) Leave(c *link.Call) {
	b.mu.Lock()
	var mine *sent
	for _, s := range b.sent {
		if s.call == c && !s.over {
			mine, s.over = s, true
			s.left++
		}
	}
	b.mu.Unlock()
	if mine != nil {
		answer, _ := b.message(`{"jsonrpc":"2.0","id":1,"error":{"code":408,"message":"left"}}`)
		c.Leg.Answer(answer, metrics.Cancelled)
	}
}

func (b *bed) Run(ctx context.Context) { <-ctx.Done() }

func (b *bed) Unasked(from share.Asker, on *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	var own wire.Envelope
	if err := own.Scan(msg.B); err != nil || own.ID != env.ID || string(own.Method) != string(env.Method) || own.Meta != env.Meta {
		b.t.Errorf("the envelope is not that of %s: %v", msg.B, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, &asked{from, on, string(msg.B)})
	msg.Release()
}

func (b *bed) Settle(from share.Asker) []share.Open {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled = append(b.settled, from)
	return []share.Open{{ID: []byte("1")}}
}

func (b *bed) Lost() { b.t.Error("the session was ended") }

func (b *bed) message(text string) (*wire.Buffer, *wire.Envelope) {
	b.t.Helper()
	msg, env := wire.Acquire(len(text)), new(wire.Envelope)
	msg.B = append(msg.B, text...)
	if !msg.Charge(b.budget, int64(len(text))) {
		b.t.Fatal("the budget is full")
	}
	if err := env.Scan(msg.B); err != nil {
		b.t.Fatalf("%s: %v", text, err)
	}
	return msg, env
}

// A leg is a client's way back.
type leg struct {
	b       *bed
	mu      sync.Mutex
	answers []string
	before  []string
	how     metrics.Outcome
	status  int
}

func (l *leg) Send(msg *wire.Buffer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = append(l.before, string(msg.B))
	msg.Release()
}

func (l *leg) Reply(r *backend.Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = r.Status
}

func (l *leg) Answer(msg *wire.Buffer, how metrics.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers, l.how = append(l.answers, string(msg.B)), how
	msg.Release()
}

// want wants one answer with such words in it.
func (l *leg) want(words string) {
	l.b.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) != 1 || !strings.Contains(l.answers[0], words) {
		l.b.t.Errorf("answered with %q, want %s", l.answers, words)
	}
}

func (l *leg) wantNothing() {
	l.b.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) != 0 {
		l.b.t.Errorf("answered with %q", l.answers)
	}
}

const discovered = `{"jsonrpc":"2.0","id":0,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"tasks":{},"logging":{},"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{}}},"instructions":"be \u006bind","ttlMs":1,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"srv","version":"9","title":"S"}}}}`

// begin sends the initialize.
func (b *bed) begin(revision, capabilities string) *leg {
	l := &leg{b: b}
	msg, env := b.message(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"` + revision + `","capabilities":` + capabilities + `,"clientInfo":{"version":"1","name":"c"}}}`)
	msg.Header = []byte("Authorization: Bearer x\r\nmcp-name: y\r\n")
	c := &link.Call{ID: []byte(`"i"`), Leg: l, Opens: true}
	b.calls = append(b.calls, c)
	b.place.Open(c, msg, env)
	return l
}

func (b *bed) open(revision, capabilities string) *leg {
	b.t.Helper()
	l := b.begin(revision, capabilities)
	b.answer(b.last(), discovered)
	l.want(`"result":{`)
	return l
}

// call sends a client's request.
func (b *bed) call(id, method, params string) (*leg, *link.Call) {
	b.t.Helper()
	l := &leg{b: b}
	c := &link.Call{ID: []byte(id), Leg: l, Progress: []byte(`"t"`)}
	if refused := b.try(c, method, params); refused != nil {
		b.t.Fatal(refused)
	}
	return l, c
}

func (b *bed) try(c *link.Call, method, params string) *refusal.Refusal {
	b.t.Helper()
	text := `{"jsonrpc":"2.0","id":` + string(c.ID) + `,"method":"` + method + `"`
	if params != "" {
		text += `,"params":` + params
	}
	msg, env := b.message(text + "}")
	b.calls = append(b.calls, c)
	return b.place.Call(c, msg, env)
}

func (b *bed) tell(method string) {
	msg, env := b.message(`{"jsonrpc":"2.0","method":"` + method + `"}`)
	if refused := b.place.Tell(msg, env); refused != nil {
		b.t.Fatal(refused)
	}
}

// last is what came to the desk last.
func (b *bed) last() *sent { return b.nth(-1) }

// nth is the n-th that came, from 0; -1 is the last.
func (b *bed) nth(n int) *sent {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 0 {
		n = len(b.sent) - 1
	}
	if n < 0 || n >= len(b.sent) {
		b.t.Fatalf("%d requests came to the desk", len(b.sent))
	}
	return b.sent[n]
}

func (b *bed) count() int {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sent)
}

// answer answers a request as a desk does: under the id that it was given.
func (b *bed) answer(s *sent, text string) {
	b.t.Helper()
	b.mu.Lock()
	if s.over {
		b.mu.Unlock()
		b.t.Fatalf("%s is over", s.text)
	}
	s.over = true
	b.mu.Unlock()
	msg, env := b.message(text)
	if env.Kind != wire.Result && env.Kind != wire.Error {
		b.t.Fatalf("%s is no answer", text)
	}
	how := metrics.OK
	if env.Kind == wire.Error {
		how = metrics.Failed
	}
	if !env.ID.Empty() {
		msg.Splice(env.ID, s.call.ID)
	}
	s.call.Leg.Answer(msg, how)
}

func (b *bed) result(s *sent, result string) {
	b.t.Helper()
	b.answer(s, `{"jsonrpc":"2.0","id":0,"result":`+result+`}`)
}

// says hands over what comes before an answer.
func (b *bed) says(s *sent, format string, args ...any) {
	b.t.Helper()
	msg, _ := b.message(fmt.Sprintf(format, args...))
	s.call.Leg.Send(msg)
}

// question is the n-th of what the client was told or asked.
func (b *bed) question(n int) *asked {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n >= len(b.asked) {
		b.t.Fatalf("the client was asked %d times", len(b.asked))
	}
	return b.asked[n]
}

// reply answers a question as the session passes it on.
func (b *bed) reply(q *asked, answer string) {
	b.t.Helper()
	var env wire.Envelope
	if err := env.Scan([]byte(q.text)); err != nil {
		b.t.Fatal(err)
	}
	msg, _ := b.message(`{"jsonrpc":"2.0","id":` + string(env.ID.Of([]byte(q.text))) + `,` + answer + `}`)
	if refused := q.from.Send(msg); refused != nil {
		b.t.Error(refused)
	}
}

func (b *bed) cancel(c *link.Call) {
	b.t.Helper()
	msg, env := b.message(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + string(c.ID) + `}}`)
	if refused := b.place.Cancel(c, msg, env); refused != nil {
		b.t.Fatal(refused)
	}
}
