package stream

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sidegate/limits"
	"sidegate/proxy/poll"
	"sidegate/proxy/rawio"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an outbox with a client at the other end of real sockets.
type bench struct {
	poller  *poll.Poller
	t       *testing.T
	box     *Outbox
	budget  *limits.Bytes
	replay  *limits.Bytes
	holds   atomic.Int64
	open    atomic.Int64
	mu      sync.Mutex
	dropped map[string]int
	owners  sync.WaitGroup
	clients []net.Conn
}

func (b *bench) Hold()    { b.holds.Add(1) }
func (b *bench) Release() { b.holds.Add(-1) }

func newBench(t *testing.T, change func(*Options)) *bench {
	b := &bench{t: t, budget: limits.NewBytes(64 << 20), replay: limits.NewBytes(64 << 20), dropped: map[string]int{}}
	o := &Options{
		ReplayEvents: 100, ReplayBytes: 1 << 20, Replay: b.replay,
		KeepAlive: time.Minute, WriteTimeout: 10 * time.Second, Retry: time.Second, Crew: new(Crew),
		Dropped: func(what string) { b.mu.Lock(); b.dropped[what]++; b.mu.Unlock() },
		Opened:  func() { b.open.Add(1) },
		Closed:  func() { b.open.Add(-1) },
	}
	if change != nil {
		change(o)
	}
	b.box = NewOutbox(o, b)
	b.poller, _ = poll.New() // nil where the system has none
	t.Cleanup(func() {
		if b.poller != nil {
			defer b.poller.Close()
		}
		b.box.Close(nil)
		b.owners.Wait()
		for end := time.Now().Add(20 * time.Second); b.budget.InUse() != 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond) // a writer may be about to let go of what it has written
		}
		if n := b.budget.InUse(); n != 0 {
			t.Errorf("%d bytes are still in flight", n)
		}
		if n := b.replay.InUse(); n != 0 {
			t.Errorf("%d bytes are still kept for replay", n)
		}
		if b.holds.Load() != 0 || b.open.Load() != 0 {
			t.Errorf("%d holds and %d open streams are left", b.holds.Load(), b.open.Load())
		}
	})
	return b
}

func (b *bench) msg(text string) *wire.Buffer {
	m := wire.Acquire(len(text))
	m.B = append(m.B, text...)
	if !m.Charge(b.budget, int64(len(text))) {
		b.t.Fatal("no budget")
	}
	return m
}

// hijacked is what the HTTP server hands to a hijack handler.
type hijacked struct {
	net.Conn
	buffered *bufio.Reader
}

func (h hijacked) UnsafeConn() net.Conn       { return h.Conn }
func (h hijacked) Read(p []byte) (int, error) { return h.buffered.Read(p) }

// takeOver makes a Conn of a connection that the HTTP server hands out.
func takeOver(t *testing.T, h hijacked, r Request, writeTimeout time.Duration) *Conn {
	t.Helper()
	socket, err := takeBack(h)
	if err != nil {
		t.Fatal(err)
	}
	return NewConn(socket, r, writeTimeout)
}

// hold connects a client to s; the returned channel tells whether the
// connection came back for another request.
func (b *bench) hold(s *Stream, from uint64) (client net.Conn, reusable chan bool) {
	b.t.Helper()
	client, server := tcpPair(b.t)
	socket := NewSocket(server, func() {})
	c := takeOver(b.t, hijacked{socket, bufio.NewReader(socket)}, Request{Head: "X-Test: 1\r\n", HTTP11: true, Keep: true}, b.box.options.WriteTimeout)
	socket.watchWith(b.poller)
	reusable = make(chan bool, 1)
	b.owners.Go(func() {
		ok := holdOn(s, c, from)
		if ok {
			socket.Close()
		}
		reusable <- ok
	})
	return client, reusable
}

// holdOn is Hold for who waits until it has ended.
func holdOn(s *Stream, c *Conn, from uint64) bool {
	ended := make(chan bool, 1)
	s.Hold(c, from, func(reusable bool) { ended <- reusable })
	return <-ended
}

// response reads one HTTP response; a body that is cut is an error.
func response(t *testing.T, c net.Conn) (*http.Response, string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("the body is cut: %v, after %q", err, body)
	}
	return r, string(body)
}

func (b *bench) tag() string {
	b.box.mu.Lock()
	defer b.box.mu.Unlock()
	return b.box.replay.tag
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s did not come", what)
		}
	}
}

