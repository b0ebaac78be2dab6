// Package contract is the test suite that every kind of backend passes, and
// the peers, well-behaved and not, that it talks to. It is imported by tests.
//
// A backend's own test calls Run with a function that opens the backend in
// front of a peer; where messages are lines, the peer is Serve, else it is
// ServeMessages, and traits say how the transport differs from lines.
package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// Settings are what Run asks of a backend.
type Settings struct {
	Peer       string      // what is at the other end: Echo, Silent or Deaf
	MaxMessage int         // bytes of a message from the peer
	MaxQueue   int         // bytes that may wait to be sent
	Budget     wire.Budget // charged for what is received

	// StopTimeout is how long Close may wait for the peer: as long as it takes
	// where the peer does its part, however busy the machine is.
	StopTimeout time.Duration

	// Done is closed once the connection's own end is closed: a peer in the
	// test's process that does not read ends with it.
	Done <-chan struct{}
}

// Opener makes a backend for one test.
type Opener func(t *testing.T, s Settings) backend.Backend

// A Trait is how a transport differs from lines on one connection.
type Trait uint8

const (
	// Framed is where the transport itself says where a message begins and ends, so
	// there is no line without its end, and a message that is cut is none.
	Framed Trait = iota
	// Apart is where every message travels in a request of its own. Answers may come
	// in another order, and the peer's end of one ends that call alone: it is
	// reported as a Reply with status 502, and the connection lives on.
	Apart
	// Loose is where messages that are sent at the same time may arrive in another
	// order.
	Loose
)

const (
	maxMessage = 1 << 20
	maxQueue   = 256 << 10
)

// Run holds the backends that open makes to the contract of package backend.
func Run(t *testing.T, open Opener, traits ...Trait) {
	tests := []struct {
		name string
		peer string
		test func(*testing.T, *connection)
	}{
		{"Echo", Echo, testEcho},
		{"LargestMessage", Echo, testLargest},
		{"TooLong", Echo, testTooLong},
		{"EndlessLine", Echo, testEndless},
		{"Garbage", Echo, testGarbage},
		{"Batch", Echo, testBatch},
		{"LastLineWithoutItsEnd", Echo, testUnendedLine},
		{"PartialMessageAtTheEnd", Echo, testPartial},
		{"DeathInACall", Echo, testDeath},
		{"HalfClosed", Echo, testHalf},
		{"Late", Echo, testLate},
		{"ConcurrentSend", Echo, testConcurrent},
		{"Silent", Silent, testSilent},
		{"Deaf", Deaf, testDeaf},
		{"DeafAndLarge", Deaf, testDeafAndLarge},
		{"CloseTwice", Echo, testCloseTwice},
		{"CloseInAHurry", Deaf, testHurry},
		{"CloseFlushes", Echo, testFlush},
		{"CloseBeforeTheAnswer", Echo, testCloseEarly},
		{"BudgetFull", Echo, testBudgetFull},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			done := make(chan struct{})
			budget := &budget{limit: 1 << 40}
			b := open(t, settings(test.peer, budget, done))
			leak := watchLeaks(t) // a peer in this process is there for longer
			c := newConnection(t, b, budget)
			c.framed, c.apart = slices.Contains(traits, Framed), slices.Contains(traits, Apart)
			c.loose = c.apart || slices.Contains(traits, Loose)
			test.test(t, c)
			c.conn.Close(context.Background())
			close(done)
			c.receiver.wantClosed(t)
			leak(budget)
		})
	}
	t.Run("NotOpened", func(t *testing.T) {
		done := make(chan struct{})
		defer close(done)
		budget := &budget{limit: 1 << 40}
		b := open(t, settings(Echo, budget, done))
		leak := watchLeaks(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if conn, err := b.Open(ctx, newReceiver()); err == nil {
			conn.Close(context.Background())
			t.Error("a connection was opened although its context was done")
		}
		leak(budget)
	})
}

