package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sidegate/limits"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
	"sidegate/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a manager whose links end in memory: what a session sends is
// written down, and the test speaks as the server.
type bench struct {
	*Manager
	t      *testing.T
	budget *limits.Bytes

	mu      sync.Mutex
	sent    []string
	links   []*link.Link
	ended   map[*link.Link]int
	dropped map[string]int
	outcome map[metrics.Outcome]int
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, budget: limits.NewBytes(1 << 30), ended: map[*link.Link]int{}, dropped: map[string]int{}, outcome: map[metrics.Outcome]int{}}
	sharer := share.NewOwn(b)
	b.Manager = NewManager(Options{
		MaxSessions: 2, MaxCalls: 3,
		Stream: [Doors]*stream.Options{Streamable: {
			ReplayEvents: 100, ReplayBytes: 1 << 20, Replay: limits.NewBytes(1 << 20),
			KeepAlive: time.Minute, WriteTimeout: time.Minute, Dropped: b.drop, Opened: func() {}, Closed: func() {},
		}},
		Ended: func(_ Door, _ int, how metrics.Outcome, _ time.Duration) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.outcome[how]++
		},
		Dropped: b.drop,
	}, sharer)
	ctx, stop := context.WithCancel(context.Background())
	running := make(chan struct{})
	go func() { sharer.Run(ctx); close(running) }()
	t.Cleanup(func() {
		b.Close(context.Background())
		stop()
		<-running
		if n := b.budget.InUse(); n != 0 || b.InFlight() != 0 {
			t.Errorf("%d bytes and %d calls are still in flight", n, b.InFlight())
		}
		for _, l := range b.links {
			if b.ended[l] != 1 {
				t.Errorf("a link was ended %d times", b.ended[l])
			}
		}
	})
	return b
}

func (b *bench) drop(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped[what]++
}

// Take, TakeWarm, End and Full make the bench the pool of links.
func (b *bench) Full() bool           { return false }
func (b *bench) TakeWarm() *link.Link { return nil }

func (b *bench) Take(context.Context) (*link.Link, error) {
	l := link.New(&link.Options{CallTimeout: time.Hour, MaxMessage: 1 << 20, Dropped: b.drop}, func(error) {})
	l.Attach(conn{b})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.links = append(b.links, l)
	return l, nil
}

func (b *bench) End(l *link.Link, why *refusal.Refusal) {
	b.mu.Lock()
	b.ended[l]++
	b.mu.Unlock()
	l.End(context.Background(), why)
}

type conn struct{ b *bench }

func (c conn) Send(msg *wire.Buffer) error {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.sent = append(c.b.sent, string(msg.B))
	msg.Release()
	return nil
}

func (conn) Close(context.Context) {}

// last is what was sent last.
func (b *bench) last() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[len(b.sent)-1]
}

// message is a message as a frontend or a backend hands it over.
func (b *bench) message(text string) (*wire.Buffer, *wire.Envelope) {
	b.t.Helper()
	msg, env := wire.Acquire(len(text)), new(wire.Envelope)
	msg.B = append(msg.B, text...)
	msg.Charge(b.budget, int64(len(text)))
	if err := env.Scan(msg.B); err != nil {
		b.t.Fatalf("%s: %v", text, err)
	}
	return msg, env
}

// says hands over what the server of the last session says.
func (b *bench) says(format string, args ...any) {
	b.t.Helper()
	b.links[len(b.links)-1].Message(b.message(fmt.Sprintf(format, args...)))
}

const initialize = `{"jsonrpc":"2.0","id":"first","method":"initialize","params":{"protocolVersion":"2025-11-25"}}`