func TestAnswerThatIsFirstGoesOutWhole(t *testing.T) {
	b := newBench(t, nil)
	s := b.box.Open(1)
	go s.Answer(b.msg(`{"id":1}`))
	answer, _ := s.Wait(20*time.Second, 100)
	if answer == nil || string(answer.B) != `{"id":1}` {
		t.Fatalf("got %v", answer)
	}
	answer.Release()
}

func TestAnswerOnHeldConnection(t *testing.T) {
	for _, size := range []int{10, 3 << 20} {
		b := newBench(t, nil)
		s := b.box.Open(1)
		if answer, _ := s.Wait(time.Millisecond, 100); answer != nil {
			t.Fatal("an answer came from nowhere")
		}
		client, reusable := b.hold(s, 0)
		text := strings.Repeat("x", size)
		s.Answer(b.msg(text))
		r, body := response(t, client)
		if r.Header.Get("Content-Type") != "application/json" || r.ContentLength != int64(size) || body != text {
			t.Errorf("size %d: got %d bytes of %q", size, len(body), r.Header)
		}
		if r.Header.Get("X-Test") != "1" {
			t.Error("the further header lines are missing")
		}
		if !<-reusable {
			t.Error("the connection cannot be used again")
		}
	}
}

func TestEventsThenAnswer(t *testing.T) {
	b := newBench(t, nil)
	b.box.SetPriming(true)
	s := b.box.Open(1)
	s.Send(b.msg("one"))
	if answer, _ := s.Wait(time.Second, 100); answer != nil {
		t.Fatal("an event is not an answer")
	}
	client, reusable := b.hold(s, 0)
	large := strings.Repeat("y", 100<<10)
	s.Send(b.msg(large))
	s.Answer(b.msg("two"))
	r, body := response(t, client)
	if r.Header.Get("Content-Type") != "text/event-stream" || r.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("head: %q", r.Header)
	}
	tag := b.tag()
	event := func(n int, data string) string {
		return fmt.Sprintf("event: message\nid: %s_1_%d\ndata: %s\n\n", tag, n, data)
	}
	want := "retry: 1000\n\nid: " + tag + "_1_0\ndata: \n\n" + event(1, "one") + event(2, large) + event(3, "two")
	if body != want {
		t.Errorf("got %.300q\nwant %.300q", body, want)
	}
	if !<-reusable {
		t.Error("the connection cannot be used again")
	}
}

func TestResumeAfterCut(t *testing.T) {
	b := newBench(t, nil)
	s := b.box.Open(1)
	s.Send(b.msg("one"))
	client, _ := b.hold(s, 0)
	b.eventually("the first event", func() bool { b.box.mu.Lock(); defer b.box.mu.Unlock(); return s.written == 2 })
	client.Close()
	b.eventually("the end of the connection", func() bool { b.box.mu.Lock(); defer b.box.mu.Unlock(); return s.conn == nil })
	s.Send(b.msg("two"))
	s.Answer(b.msg("three"))

	id := []byte(b.tag() + "_1_1")
	found, from, refused := b.box.Find(id)
	if refused != nil || found != s || from != 2 {
		t.Fatalf("found %p from %d, %v", found, from, refused)
	}
	client, _ = b.hold(found, from)
	_, body := response(t, client)
	if strings.Contains(body, "data: one") || !strings.Contains(body, "data: two\n\n") || !strings.Contains(body, "data: three\n\n") {
		t.Errorf("resumed with %q", body)
	}

	for _, bad := range []string{"", "x", "_1_1", "00000000_1_1", b.tag() + "_2_1", b.tag() + "_1_4", b.tag() + "_1_-1", b.tag() + "_1_1_1"} {
		if _, _, refused := b.box.Find([]byte(bad)); refused == nil {
			t.Errorf("%q was found", bad)
		}
	}
}

func TestClientLeavesBeforeAnything(t *testing.T) {
	b := newBench(t, nil)
	s := b.box.Open(1)
	client, reusable := b.hold(s, 0)
	client.Close()
	if <-reusable {
		t.Error("a connection that is gone was given back")
	}
	s.Answer(b.msg("late"))
	if b.dropped["undelivered"] != 1 {
		t.Errorf("dropped: %v", b.dropped)
	}
}

