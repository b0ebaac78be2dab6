package share

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server is one link's far end. It answers initialize by itself; for the rest
// the test speaks.
type server struct {
	b    *bed
	n    int // the first is 1
	link *link.Link

	sent  []string // guarded by bed.mu
	ended bool
}

func (s *server) Send(msg *wire.Buffer) error {
	text := string(msg.B)
	msg.Release()
	s.b.mu.Lock()
	s.sent = append(s.sent, text)
	init := s.b.init
	s.b.mu.Unlock()
	if strings.Contains(text, `"method":"initialize"`) && init != "" {
		go s.says("%s", init)
	}
	return nil
}

func (s *server) Close(context.Context) {}

// Hears implements backend.Hearer.
func (s *server) Hears() uint64 {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.b.hears
}

// says hands over what the server says.
func (s *server) says(format string, args ...any) {
	msg, env := message(fmt.Sprintf(format, args...))
	s.link.Message(msg, env)
}

// dies ends the link from the server's side.
func (s *server) dies() { s.link.Closed(errors.New("it died")) }

// took returns what the server was sent since the last time.
func (s *server) took() []string {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	sent := s.sent
	s.sent = nil
	return sent
}

// bed is a group, and the pool that it takes its links from.
type bed struct {
	*Group
	t *testing.T

	mu      sync.Mutex
	init    string // the answer to initialize, "" for none
	most    int    // links at once
	hears   uint64 // see backend.Hearer
	servers []*server
	dropped map[string]int
}

const defaultInit = `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"logging":{},"tasks":{}}}}`

func newBed(t *testing.T, o Options) *bed {
	b := &bed{t: t, init: defaultInit, most: 100, hears: 1, dropped: map[string]int{}}
	o.Dropped = func(what string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.dropped[what]++
	}
	o.Version = "test"
	o.Links = max(o.Links, 1)
	o.Budget = limits.NewBytes(1 << 20)
	b.Group = NewGroup(o, b)
	ctx, stop := context.WithCancel(context.Background())
	running := make(chan struct{})
	go func() { b.Run(ctx); close(running) }()
	t.Cleanup(func() {
		stop()
		<-running
		b.Group.mu.Lock()
		defer b.Group.mu.Unlock()
		for _, tn := range b.idle {
			b.end(tn, refusal.Draining)
		}
		for _, k := range b.kinds {
			for _, s := range k.slots {
				if s.tenant != nil {
					b.end(s.tenant, refusal.Draining)
				}
			}
		}
	})
	return b
}

func (b *bed) living() (n int) {
	for _, s := range b.servers {
		if !s.ended {
			n++
		}
	}
	return n
}

func (b *bed) Take(ctx context.Context) (*link.Link, error) {
	late := time.After(10 * time.Second)
	for {
		b.mu.Lock()
		if b.living() < b.most {
			break
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late:
			return nil, fmt.Errorf("%w: all taken", link.ErrNoLinks)
		case <-time.After(time.Millisecond):
		}
	}
	defer b.mu.Unlock()
	s := &server{b: b, n: len(b.servers) + 1}
	s.link = link.New(&link.Options{CallTimeout: time.Hour, MaxMessage: 1 << 20, Dropped: b.options.Dropped}, func(error) {})
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

func (b *bed) Full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.living() >= b.most
}

// wantTook wants the server to have been sent messages with such words in them.
func (s *server) wantTook(words ...string) {
	s.b.t.Helper()
	synctest.Wait()
	sent := s.took()
	ok := len(sent) == len(words)
	for i := range min(len(sent), len(words)) {
		ok = ok && strings.Contains(sent[i], words[i])
	}
	if !ok {
		s.b.t.Errorf("the server was sent %q, want %q", sent, words)
	}
}

// server is the n-th link's far end.
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

// wantLinks wants so many links to live, of so many that were started.
func (b *bed) wantLinks(living, started int) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.living(); n != living || len(b.servers) != started {
		b.t.Errorf("%d of %d links live, want %d of %d", n, len(b.servers), living, started)
	}
}

func message(text string) (*wire.Buffer, *wire.Envelope) {
	msg, env := wire.Acquire(len(text)), new(wire.Envelope)
	msg.B = append(msg.B, text...)
	if err := env.Scan(msg.B); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return msg, env
}

