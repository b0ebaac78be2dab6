package modern

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sidegate/limits"
	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const everything = `{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"logging":{},"tasks":{}}`

const defaultInit = `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":` + everything +
	`,"serverInfo":{"name":"old","version":"7"},"instructions":"be kind"}}`

// meta is the _meta of a modern request.
func meta(capabilities, more string) string {
	return `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":` + capabilities + more + `}`
}

const (
	able    = `{"elicitation":{},"sampling":{},"roots":{}}`
	limited = `{}`
)

// A server is one link's far end. It answers initialize, setLevel and
// subscriptions by itself; for the rest the test speaks.
type server struct {
	b     *bed
	link  *link.Link
	sent  []string // guarded by bed.mu
	ended bool
}

func (s *server) Send(msg *wire.Buffer) error {
	var env wire.Envelope
	text := string(msg.B)
	_ = env.Scan([]byte(text))
	msg.Release()
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.sent = append(s.sent, text)
	id := env.ID.Of([]byte(text))
	switch string(env.Method) {
	case "initialize":
		if s.b.init != "" {
			go s.says("%s", strings.Replace(s.b.init, `"id":1`, `"id":`+string(id), 1))
		}
	case "logging/setLevel", "resources/unsubscribe":
		go s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
	case "resources/subscribe":
		switch {
		case s.b.slow: // the test answers
		case strings.Contains(text, "refused"):
			go s.says(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32002,"message":"no"}}`, id)
		default:
			go s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
		}
	}
	return nil
}

func (s *server) Close(context.Context) {}

// says hands over what the server says.
func (s *server) says(format string, args ...any) {
	msg, env := message(fmt.Sprintf(format, args...))
	s.link.Message(msg, env)
}

func (s *server) dies() { s.link.Closed(errors.New("it died")); synctest.Wait() }

// took returns what the server was sent since the last time, but for what it
// answers by itself.
func (s *server) took() (sent []string) {
	synctest.Wait()
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	for _, text := range s.sent {
		if !strings.Contains(text, `"initialize"`) && !strings.Contains(text, "notifications/initialized") {
			sent = append(sent, text)
		}
	}
	s.sent = nil
	return sent
}

// bed is a desk over a group, and the pool that the group takes its links from.
type bed struct {
	*Desk
	t     *testing.T
	stop  func()
	bytes *limits.Bytes

	mu      sync.Mutex
	init    string
	slow    bool // subscriptions are not answered
	servers []*server
	dropped map[string]int
}

// in runs a test with a desk over links that are shared.
func in(t *testing.T, o Options, test func(*testing.T, *bed)) {
	t.Helper()
	inGroup(t, o, share.Options{Links: 1}, test)
}

func inGroup(t *testing.T, o Options, g share.Options, test func(*testing.T, *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, o, g)
		test(t, b)
		b.end()
	})
}

func newBed(t *testing.T, o Options, g share.Options) *bed {
	b := &bed{t: t, init: defaultInit, dropped: map[string]int{}, bytes: limits.NewBytes(1 << 20)}
	count := func(what string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.dropped[what]++
	}
	g.Dropped, g.Version, g.Budget = count, "test", b.bytes
	group := share.NewGroup(g, b)
	o.Sharer, o.Dropped, o.Version, o.Budget = group, count, "test", b.bytes
	b.Desk = New(o)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	groupCtx, stopGroup := context.WithCancel(context.Background())
	running.Go(func() { group.Run(groupCtx) })
	b.stop = func() {
		stop()
		synctest.Wait()
		stopGroup()
		running.Wait()
	}
	return b
}

// end ends the desk and wants nothing to be left.
func (b *bed) end() {
	b.t.Helper()
	b.stop()
	for _, s := range b.servers {
		s.link.End(context.Background(), refusal.Draining)
	}
	synctest.Wait()
	b.Desk.mu.Lock()
	defer b.Desk.mu.Unlock()
	if len(b.clients)+len(b.residents)+len(b.seats)+len(b.sealed)+b.parked.Len() > 0 {
		b.t.Errorf("left: %d clients, %d residents, %d seats, %d sealed, %d parked", len(b.clients), len(b.residents), len(b.seats), len(b.sealed), b.parked.Len())
	}
	if n := b.bytes.InUse(); n != 0 {
		b.t.Errorf("%d bytes are still charged", n)
	}
}

func (b *bed) Take(context.Context) (*link.Link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &server{b: b}
	s.link = link.New(&link.Options{CallTimeout: time.Minute, MaxMessage: 1 << 20, Dropped: func(string) {}}, func(error) {})
	s.link.Attach(s)
	b.servers = append(b.servers, s)
	return s.link, nil
}

func (b *bed) End(l *link.Link, why *refusal.Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.servers {
		if s.link == l && !s.ended {
			s.ended = true
			go l.End(context.Background(), why)
		}
	}
}

func (b *bed) Full() bool { return false }

// server is the n-th link's far end, from 1.
func (b *bed) server(n int) *server {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.servers) < n {
		b.t.Fatalf("there are %d links, want the one with number %d", len(b.servers), n)
	}
	return b.servers[n-1]
}

func message(text string) (*wire.Buffer, *wire.Envelope) {
	msg, env := wire.Acquire(len(text)), new(wire.Envelope)
	msg.B = append(msg.B, text...)
	if err := env.Scan(msg.B); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return msg, env
}

// A leg is a modern client's call.
type leg struct {
	link.Call
	b *bed

	mu      sync.Mutex
	sent    []string
	answers []string
	status  int
	refused *refusal.Refusal
}

func (l *leg) Send(msg *wire.Buffer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, string(msg.B))
	msg.Release()
}

func (l *leg) Reply(r *backend.Reply) { l.status = r.Status }

func (l *leg) Answer(msg *wire.Buffer, _ metrics.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, string(msg.B))
	msg.Release()
}

// as sends a request of a caller's; params are without braces.
func (b *bed) as(principal, id, method, params string) *leg {
	b.t.Helper()
	msg, env := message(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s}}`, id, method, params))
	l := &leg{b: b}
	l.ID = []byte(id)
	if token := env.ProgressToken.Of(msg.B); token != nil {
		l.Progress = append([]byte(nil), token...)
	}
	l.Leg = l
	l.refused = b.Desk.Call(&l.Call, share.Caller{Principal: principal}, msg, env)
	synctest.Wait()
	return l
}