func TestSecondConnectionTakesTheStreamOver(t *testing.T) {
	b := newBench(t, nil)
	main := b.box.Main()
	main.Send(b.msg("before")) // waits for a connection
	first, _ := b.hold(main, 0)
	b.eventually("delivery", func() bool { b.box.mu.Lock(); defer b.box.mu.Unlock(); return main.written == 2 })
	second, _ := b.hold(main, 0)
	if _, body := response(t, first); !strings.Contains(body, "data: before\n") {
		t.Errorf("the first got %q", body)
	}
	main.Send(b.msg("after"))
	b.eventually("delivery", func() bool { b.box.mu.Lock(); defer b.box.mu.Unlock(); return main.written == 3 })
	b.box.Close(nil)
	if _, body := response(t, second); strings.Contains(body, "before") || !strings.Contains(body, "data: after\n") {
		t.Errorf("the second got %q", body)
	}
}

func TestSlowReaderIsCutAndResumes(t *testing.T) {
	b := newBench(t, func(o *Options) { o.ReplayBytes = 24 << 20; o.ReplayEvents = 1000 })
	s, other := b.box.Open(1), b.box.Open(1)
	s.Send(b.msg("first"))
	slow, gone := b.hold(s, 0)
	chunk := strings.Repeat("z", 1<<20)
	for i := 0; i < 60 && b.cut() == 0; i++ {
		s.Send(b.msg(chunk))
	}
	if b.cut() == 0 {
		t.Fatal("the slow reader was not cut")
	}
	<-gone
	other.Answer(b.msg("quick"))
	if answer, _ := other.Wait(20*time.Second, 100); answer == nil {
		t.Error("another stream was delayed")
	} else {
		answer.Release()
	}
	slow.Close()
	b.box.mu.Lock()
	next := s.next()
	b.box.mu.Unlock()
	s.Answer(b.msg("last"))
	found, from, refused := b.box.Find([]byte(fmt.Sprintf("%s_1_%d", b.tag(), next-2)))
	if refused != nil {
		t.Fatal(refused)
	}
	client, _ := b.hold(found, from)
	if _, body := response(t, client); strings.Count(body, "data: ") != 2 || !strings.Contains(body, "data: last\n") {
		t.Errorf("resumed with %.100q", body)
	}
}

func (b *bench) cut() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped["slow_reader"]
}

func TestReplayIsBounded(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
	}{
		{"events", func(o *Options) { o.ReplayEvents = 3 }},
		{"bytes", func(o *Options) { o.ReplayBytes = 3 * 5 }},
		{"all outboxes", func(o *Options) { o.Replay = limits.NewBytes(3 * 5) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.change)
			main := b.box.Main()
			for i := range 10 {
				main.Send(b.msg(fmt.Sprintf("msg_%d", i)))
			}
			if b.budget.InUse() != 0 {
				t.Error("what waits for a connection counts as in flight")
			}
			client, _ := b.hold(main, 0)
			b.eventually("the connection", b.box.HasMain)
			b.box.mu.Lock()
			if len(main.held) != 3 || b.box.replay.events != 3 {
				t.Errorf("%d events are held, %d on the account", len(main.held), b.box.replay.events)
			}
			b.box.mu.Unlock()
			b.box.Close(nil)
			if _, body := response(t, client); strings.Count(body, "data:") != 3 || !strings.Contains(body, "msg_9") {
				t.Errorf("got %q", body)
			}
			if b.dropped["undelivered"] != 7 {
				t.Errorf("dropped: %v", b.dropped)
			}
		})
	}
}

func TestSilenceTurnsIntoAnEventStreamWithComments(t *testing.T) {
	b := newBench(t, func(o *Options) { o.KeepAlive = 10 * time.Millisecond })
	s := b.box.Open(1)
	client, _ := b.hold(s, 0)
	b.eventually("the head", func() bool { return b.open.Load() == 1 })
	time.Sleep(50 * time.Millisecond) // a few more comments, however many
	s.Answer(b.msg("done"))
	r, body := response(t, client)
	if r.Header.Get("Content-Type") != "text/event-stream" || !strings.Contains(body, ": keep-alive\n\n") || !strings.HasSuffix(body, "data: done\n\n") {
		t.Errorf("%q: %q", r.Header, body)
	}
}