func settings(peer string, b wire.Budget, done <-chan struct{}) Settings {
	s := Settings{Peer: peer, MaxMessage: maxMessage, MaxQueue: maxQueue, Budget: b, StopTimeout: time.Second, Done: done}
	if peer == Echo {
		s.StopTimeout = Patience
	}
	return s
}

// watchLeaks notes what there is; the function it returns wants no more.
func watchLeaks(t *testing.T) func(*budget) {
	t.Helper()
	goroutines := goleak.IgnoreCurrent()
	descriptors := Descriptors()
	return func(b *budget) {
		t.Helper()
		err := goleak.Find(goroutines)
		for end := time.Now().Add(Patience); err != nil && time.Now().Before(end); {
			err = goleak.Find(goroutines) // a peer in this process takes its time to end
		}
		if err != nil {
			t.Error(err)
		}
		now := Descriptors()
		for end := time.Now().Add(Patience); now > descriptors && time.Now().Before(end); now = Descriptors() {
			time.Sleep(5 * time.Millisecond) // a peer in this process has its own to close
		}
		if now > descriptors {
			t.Errorf("%d descriptors are left over", now-descriptors)
		}
		if held := b.held(); held != 0 {
			t.Errorf("%d bytes were not given back to the budget", held)
		}
	}
}

// connection is one connection of a test.
type connection struct {
	conn     backend.Conn
	receiver *receiver
	budget   *budget
	framed   bool
	apart    bool
	loose    bool
}

func newConnection(t *testing.T, b backend.Backend, budget *budget) *connection {
	t.Helper()
	c := &connection{receiver: newReceiver(), budget: budget}
	if b.String() == "" {
		t.Error("the backend has no name")
	}
	conn, err := b.Open(context.Background(), c.receiver)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	c.conn = conn
	return c
}

// send sends a message that is charged to the budget, so that it shows whether
// it was released.
func (c *connection) send(format string, args ...any) error {
	return c.conn.Send(c.message(fmt.Sprintf(format, args...)))
}

func (c *connection) message(text string) *wire.Buffer {
	msg := wire.Acquire(len(text))
	msg.B = append(msg.B, text...)
	if !msg.Charge(c.budget, int64(len(text))) {
		panic("the test's own budget is full")
	}
	return msg
}

