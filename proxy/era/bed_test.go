package era

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
	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server is one link's far end.
type server struct {
	b      *bed
	link   *link.Link
	sent   []string // guarded by bed.mu
	header string   // of what came last
	ended  bool
}

func (s *server) Send(msg *wire.Buffer) error { return s.SendWith(msg, nil) }

func (s *server) SendWith(msg *wire.Buffer, header []byte) error {
	text := string(msg.B)
	msg.Release()
	s.b.mu.Lock()
	s.sent = append(s.sent, text)
	s.header = string(header)
	s.b.mu.Unlock()
	if s.b.script != nil {
		go s.b.script(s, text)
	}
	return nil
}

func (s *server) Close(context.Context) {}

func (s *server) says(text string) {
	msg, env := message(text)
	s.link.Message(msg, env)
}

func (s *server) dies() { s.link.Closed(errors.New("it died")) }

// bed is a finder's pool, whose servers follow a script.
type bed struct {
	t       *testing.T
	finder  *Finder
	script  func(s *server, text string)
	take    error         // what Take fails with
	timeout time.Duration // of calls

	mu      sync.Mutex
	servers []*server
	found   []*link.Link
}

func (b *bed) Take(ctx context.Context) (*link.Link, error) {
	if b.take != nil {
		return nil, b.take
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &server{b: b}
	s.link = link.New(&link.Options{CallTimeout: b.timeout, MaxMessage: 1 << 20, Dropped: func(string) {}}, func(error) {})
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

// inBed runs a test in a bubble, with a server that follows the script.
func inBed(t *testing.T, mode string, http bool, script func(s *server, text string), test func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{t: t, script: script, timeout: time.Hour}
		b.finder = NewFinder(FinderOptions{
			Mode: mode, Pool: b, Version: "test", HTTP: http, Log: zap.NewNop(),
			Found: func(l *link.Link) { b.found = append(b.found, l) },
		})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { b.finder.Run(ctx); close(done) }()
		test(t, b)
		stop()
		<-done
		for _, l := range b.found {
			b.End(l, refusal.Ended)
		}
		synctest.Wait()
		for i, s := range b.servers {
			if !s.ended {
				t.Errorf("link %d has not ended", i+1)
			}
		}
	})
}

func message(text string) (*wire.Buffer, *wire.Envelope) {
	msg, env := wire.Acquire(len(text)), new(wire.Envelope)
	msg.B = append(msg.B, text...)
	if err := env.Scan(msg.B); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return msg, env
}

// answers is a script: the answers to discover and initialize, by what follows
// the id; "" for none.
func answers(discover, initialize string) func(*server, string) {
	return func(s *server, text string) {
		answer := discover
		if strings.Contains(text, `"method":"initialize"`) {
			answer = initialize
		} else if !strings.Contains(text, `"method":"server/discover"`) {
			return
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(text, `{"jsonrpc":"2.0","id":`), ",")
		if answer != "" {
			s.says(`{"jsonrpc":"2.0","id":` + id + `,` + answer + `}`)
		}
	}
}

// A leg is a call's way back.
type leg struct {
	mu      sync.Mutex
	answers []string
	status  int
}

func (l *leg) Send(msg *wire.Buffer)  { msg.Release() }
func (l *leg) Reply(r *backend.Reply) { l.status = r.Status }
func (l *leg) Answer(msg *wire.Buffer, _ metrics.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, string(msg.B))
	msg.Release()
}

// want wants one answer with such words in it.
func (l *leg) want(t *testing.T, words string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) != 1 || !strings.Contains(l.answers[0], words) {
		t.Errorf("answered with %q, want %s", l.answers, words)
	}
}

// room is a sharer or desk that notes what comes to it.
type room struct {
	mu     sync.Mutex
	calls  []*link.Call
	opened []string
	left   int
	ran    int
	refuse *refusal.Refusal
	inCall func(c *link.Call)
	how    metrics.Outcome // of the answers to initialize
}

func (r *room) Run(ctx context.Context) {
	r.mu.Lock()
	r.ran++
	r.mu.Unlock()
	<-ctx.Done()
}

// desk is the room as a desk.
type desk struct{ *room }

func (d desk) Call(c *link.Call, _ share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	defer msg.Release()
	if string(env.Method) != "tools/list" {
		panic("BUG: the envelope is not the message's")
	}
	if d.inCall != nil {
		d.inCall(c)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, c)
	return d.refuse
}

func (d desk) Leave(c *link.Call) {
	d.mu.Lock()
	d.left++
	d.mu.Unlock()
	c.Cancelled()
}

// sharer is the room as a sharer, whose places are the room.
type sharer struct{ *room }

func (s sharer) Join(share.Client, string, string) share.Place { return s }

func (s sharer) Open(c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	s.mu.Lock()
	s.opened = append(s.opened, string(env.Revision))
	s.mu.Unlock()
	msg.Release()
	if s.inCall != nil {
		s.inCall(c)
	}
	answer := wire.Acquire(16)
	answer.B = append(answer.B, "opened"...)
	c.Leg.Answer(answer, s.how)
}

func (s sharer) Call(c *link.Call, msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	msg.Release()
	c.Cancelled()
	return nil
}

func (s sharer) Cancel(_ *link.Call, msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	msg.Release()
	return refusal.Busy
}

func (s sharer) Tell(msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	msg.Release()
	return refusal.Busy
}

func (s sharer) Leave([]*link.Call, *refusal.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left++
}

// counting is a desk that does nothing.
type counting struct{ share.Desk }

func (counting) Call(*link.Call, share.Caller, *wire.Buffer, *wire.Envelope) *refusal.Refusal {
	return nil
}