// tcpPair is a connection over loopback. The client's end closes with the test.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestPipelinedRequestIsGivenBack(t *testing.T) {
	b := newBench(t, nil)
	client, server := tcpPair(t)
	socket := NewSocket(server, func() {})
	defer socket.Close()
	fmt.Fprint(client, "first second ")
	reader := bufio.NewReader(socket)
	if _, err := reader.ReadString(' '); err != nil {
		t.Fatal(err)
	}
	c := takeOver(t, hijacked{socket, reader}, Request{HTTP11: true, Keep: true}, time.Second)
	s := b.box.Open(1)
	done := make(chan bool)
	go func() { done <- holdOn(s, c, 0) }()
	fmt.Fprint(client, "third")
	time.Sleep(20 * time.Millisecond) // the owner reads it, or it stays in the socket: both must do
	s.Answer(b.msg("{}"))
	if !<-done {
		t.Fatal("the connection was not given back")
	}
	rest := make([]byte, len("second third"))
	if _, err := io.ReadFull(socket, rest); err != nil || string(rest) != "second third" {
		t.Errorf("got back %q, %v", rest, err)
	}
}

// A lag is a connection whose writes are done long before they return, as
// where a busy machine lets others go first.
type lag struct {
	*rawio.Conn
	returns chan struct{}
}

func (l lag) WriteBuffers(bufs *net.Buffers) (int64, error) {
	n, err := l.Conn.WriteBuffers(bufs)
	<-l.returns
	return n, err
}

func (l lag) WriteTold(p []byte) int {
	n := l.Conn.WriteTold(p)
	<-l.returns
	return n
}

// TestNextRequestBeforeTheWriterKnows: a client that has its answer sends its
// next request, however large, though the gate has not noticed yet that the
// answer is written.
func TestNextRequestBeforeTheWriterKnows(t *testing.T) {
	for _, watched := range []bool{true, false} {
		t.Run(map[bool]string{true: "watched", false: "with a goroutine"}[watched], func(t *testing.T) {
			nextRequestBeforeTheWriterKnows(t, watched)
		})
	}
}

func nextRequestBeforeTheWriterKnows(t *testing.T, watched bool) {
	b := newBench(t, nil)
	client, server := tcpPair(t)
	socket := NewSocket(server, func() {})
	slow := lag{socket.Conn.(*rawio.Conn), make(chan struct{})}
	socket.Conn = slow
	defer socket.Close()
	if watched {
		socket.watchWith(b.poller)
	}
	c := takeOver(t, hijacked{socket, bufio.NewReader(socket)}, Request{HTTP11: true, Keep: true}, 20*time.Second)
	s := b.box.Open(1)
	done := make(chan bool, 1)
	go func() { done <- holdOn(s, c, 0) }()
	s.Answer(b.msg("{}"))
	if _, body := response(t, client); body != "{}" {
		t.Errorf("the answer is %q", body)
	}
	next := strings.Repeat("0123456789abcdef", 1<<16)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(client, next)
		sent <- err
	}()
	b.within("as much is read as is kept", func() bool { return c.parked })
	close(slow.returns)
	if !<-done {
		t.Fatal("the connection was not given back")
	}
	got := make([]byte, len(next))
	if _, err := io.ReadFull(socket, got); err != nil || string(got) != next {
		t.Errorf("the next request did not come whole: %v", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestTooMuchPipelined: who sends on and on while nothing is answered is cut
// off.
func TestTooMuchPipelined(t *testing.T) {
	b := newBench(t, nil)
	client, reusable := b.hold(b.box.Open(1), 0)
	io.WriteString(client, strings.Repeat("x", 2*maxUnread)) // which may fail in the middle
	if <-reusable {
		t.Error("the connection was given back")
	}
}

// TestTickBeforeTheWriter: an answer that has come while no writer has taken it
// yet is not lost to the stream's clock, which would make an event stream of it.
func TestTickBeforeTheWriter(t *testing.T) {
	b := newBench(t, nil)
	s := b.box.Open(1)
	client, reusable := b.hold(s, 0)
	var c *Conn
	b.within("the connection", func() bool { c = s.conn; return c != nil })
	b.do(func() { c.writing = true }) // as if one were about to begin
	s.Answer(b.msg("{}"))
	c.tick()
	b.do(func() { go c.writeAlone() })
	if r, body := response(t, client); r.Header.Get("Content-Type") != "application/json" || body != "{}" {
		t.Errorf("%q: %q", r.Header, body)
	}
	if !<-reusable {
		t.Error("the connection was not given back")
	}
}