// call sends a request to the peer's method and fails the test if it cannot.
func (c *connection) call(t *testing.T, id int, method string) {
	t.Helper()
	if err := c.send(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":{"n":%d}}`, id, method, id); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

// wantEcho waits for the answer to call.
func (c *connection) wantEcho(t *testing.T, id int) {
	t.Helper()
	c.receiver.want(t, fmt.Sprintf(`message {"jsonrpc":"2.0","id":%d,"result":{"n":%d}}`, id, id))
}

// wantEchoes waits for the answers to the calls from first on, in any order
// where the transport keeps none.
func (c *connection) wantEchoes(t *testing.T, first, n int) {
	t.Helper()
	want := map[string]bool{}
	for id := first; id < first+n; id++ {
		if !c.loose {
			c.wantEcho(t, id)
			continue
		}
		want[fmt.Sprintf(`message {"jsonrpc":"2.0","id":%d,"result":{"n":%d}}`, id, id)] = true
	}
	for len(want) > 0 {
		got := c.receiver.next(t)
		if !want[got] {
			t.Fatalf("the connection reported %s, which was not asked for or came twice", shortened(got))
		}
		delete(want, got)
	}
}

// wantLost waits for the end that a call has made, and which is said with what
// came before: that of the call alone where messages travel apart.
func (c *connection) wantLost(t *testing.T, id int) {
	t.Helper()
	if c.apart {
		c.receiver.want(t, fmt.Sprintf("reply %d 502", id))
		c.wantUse(t)
		return
	}
	c.receiver.wantEnd(t)
	wantErr(t, c.send(`{}`), backend.ErrClosed)
}

// wantUse tells that the connection is as good as ever.
func (c *connection) wantUse(t *testing.T) {
	t.Helper()
	c.call(t, 999, "echo")
	c.wantEcho(t, 999)
}

// receiver notes what a connection reports, as texts in their order.
type receiver struct {
	events chan string
	closed chan error

	mu   sync.Mutex
	over bool
	bad  []string
}

func newReceiver() *receiver {
	return &receiver{events: make(chan string, 1<<16), closed: make(chan error, 1)}
}

func (r *receiver) Message(msg *wire.Buffer, env *wire.Envelope) {
	if env.Kind == wire.Invalid || env.Kind == wire.Batch {
		r.fault("a message of kind %d", env.Kind)
	}
	if id := env.ID.Of(msg.B); !env.ID.Empty() && !bytes.Contains(msg.B, id) {
		r.fault("an envelope that is not the message's: id %s", id)
	}
	r.event("message " + string(msg.B))
	msg.Release()
}

func (r *receiver) TooLong(id []byte, size int64) {
	r.event(fmt.Sprintf("too long %s %d", id, size))
}

func (r *receiver) Garbage(id []byte) { r.event(fmt.Sprintf("garbage %s", id)) }

func (r *receiver) Reply(id []byte, reply *backend.Reply) {
	if reply.Status != 200 {
		r.event(fmt.Sprintf("reply %s %d", id, reply.Status))
	}
}

func (r *receiver) Closed(err error) {
	r.event("")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	r.closed <- err
	close(r.events)
}

func (r *receiver) event(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		r.bad = append(r.bad, "after Closed: "+text)
		return
	}
	if text != "" {
		r.events <- text
	}
}

func (r *receiver) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = append(r.bad, fmt.Sprintf(format, args...))
}

// next waits for the next report; "" is the end.
func (r *receiver) next(t *testing.T) string {
	t.Helper()
	select {
	case text := <-r.events:
		return text
	case <-time.After(Patience):
		t.Fatal("nothing came from the connection")
		return ""
	}
}

func (r *receiver) want(t *testing.T, want string) {
	t.Helper()
	if got := r.next(t); got != want {
		t.Fatalf("the connection reported\n%s\nwant\n%s", shortened(got), shortened(want))
	}
}

// wantTooLong waits for the report that the answer to a call was skipped, and
// returns its size.
func (r *receiver) wantTooLong(t *testing.T, id string) (size int64) {
	t.Helper()
	got := r.next(t)
	if _, err := fmt.Sscanf(got, "too long "+id+" %d", &size); err != nil {
		t.Fatalf("the connection reported %s, want that %s was too long", shortened(got), id)
	}
	return size
}

// wantEnd waits for the end by itself and returns what was said about it.
func (r *receiver) wantEnd(t *testing.T) error {
	t.Helper()
	r.want(t, "")
	err := <-r.closed
	r.closed <- err
	if err == nil {
		t.Error("Closed was called without a reason although nobody closed the connection")
	}
	return err
}

// wantClosed checks that Closed was called, once and last.
func (r *receiver) wantClosed(t *testing.T) {
	t.Helper()
	select {
	case <-r.closed:
	default:
		t.Error("Closed was not called before Close returned")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bad) > 0 {
		t.Errorf("the connection reported wrongly: %s", shortened(strings.Join(r.bad, "\n")))
	}
}

func shortened(text string) string {
	if len(text) > 300 {
		return fmt.Sprintf("%s… (%d bytes)", text[:300], len(text))
	}
	return text
}

// budget counts bytes.
type budget struct {
	mu    sync.Mutex
	used  int64
	limit int64
}

func (b *budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.limit {
		return false
	}
	b.used += n
	return true
}

func (b *budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}

func (b *budget) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

func (b *budget) setLimit(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = n
}

// wantErr fails unless err is target.
func wantErr(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("Send: %v, want %v", err, target)
	}
}
