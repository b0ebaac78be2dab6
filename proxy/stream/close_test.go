package stream

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestCloseBeforeTheAnswer: an outbox that is closed takes no answer away from
// a client that waits for it, in whichever order the two come.
func TestCloseBeforeTheAnswer(t *testing.T) {
	answer := func(b *bench, s *Stream) { s.Answer(b.msg("answer")) }
	note := func(b *bench, s *Stream) {
		if !s.Send(b.msg("note")) {
			b.t.Error("a stream with a client took nothing")
		}
	}
	end := func(b *bench, _ *Stream) { b.box.Close(nil) }
	hold := func(b *bench, s *Stream) {
		client, _ := b.hold(s, 0)
		b.within("the connection", func() bool { return s.conn != nil || s.pending == 0 })
		b.t.Cleanup(func() { client.Close() })
		b.clients = append(b.clients, client)
	}
	type step = func(*bench, *Stream)
	for _, c := range []struct {
		name  string
		steps []step
		json  bool
		data  string
	}{
		{"held, closed, answered", []step{hold, end, answer}, true, "answer"},
		{"closed, held, answered", []step{end, hold, answer}, true, "answer"},
		{"closed, answered, held", []step{end, answer, hold}, true, "answer"},
		{"answered, closed, held", []step{answer, end, hold}, true, "answer"},
		{"streaming, closed, answered", []step{hold, note, end, answer}, false, "note answer"},
		{"streaming, closed, streaming on", []step{hold, note, end, note, answer}, false, "note note answer"},
		{"about to be held, closed, answered", []step{note, end, answer, hold}, false, "note answer"},
		{"about to be held, answered, closed", []step{note, answer, end, hold}, false, "note answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, nil)
			s := b.box.Open(1)
			for _, step := range c.steps {
				step(b, s)
			}
			r, body := response(t, b.clients[0])
			if json := r.Header.Get("Content-Type") == "application/json"; json != c.json {
				t.Errorf("got %q", r.Header)
			}
			if got := dataOf(body); !c.json && got != c.data || c.json && body != c.data {
				t.Errorf("got %q, want %q", body, c.data)
			}
			if len(b.dropped) != 0 {
				t.Errorf("dropped: %v", b.dropped)
			}
		})
	}
}

// dataOf is the data of all events in one line.
func dataOf(body string) string {
	var all []string
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			all = append(all, strings.TrimSpace(data))
		}
	}
	return strings.Join(all, " ")
}

// TestCloseWithoutClients: what nobody can come back for is dropped at once,
// and nothing is taken for it any more.
func TestCloseWithoutClients(t *testing.T) {
	b := newBench(t, nil)
	s := b.box.Open(1)
	s.Send(b.msg("one"))
	client, reusable := b.hold(s, 0)
	b.within("delivery", func() bool { return s.written == 2 })
	client.Close()
	<-reusable
	s.Send(b.msg("two"))
	b.box.Main().Send(b.msg("waits"))
	if b.replay.InUse() == 0 {
		t.Fatal("nothing is kept")
	}
	b.box.Close(nil)
	b.box.Close(nil)
	if n := b.replay.InUse(); n != 0 {
		t.Errorf("%d bytes are kept", n)
	}
	for name, s := range map[string]*Stream{"POST": s, "GET": b.box.Main()} {
		msg := b.msg("late")
		if s.Send(msg) {
			t.Errorf("the %s stream took a message", name)
			continue
		}
		msg.Release()
	}
	s.Answer(b.msg("late"))
	if b.dropped["undelivered"] != 1 {
		t.Errorf("dropped: %v", b.dropped)
	}
}

// TestCloseDuringAWrite: what was said before is written to its end, also if
// the client reads slowly.
func TestCloseDuringAWrite(t *testing.T) {
	b := newBench(t, nil)
	main := b.box.Main()
	client, reusable := b.pipe(main, 0, held)
	b.within("the connection", func() bool { return main.conn != nil })
	large := strings.Repeat("x", 1<<20)
	main.Send(b.msg(large))
	main.Send(b.msg("last"))
	b.within("a write", func() bool { return main.conn != nil && main.conn.writing })
	b.box.Close(nil)
	if _, body := response(t, client); dataOf(body) != large+" last" {
		t.Errorf("got %d bytes that end with %q", len(body), body[max(0, len(body)-100):])
	}
	if !<-reusable {
		t.Error("the connection cannot be used again")
	}
}

// TestGetAfterTheEnd: a GET that found the stream just before its end gets the
// end.
func TestGetAfterTheEnd(t *testing.T) {
	b := newBench(t, nil)
	b.box.Close(nil)
	client, reusable := b.hold(b.box.Main(), 0)
	if r, body := response(t, client); r.Header.Get("Content-Type") != "text/event-stream" || body != "" {
		t.Errorf("got %q: %q", r.Header, body)
	}
	if !<-reusable {
		t.Error("the connection cannot be used again")
	}
}