// begin opens a session whose initialize has reached the server.
func (b *bench) begin() (*Session, *stream.Stream) {
	b.t.Helper()
	s, refused := b.Open("me", Streamable)
	if refused != nil {
		b.t.Fatal(refused)
	}
	st := s.Outbox().Open(1)
	b.mu.Lock()
	before := len(b.sent)
	b.mu.Unlock()
	msg, env := b.message(initialize)
	if refused := s.Initialize(st, msg, env); refused != nil {
		b.t.Fatal(refused)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		sent := len(b.sent)
		b.mu.Unlock()
		if sent > before {
			return s, st
		}
		if time.Now().After(end) {
			b.t.Fatal("the initialize did not reach the server")
		}
	}
}

// open opens a session that is initialized; its calls get the numbers from 2 on.
func (b *bench) open(revision string) *Session {
	b.t.Helper()
	s, st := b.begin()
	b.says(`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":%q}}`, revision)
	b.want(st, `{"jsonrpc":"2.0","id":"first","result":{"protocolVersion":"`+revision+`"}}`)
	return s
}

func (b *bench) call(s *Session, id string) *stream.Stream {
	b.t.Helper()
	st := s.Outbox().Open(1)
	msg, env := b.message(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"_meta":{"progressToken":"t"}}}`)
	if refused := s.Call(st, msg, env); refused != nil {
		b.t.Fatal(refused)
	}
	return st
}

func (b *bench) tell(s *Session, text string) {
	b.t.Helper()
	msg, env := b.message(text)
	if refused := s.Tell(msg, env); refused != nil {
		b.t.Fatal(refused)
	}
}

// want wants the stream's answer to be the first thing that came on it.
func (b *bench) want(st *stream.Stream, answer string) {
	b.t.Helper()
	msg, _ := st.Wait(10*time.Second, 1<<20)
	if msg == nil {
		b.t.Fatalf("no answer, want %s", answer)
	}
	if string(msg.B) != answer {
		b.t.Errorf("answered %s, want %s", msg.B, answer)
	}
	msg.Release()
}

func TestCallsAreRenamedAndBack(t *testing.T) {
	b := newBench(t)
	s := b.open("2025-06-18")
	if s.Revision() != "2025-06-18" {
		t.Errorf("negotiated %s", s.Revision())
	}
	st := b.call(s, "12345678901234567890")
	if want := `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"_meta":{"progressToken":2}}}`; b.last() != want {
		t.Errorf("sent %s, want %s", b.last(), want)
	}
	b.says(`{"result":{},"jsonrpc":"2.0","id":2}`)
	b.want(st, `{"result":{},"jsonrpc":"2.0","id":12345678901234567890}`)
	b.says(`{"result":{},"jsonrpc":"2.0","id":2}`) // once more: nobody waits
	if b.dropped["late_answer"] != 1 {
		t.Errorf("dropped %v", b.dropped)
	}
}

func TestWhatACallIsRefusedFor(t *testing.T) {
	b := newBench(t)
	s := b.open("2025-11-25")
	b.call(s, `"a"`)
	for _, test := range []struct {
		name, message string
		want          *refusal.Refusal
	}{
		{"an id in flight", `{"jsonrpc":"2.0","id":"a","method":"ping"}`, refusal.DuplicateID},
		{"the same id spelt anew", `{"jsonrpc":"2.0","id":"\u0061","method":"ping"}`, refusal.DuplicateID},
		{"initialize again", strings.Replace(initialize, "first", "again", 1), refusal.Initialized},
	} {
		msg, env := b.message(test.message)
		if refused := s.Call(s.Outbox().Open(1), msg, env); refused != test.want {
			t.Errorf("%s: %v", test.name, refused)
		}
	}
	b.call(s, "1")
	b.call(s, "2")
	msg, env := b.message(`{"jsonrpc":"2.0","id":3,"method":"ping"}`)
	if refused := s.Call(s.Outbox().Open(1), msg, env); refused == nil || refused.Reason != refusal.Calls.Reason {
		t.Errorf("one call too many: %v", refused)
	}
}

func TestCancelNamesTheServersNumber(t *testing.T) {
	b := newBench(t)
	s := b.open("2025-11-25")
	b.call(s, `"x"`)
	b.tell(s, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}`)
	if want := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`; b.last() != want {
		t.Errorf("sent %s, want %s", b.last(), want)
	}
	b.tell(s, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"y"}}`)
	if b.dropped["late_cancel"] != 1 {
		t.Errorf("dropped %v", b.dropped)
	}
}