// A client is a session of the test.
type client struct {
	b     *bed
	place Place

	mu      sync.Mutex
	unasked []string // "call ID: MESSAGE", or "MESSAGE"
	askers  []Asker
	open    []Open // what Settle finds
	settled []Asker
	lost    bool
	calls   []*link.Call
}

func (c *client) Unasked(from Asker, on *link.Call, msg *wire.Buffer, _ *wire.Envelope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := string(msg.B)
	if on != nil {
		text = fmt.Sprintf("call %s: %s", on.ID, text)
	}
	c.unasked = append(c.unasked, text)
	if from != nil && on != nil {
		c.askers = append(c.askers, from)
	}
	msg.Release()
}

// answer answers the question that came last on a call.
func (c *client) answer(id string) {
	c.mu.Lock()
	from := c.askers[len(c.askers)-1]
	c.mu.Unlock()
	msg := wire.Acquire(64)
	msg.B = fmt.Appendf(msg.B, `{"jsonrpc":"2.0","id":%q,"result":{}}`, id)
	_ = from.Send(msg)
	synctest.Wait()
}

// cancel cancels the call that was sent last.
func (c *client) cancel() {
	msg, env := message(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}`)
	_ = c.place.Cancel(c.calls[len(c.calls)-1], msg, env)
	synctest.Wait()
}

func (c *client) Settle(l Asker) []Open {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = append(c.settled, l)
	open := c.open
	c.open = nil
	return open
}

func (c *client) Lost() { c.lost = true }

// heard wants these messages to have come, and nothing else.
func (c *client) heard(want ...string) {
	c.b.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.unasked, want) {
		c.b.t.Errorf("heard %q, want %q", c.unasked, want)
	}
	c.unasked = nil
}

// A leg is a call's way back.
type leg struct {
	b       *bed
	answers []string
	status  int
}

func (l *leg) Send(msg *wire.Buffer)  { msg.Release() }
func (l *leg) Reply(r *backend.Reply) { l.status = r.Status }
func (l *leg) Answer(msg *wire.Buffer, _ metrics.Outcome) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.answers = append(l.answers, string(msg.B))
	msg.Release()
}

// want wants one answer with such words in it.
func (l *leg) want(words string) {
	l.b.t.Helper()
	synctest.Wait()
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if len(l.answers) != 1 || !strings.Contains(l.answers[0], words) {
		l.b.t.Errorf("answered with %q, want %s", l.answers, words)
	}
}

func (l *leg) wantNothing() {
	l.b.t.Helper()
	synctest.Wait()
	if len(l.answers) != 0 {
		l.b.t.Errorf("answered with %q", l.answers)
	}
}

const asking = `{"elicitation":{},"roots":{}}`

// join opens a session of a caller, with these capabilities.
func (b *bed) join(principal, id, capabilities string) *client {
	b.t.Helper()
	c := &client{b: b}
	c.place = b.Join(c, principal, id)
	l := &leg{b: b}
	msg, env := message(`{"jsonrpc":"2.0","id":"` + id + `","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":` + capabilities + `}}`)
	c.place.Open(&link.Call{ID: []byte(`"` + id + `"`), Leg: l, Opens: true}, msg, env)
	l.want(`"id":"` + id + `"`)
	l.want(`"result":{`)
	return c
}

// call sends a request that must not be refused.
func (c *client) call(id, method, params string) *leg {
	c.b.t.Helper()
	l := &leg{b: c.b}
	if refused := c.try(l, id, method, params); refused != nil {
		c.b.t.Fatal(refused)
	}
	return l
}

func (c *client) try(l *leg, id, method, params string) *refusal.Refusal {
	msg, env := message(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, method, params))
	call := &link.Call{ID: []byte(id), Leg: l}
	refused := c.place.Call(call, msg, env)
	if refused == nil {
		c.calls = append(c.calls, call)
	}
	synctest.Wait()
	return refused
}

func (c *client) tool(id string) *leg {
	c.b.t.Helper()
	return c.call(id, "tools/call", `{"name":"t"}`)
}

func (c *client) leave() { c.place.Leave(c.calls, refusal.SessionEnd); synctest.Wait() }
