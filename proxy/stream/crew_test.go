package stream

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestCrewOfSlowReaders: clients that do not read keep nobody else's messages
// from being written, however many they are.
func TestCrewOfSlowReaders(t *testing.T) {
	b := newBench(t, nil)
	slow := make([]*bench, 3*crewSize)
	for i := range slow {
		slow[i] = newBench(t, func(o *Options) { o.Crew = b.box.options.Crew })
		main := slow[i].box.Main()
		slow[i].pipe(main, 0, held) // nobody reads its head
		slow[i].within("a connection", func() bool { return main.conn != nil })
	}
	client, _ := b.hold(b.box.Main(), 0)
	b.box.Main().Send(b.msg("hello"))
	b.reads(client, "hello")
	for _, s := range slow {
		s.do(func() { s.box.main.conn.sever() })
	}
	b.idle()
}

// TestCrewAndCrowd: all of a crowd hear what they are told, once, from a few
// writers.
func TestCrewAndCrowd(t *testing.T) {
	b := newBench(t, nil)
	const each = 3
	many := make([]*bench, 2*crowd)
	clients := make([]net.Conn, len(many))
	for i := range many {
		many[i] = newBench(t, func(o *Options) { o.Crew = b.box.options.Crew })
		clients[i], _ = many[i].hold(many[i].box.Main(), 0)
	}
	for n := range each {
		for _, m := range many {
			m.box.Main().Send(m.msg(fmt.Sprintf("message-%d", n)))
		}
	}
	for i, m := range many {
		all := m.reads(clients[i], fmt.Sprintf("message-%d", each-1))
		if n := strings.Count(all, "message-"); n != each {
			t.Errorf("a client heard %d messages: %q", n, all)
		}
	}
	b.idle()
}

// TestRest: with a crowd a writer rests, but not without end where it took long
// for another reason, and not where the gate ends.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var crew Crew
		rests := func(worked, want time.Duration) {
			t.Helper()
			began := time.Now()
			if crew.rest(worked); time.Since(began) != want {
				t.Errorf("it rests for %v after %v, want %v", time.Since(began), worked, want)
			}
		}
		rests(time.Second, 0) // nobody waits
		crew.working = crewSize
		for range crowd {
			crew.take(new(Conn))
		}
		rests(0, leastRest)
		rests(10*time.Millisecond, 10*restFactor*time.Millisecond)
		rests(time.Hour, mostRest)
		crew.next(nil)
		rests(time.Second, 0) // fewer than a crowd
		crew.take(new(Conn))
		crew.Hurry()
		rests(time.Second, 0)
	})
}

// TestAnswerBeforeCrowd: an answer does not queue with a crowd, nor does what its
// client was told before.
func TestAnswerBeforeCrowd(t *testing.T) {
	b := newBench(t, nil)
	client, _ := b.hold(b.box.Main(), 0)
	b.box.Main().Send(b.msg("hello"))
	b.reads(client, "hello")
	b.idle()
	crew := b.box.options.Crew
	crew.mu.Lock()
	crew.working = crewSize // all of them rest
	crew.mu.Unlock()
	for range crowd {
		crew.take(new(Conn))
	}
	b.box.Main().Send(b.msg("told before"))
	b.box.Main().Answer(b.msg("the answer"))
	if all := b.reads(client, "the answer"); !strings.Contains(all, "told before") {
		t.Errorf("the answer came first: %q", all)
	}
	crew.mu.Lock()
	if len(crew.waiting) != crowd {
		t.Errorf("%d wait, want %d", len(crew.waiting), crowd)
	}
	crew.waiting, crew.working = nil, 0
	crew.count()
	crew.mu.Unlock()
}

// reads reads until the client has got want.
func (b *bench) reads(client net.Conn, want string) string {
	b.t.Helper()
	client.SetReadDeadline(time.Now().Add(20 * time.Second))
	var all []byte
	for chunk := make([]byte, 4<<10); !strings.Contains(string(all), want); {
		n, err := client.Read(chunk)
		if all = append(all, chunk[:n]...); err != nil {
			b.t.Fatalf("%v after %q", err, all)
		}
	}
	return string(all)
}

// idle waits until the crew has nothing to do.
func (b *bench) idle() {
	b.t.Helper()
	crew := b.box.options.Crew
	b.eventually("a crew at rest", func() bool {
		crew.mu.Lock()
		defer crew.mu.Unlock()
		if crew.working > crewSize {
			b.t.Errorf("%d writers, want at most %d", crew.working, crewSize)
		}
		return crew.working == 0 && len(crew.waiting) == 0
	})
}