// Where a message goes that names no call: the stream it was sent on is no
// longer undecided, so its answer is not the first thing on it.
func TestRoute(t *testing.T) {
	for _, test := range []struct {
		name  string
		calls int
		to    int // the call whose stream it is, from 1; 0: the GET stream
	}{
		{"no call", 0, 0},
		{"one call", 1, 1},
		{"several calls and no GET stream", 3, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			s := b.open("2025-11-25")
			var streams []*stream.Stream
			for i := range test.calls {
				streams = append(streams, b.call(s, fmt.Sprint(i)))
			}
			b.says(`{"jsonrpc":"2.0","method":"notifications/message","params":{}}`)
			for i, st := range streams {
				b.says(`{"jsonrpc":"2.0","id":%d,"result":{}}`, i+2)
				answer, _ := st.Wait(10*time.Second, 1<<20)
				if streamed := answer == nil; streamed != (i+1 == test.to) {
					t.Errorf("call %d: streamed is %v", i+1, streamed)
				}
				if answer.Release(); answer == nil {
					st.Abandon() // no connection is to come
				}
			}
		})
	}
}

func TestQuestionsAreAnsweredOnce(t *testing.T) {
	b := newBench(t)
	s := b.open("2025-11-25")
	b.says(`{"jsonrpc":"2.0","id":"q\u00e9","method":"roots/list"}`)
	b.tell(s, `{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}`)
	if want := `{"jsonrpc":"2.0","id":"q\u00e9","result":{"roots":[]}}`; b.last() != want {
		t.Errorf("sent %s, want %s", b.last(), want)
	}
	b.tell(s, `{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}`)
	b.tell(s, `{"jsonrpc":"2.0","id":"never asked","result":{}}`)
	b.says(`{"jsonrpc":"2.0","id":7,"method":"roots/list"}`)
	b.says(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
	b.tell(s, `{"jsonrpc":"2.0","id":2,"result":{"roots":[]}}`)
	if b.dropped["late_response"] != 3 {
		t.Errorf("dropped %v", b.dropped)
	}
	for i := range maxQuestions + 1 {
		b.says(`{"jsonrpc":"2.0","id":%d,"method":"roots/list"}`, i+100)
	}
	if want := fmt.Sprintf(`"id":%d,"error":{"code":503`, maxQuestions+100); !strings.Contains(b.last(), want) {
		t.Errorf("the server was told %s", b.last())
	}
}

func TestFailedInitializeOpensNothing(t *testing.T) {
	b := newBench(t)
	s, st := b.begin()
	b.says(`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}`)
	b.want(st, `{"jsonrpc":"2.0","id":"first","error":{"code":-32602,"message":"no"}}`)
	if _, refused := b.Find([]byte(s.ID()), "me", Streamable); refused != refusal.Session {
		t.Errorf("the session is there: %v", refused)
	}
}

func TestDeadLinkAnswersItsCallsAndEndsTheSession(t *testing.T) {
	b := newBench(t)
	s := b.open("2025-11-25")
	one, two := b.call(s, "1"), b.call(s, "2")
	b.links[0].Closed(errors.New("it died"))
	for _, st := range []*stream.Stream{one, two} {
		answer, _ := st.Wait(10*time.Second, 1<<20)
		if answer == nil || !strings.Contains(string(answer.B), `"error":{"code":503`) {
			t.Errorf("answered %v", answer)
		}
		answer.Release()
	}
	if _, refused := b.Find([]byte(s.ID()), "me", Streamable); refused != refusal.Session || b.Len() != 0 {
		t.Errorf("the session is there: %v", refused)
	}
	if b.outcome[metrics.Lost] != 2 {
		t.Errorf("outcomes %v", b.outcome)
	}
}

func TestFind(t *testing.T) {
	b := newBench(t)
	s := b.open("2025-11-25")
	for _, test := range []struct {
		id, principal string
		want          *refusal.Refusal
	}{
		{s.ID(), "me", nil},
		{"", "me", refusal.NoSession},
		{s.ID(), "another", refusal.Session},
		{strings.ToUpper(s.ID()) + "x", "me", refusal.Session},
	} {
		if _, refused := b.Find([]byte(test.id), test.principal, Streamable); refused != test.want {
			t.Errorf("%q of %s: %v", test.id, test.principal, refused)
		}
	}
	b.Manager.End(s, refusal.SessionEnd)
	b.Manager.End(s, refusal.SessionEnd)
	if _, refused := b.Find([]byte(s.ID()), "me", Streamable); refused != refusal.Session {
		t.Errorf("ended: %v", refused)
	}
}

func TestBoundsAndDrain(t *testing.T) {
	b := newBench(t)
	b.open("2025-11-25")
	s := b.open("2025-11-25")
	if _, refused := b.Open("me", Streamable); refused == nil || refused.Reason != refusal.Sessions.Reason {
		t.Errorf("one session too many: %v", refused)
	}
	st := b.call(s, "1")
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if b.Drain(done) {
		t.Error("drained with a call in flight")
	}
	msg, env := b.message(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
	if refused := s.Call(s.Outbox().Open(1), msg, env); refused != refusal.Draining {
		t.Errorf("a call while draining: %v", refused)
	}
	if _, refused := b.Open("me", Streamable); refused != refusal.Draining {
		t.Errorf("a session while draining: %v", refused)
	}
	b.says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
	b.want(st, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	if !b.Drain(context.Background()) {
		t.Error("not drained")
	}
}

// TestTurnAway: a session ends when nothing of it is in flight, and not before.
func TestTurnAway(t *testing.T) {
	b := newBench(t)
	resting, busy := b.open("2025-11-25"), b.open("2025-11-25")
	st := b.call(busy, "1")
	ctx, cancel := context.WithCancel(context.Background())
	var turning sync.WaitGroup
	turning.Go(func() { b.TurnAway(ctx, time.Hour) })
	gone := func(s *Session) bool {
		_, refused := b.Find([]byte(s.ID()), "me", Streamable)
		return refused == refusal.Session
	}
	eventually(t, "the session at rest has ended", func() bool { return gone(resting) })
	if _, refused := b.Open("me", Streamable); refused != refusal.Draining {
		t.Errorf("a session that comes: %v", refused)
	}
	msg, env := b.message(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
	late := resting.Outbox().Open(1)
	if refused := resting.Call(late, msg, env); refused != refusal.Session {
		t.Errorf("a call that has found the session just before: %v", refused)
	}
	if gone(busy) || busy.Use() != nil {
		t.Error("the other has ended with a call in flight")
	}
	b.says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
	b.want(st, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	if gone(busy) {
		t.Error("it has ended while it was in use")
	}
	busy.Done()
	eventually(t, "the other has ended", func() bool { return gone(busy) })
	cancel()
	turning.Wait()
	if !b.Drain(context.Background()) || b.Len() != 0 {
		t.Errorf("%d sessions are left", b.Len())
	}
}

// eventually waits for what another goroutine does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

// TestExpired: what a client is told of its session's end says which bound it
// has met.
func TestExpired(t *testing.T) {
	for reason, flag := range map[registry.Reason]string{registry.Idle: "--idle-timeout", registry.Lifetime: "--session-lifetime"} {
		if text := expired(reason).Text; !strings.Contains(text, flag) {
			t.Errorf("%v: %s", reason, text)
		}
	}
}
