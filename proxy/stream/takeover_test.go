package stream

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// pipe connects a client to s like hold, by a pipe: what is written waits
// until it is read.
func (b *bench) pipe(s *Stream, from uint64, r Request) (client net.Conn, reusable chan bool) {
	b.t.Helper()
	client, server := net.Pipe()
	b.t.Cleanup(func() { client.Close() })
	socket := NewSocket(server, func() {})
	c := takeOver(b.t, hijacked{socket, bufio.NewReader(socket)}, r, b.box.options.WriteTimeout)
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

var held = Request{HTTP11: true, Keep: true}

// do runs f under the outbox's lock.
func (b *bench) do(f func()) {
	b.box.mu.Lock()
	defer b.box.mu.Unlock()
	f()
}

// within waits for what is true under the outbox's lock.
func (b *bench) within(what string, ok func() bool) {
	b.t.Helper()
	b.eventually(what, func() (is bool) { b.do(func() { is = ok() }); return is })
}

// TestTakeoverDuringAWrite: a connection that takes over without naming an
// event waits for the write that is under way. What that brought is not sent
// again; what it could not bring is.
func TestTakeoverDuringAWrite(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  func(client net.Conn) // what the first client does meanwhile
		one    int                   // how often each of them sees the event
		second int
	}{
		{"it reads", func(client net.Conn) { io.Copy(io.Discard, client) }, 1, 0},
		{"it leaves", func(client net.Conn) { client.Close() }, 0, 1},
		{"it does nothing", func(net.Conn) {}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, nil)
			main := b.box.Main()
			first, _ := b.pipe(main, 0, held)
			if _, err := http.ReadResponse(bufio.NewReaderSize(first, 16), nil); err != nil {
				t.Fatal(err)
			}
			b.within("the end of the head", func() bool { return !main.conn.writing })
			main.Send(b.msg("event"))
			b.within("a write", func() bool { return main.conn.writing })
			second, _ := b.hold(main, 0)
			b.within("the takeover", func() bool { return main.conn.after != nil })
			go c.first(first)
			b.within("the write's end", func() bool { return main.written == 2 })
			main.Send(b.msg("last"))
			b.within("delivery", func() bool { return main.written == 3 })
			b.box.Close(nil)
			if _, body := response(t, second); strings.Count(body, "data: event\n") != c.second || strings.Count(body, "data: last\n") != 1 {
				t.Errorf("the second got %q", body)
			}
		})
	}
}

// TestThirdTakesOver: the second one was still waiting for the first one's
// write when a third came.
func TestThirdTakesOver(t *testing.T) {
	b := newBench(t, nil)
	main := b.box.Main()
	first, _ := b.pipe(main, 0, held)
	if _, err := http.ReadResponse(bufio.NewReaderSize(first, 16), nil); err != nil {
		t.Fatal(err)
	}
	b.within("the end of the head", func() bool { return !main.conn.writing })
	main.Send(b.msg("event"))
	b.within("a write", func() bool { return main.conn.writing })
	second, _ := b.hold(main, 0)
	b.within("the takeover", func() bool { return main.conn.after != nil })
	conn := main.conn
	third, _ := b.hold(main, 0)
	b.within("the next takeover", func() bool { return main.conn != conn })
	go io.Copy(io.Discard, first)
	if _, body := response(t, second); strings.Contains(body, "data") {
		t.Errorf("the second got %q", body)
	}
	b.within("the write's end", func() bool { return main.written == 2 })
	b.box.Close(nil)
	if _, body := response(t, third); strings.Contains(body, "data") {
		t.Errorf("the third got again what the first has got: %q", body)
	}
}

// TestLeavesAsSomethingComes: the client leaves while its writer is starting or
// at work. Whatever comes first, nothing is written to who has left, and nobody
// holds the session for him.
func TestLeavesAsSomethingComes(t *testing.T) {
	for round := range 300 {
		b := newBench(t, func(o *Options) { o.ReplayEvents = 1 })
		s := b.box.Open(1)
		client, reusable := b.hold(s, 0)
		b.within("the connection", func() bool { return s.conn != nil })
		go func() {
			time.Sleep(time.Duration(round%50) * time.Microsecond)
			client.Close()
		}()
		for n := range 5 {
			if msg := b.msg(fmt.Sprint(n)); !s.Send(msg) {
				msg.Release()
			}
		}
		<-reusable
		s.Answer(b.msg("late"))
		b.audit()
	}
}

// TestLeavesWithEventsToCome: what its client has not read does not count as
// in flight, once the client is gone.
func TestLeavesWithEventsToCome(t *testing.T) {
	b := newBench(t, nil)
	main := b.box.Main()
	client, reusable := b.pipe(main, 0, held)
	for range 10 {
		main.Send(b.msg("event"))
	}
	client.Close()
	<-reusable
	if n := b.budget.InUse(); n != 0 {
		t.Errorf("%d bytes are in flight", n)
	}
	b.audit()
	b.do(func() {
		if len(main.held) != 10 {
			t.Errorf("%d events are held", len(main.held))
		}
	})
}

// TestResumeIsRefusedOnceAnEventIsMissing, and not before.
func TestResumeIsRefusedOnceAnEventIsMissing(t *testing.T) {
	b := newBench(t, func(o *Options) { o.ReplayEvents = 3 })
	main := b.box.Main()
	client, reusable := b.hold(main, 0)
	for n := range 10 {
		main.Send(b.msg(fmt.Sprint(n)))
	}
	b.within("delivery", func() bool { return main.written == 11 })
	client.Close()
	<-reusable
	for number, held := range map[int]bool{0: false, 6: false, 7: true, 10: true, 11: false} {
		_, next, refused := b.box.Find([]byte(fmt.Sprintf("%s_0_%d", b.tag(), number)))
		if (refused == nil) != held || held && next != uint64(number+1) {
			t.Errorf("after event %d: %d, %v", number, next, refused)
		}
	}
	// One that goes between Find and Hold is not skipped either.
	found, next, _ := b.box.Find([]byte(b.tag() + "_0_7"))
	main.Send(b.msg("10"))
	client, reusable = b.hold(found, next)
	if n, err := client.Read(make([]byte, 1)); err == nil || <-reusable {
		t.Errorf("resumed with a gap: %d bytes", n)
	}
}