// TestAbandon: a connection that does not come gives up the stream that waits
// for it. One that had a connection, or needs none, stays.
func TestAbandon(t *testing.T) {
	b := newBench(t, nil)
	for name, s := range map[string]*Stream{"undecided": b.box.Open(1), "events": b.box.OpenEvents(2), "answered": b.box.Open(1)} {
		switch name {
		case "events":
			s.Answer(b.msg("one"))
		case "answered":
			s.Answer(b.msg("answer"))
		}
		s.Abandon()
		if name != "answered" {
			s.Answer(b.msg("late"))
		}
		if n := b.budget.InUse(); n != 0 {
			t.Errorf("%s: %d bytes are in flight", name, n)
		}
		msg := b.msg("note")
		if s.Send(msg) {
			t.Errorf("%s: it took a message", name)
			continue
		}
		msg.Release()
	}
	b.do(func() {
		if len(b.box.streams) != 0 {
			t.Errorf("%d streams are left", len(b.box.streams))
		}
	})

	main, resumed := b.box.Main(), b.box.Open(1)
	resumed.Send(b.msg("one"))
	client, reusable := b.hold(resumed, 0)
	b.within("delivery", func() bool { return resumed.written == 2 })
	client.Close()
	<-reusable
	for _, s := range []*Stream{main, resumed} {
		s.Abandon()
		if !s.Send(b.msg("note")) {
			t.Error("a stream that clients can come back for was given up")
		}
	}
}

// TestOldAndFinalConnections: a client of HTTP/1.0 gets no chunks, and its
// connection ends with the answer, as does one that asks for that.
func TestOldAndFinalConnections(t *testing.T) {
	for _, c := range []struct {
		name    string
		request Request
		chunked bool
	}{
		{"HTTP/1.0", Request{}, false},
		{"HTTP/1.0 that would go on", Request{Keep: true}, false},
		{"Connection: close", Request{HTTP11: true}, true},
		{"of a gate that ends", Request{HTTP11: true, Keep: true, Leaving: ending()}, true},
	} {
		for _, events := range []bool{false, true} {
			b := newBench(t, nil)
			s := b.box.Open(1)
			client, reusable := b.pipe(s, 0, c.request)
			b.within("the connection", func() bool { return s.conn != nil })
			if events {
				s.Send(b.msg("note"))
			}
			s.Answer(b.msg("answer"))
			r, body := response(t, client)
			want := "answer"
			if events {
				body, want = dataOf(body), "note answer"
			}
			if body != want || !r.Close || (len(r.TransferEncoding) > 0) != (events && c.chunked) {
				t.Errorf("%s, events %v: got %q, %q, %q", c.name, events, r.TransferEncoding, r.Header, body)
			}
			if <-reusable {
				t.Errorf("%s, events %v: the connection is given back", c.name, events)
			}
		}
	}
}

func ending() *atomic.Bool {
	b := new(atomic.Bool)
	b.Store(true)
	return b
}

// TestBurst: a burst does not make a slow reader, also where nothing is kept
// for replay.
func TestBurst(t *testing.T) {
	b := newBench(t, func(o *Options) { o.ReplayBytes, o.ReplayEvents = 0, 0 })
	s := b.box.Open(1)
	client, _ := b.pipe(s, 0, held)
	b.within("the connection", func() bool { return s.conn != nil })
	for range 200 {
		s.Send(b.msg("0123456789"))
	}
	s.Answer(b.msg("last"))
	if _, body := response(t, client); strings.Count(body, "data: ") != 201 {
		t.Errorf("%d events came", strings.Count(body, "data: "))
	}
}

// TestWriteTimeout: who reads nothing loses the connection, and can resume.
func TestWriteTimeout(t *testing.T) {
	b := newBench(t, func(o *Options) { o.WriteTimeout = 20 * time.Millisecond })
	s := b.box.Open(1)
	client, reusable := b.pipe(s, 0, held)
	b.within("the connection", func() bool { return s.conn != nil })
	s.Send(b.msg("one"))
	if <-reusable {
		t.Error("the connection is given back")
	}
	client.Close()
	s.Answer(b.msg("two"))
	s, from, refused := b.box.Find([]byte(b.tag() + "_1_0"))
	if refused != nil {
		t.Fatal(refused)
	}
	again, _ := b.hold(s, from)
	if _, body := response(t, again); dataOf(body) != "one two" {
		t.Errorf("got %q", body)
	}
}