// call sends a tools/call of a client that can be asked.
func (b *bed) call(id, more string) *leg {
	b.t.Helper()
	return b.as("", id, "tools/call", `"name":"t","arguments":{"b":1,"a":2.50},`+meta(able, "")+more)
}

// want wants one answer with such words in it, and returns it.
func (l *leg) want(words ...string) string {
	l.b.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused != nil {
		l.b.t.Fatalf("refused: %v", l.refused)
	}
	if len(l.answers) != 1 {
		l.b.t.Fatalf("%d answers: %q, want one with %q", len(l.answers), l.answers, words)
	}
	for _, w := range words {
		if !strings.Contains(l.answers[0], w) {
			l.b.t.Errorf("answered with %s, want %s", l.answers[0], w)
		}
	}
	message(l.answers[0]) // it is sound
	return l.answers[0]
}

func (l *leg) wantNothing() {
	l.b.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) != 0 || l.refused != nil {
		l.b.t.Errorf("answered with %q, %v", l.answers, l.refused)
	}
}

// parked waits for the questions and returns the requestState, a JSON string.
func (l *leg) parked(words ...string) string {
	l.b.t.Helper()
	time.Sleep(2 * window)
	text := l.want(append(words, `"resultType":"input_required"`)...)
	_, state, ok := strings.Cut(text, `"requestState":`)
	if !ok {
		l.b.t.Fatalf("no requestState in %s", text)
	}
	return state[:strings.Index(state[1:], `"`)+2]
}

// heard wants what came before the answer.
func (l *leg) heard(words ...string) {
	l.b.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	ok := len(words) == len(l.sent)
	for i := range min(len(words), len(l.sent)) {
		ok = ok && strings.Contains(l.sent[i], words[i])
	}
	if !ok {
		l.b.t.Errorf("heard %q, want %q", l.sent, words)
	}
	l.sent = nil
}

// wantRefused wants the request to have been refused with a code.
func (l *leg) wantRefused(code int) {
	l.b.t.Helper()
	if l.refused == nil || l.refused.Code != code || len(l.answers) > 0 {
		l.b.t.Errorf("refused with %v, answers %q; want the code %d", l.refused, l.answers, code)
	}
}
