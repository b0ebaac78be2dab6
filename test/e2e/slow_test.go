package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// drip sends bytes one at a time until they or the connection end.
func drip(c *harness.Conn, b []byte, every time.Duration) {
	for i := range b {
		if _, err := c.Conn.Write(b[i : i+1]); err != nil {
			return
		}
		time.Sleep(every)
	}
}

// wantDropped waits until the gate closes the connection. It may say 408
// first; anything else was an answer to a request that never came.
func wantDropped(t *testing.T, c *harness.Conn) {
	t.Helper()
	start := time.Now()
	sent := string(c.Closed(t))
	t.Logf("closed after %v", time.Since(start).Round(10*time.Millisecond))
	if sent != "" && !strings.HasPrefix(sent, "HTTP/1.1 408 ") {
		t.Errorf("the gate said %q", harness.Short(sent))
	}
}

// slowly is every way of being slow with a request.
var slowly = []struct {
	name string
	send func(c *harness.Conn, head, body []byte)
}{
	{"nothing at all", func(*harness.Conn, []byte, []byte) {}},
	{"half a header", func(c *harness.Conn, head, _ []byte) { c.Conn.Write(head[:len(head)/2]) }},
	{"a header in drips", func(c *harness.Conn, head, _ []byte) { drip(c, head, 200*time.Millisecond) }},
	{"no body", func(c *harness.Conn, head, _ []byte) { c.Conn.Write(head) }},
	{"half a body", func(c *harness.Conn, head, body []byte) { c.Conn.Write(append(head, body[:len(body)/2]...)) }},
	{"a body in drips", func(c *harness.Conn, head, body []byte) {
		c.Conn.Write(head)
		drip(c, body, 200*time.Millisecond)
	}},
}

// trySlowly tries the ways whose name has a part. within is far more than the
// timeouts in force, and less than others.
func trySlowly(t *testing.T, g *harness.Gate, part string, within time.Duration) {
	t.Helper()
	s := open(t, g)
	r := s.As(harness.Post(sizedCall("1", 4000)))
	for _, way := range slowly {
		if !strings.Contains(way.name, part) {
			continue
		}
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			c := g.Dial(t)
			c.SetDeadline(time.Now().Add(within))
			go way.send(c, r.Head(g.Host()), r.Body)
			wantDropped(t, c)
		})
	}
}

func TestSlowRequests(t *testing.T) {
	t.Parallel()
	g := gate(t, "--header-timeout", "2s", "--body-timeout", "2s")
	trySlowly(t, g, "", 25*time.Second)
}

func TestSlowRequestsByDefault(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the default timeouts, 10 s and 30 s; not with -short")
	}
	t.Parallel()
	trySlowly(t, gate(t), "half", 75*time.Second)
}

// TestSteadyBodyMayTakeItsTime: --body-timeout is granted anew for each MiB
// that arrives.
func TestSteadyBodyMayTakeItsTime(t *testing.T) {
	t.Parallel()
	g := gate(t, "--body-timeout", "4s")
	s := open(t, g)
	r := s.As(harness.Post(sizedCall("1", 6<<20)))
	c := g.Dial(t)
	c.Send(t, r.Head(g.Host()))
	for i := range 6 {
		time.Sleep(time.Second)
		c.Send(t, r.Body[i<<20:(i+1)<<20])
	}
	if answer := c.Read(t, "POST").Answer(t); answer.Error != nil {
		t.Errorf("got %s", answer.Raw)
	}
}

// pingMeanwhile calls in a session until the returned function is called, which
// says how long the slowest call took.
func pingMeanwhile(t *testing.T, s *harness.Session) (stop func() time.Duration) {
	t.Helper()
	done, over := make(chan struct{}), make(chan struct{})
	var worst time.Duration
	go func() {
		defer close(over)
		for {
			start := time.Now()
			alive(t, s)
			worst = max(worst, time.Since(start))
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() time.Duration {
		close(done)
		<-over
		return worst.Round(time.Millisecond)
	}
}

// TestSlowReader: a client that does not read its stream loses the connection,
// not the session nor a message, and delays nobody.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	g := gate(t, "--write-timeout", "2s", "--replay-bytes", fmt.Sprint(256<<20), "--replay-events", "100000", "--max-bytes-in-flight", fmt.Sprint(1<<30))
	slow, other := open(t, g), open(t, g)
	const events, size = 1500, 32 << 10

	exchange := slow.BeginStream(t, "")
	slow.Call(t, "notify", fmt.Sprintf(`{"method":"notifications/message","count":%d,"bytes":%d,"afterMs":1}`, events, size))
	stop := pingMeanwhile(t, other)
	harness.Eventually(t, "the connection that is not read is closed", func() bool {
		return g.Metric(t, "sidegate_streams", `frontend="streamable"`) == 0
	})
	t.Logf("the slowest call of another session meanwhile: %v", stop())

	first := exchange.Events(t).Rest(t)
	last, seqs := "", []int{}
	for _, e := range first {
		last = e.ID
		if e.Data != "" {
			seqs = append(seqs, seq(t, e))
		}
	}
	if len(seqs) == events {
		t.Fatalf("all %d events fitted into the connection: the test sends too little", events)
	}
	stream := slow.Stream(t, last)
	for len(seqs) < events {
		e, _ := stream.NextMessage(t)
		seqs = append(seqs, seq(t, e))
	}
	wantInOrder(t, seqs, events)
	alive(t, slow)
	stream.Cut()
}

// seq is the number that tool notify gave the event.
func seq(t *testing.T, e harness.Event) int {
	t.Helper()
	var p struct{ Seq int }
	decode(t, e.Message(t).Params, &p)
	return p.Seq
}

// wantInOrder checks for 1 to n, each once, in order.
func wantInOrder(t *testing.T, seqs []int, n int) {
	t.Helper()
	if len(seqs) != n {
		t.Errorf("%d events, want %d", len(seqs), n)
	}
	for i, got := range seqs {
		if got != i+1 {
			t.Fatalf("event %d has number %d", i+1, got)
		}
	}
}

// TestLargeAnswerReadSlowly: a 16 MiB answer that its client takes a sip at a
// time delays nobody, and arrives whole.
func TestLargeAnswerReadSlowly(t *testing.T) {
	t.Parallel()
	for _, progress := range []bool{false, true} {
		t.Run(fmt.Sprintf("streamed %v", progress), func(t *testing.T) {
			t.Parallel()
			g := gate(t)
			slow, other := open(t, g), open(t, g)
			exchange := slow.Begin(t, harness.ToolCallWithToken("1", "1", "large", fmt.Sprintf(`{"bytes":%d,"progress":%v}`, limit, progress)))
			stop := pingMeanwhile(t, other)
			read := sip(exchange, 40)
			t.Logf("the slowest call of another session meanwhile: %v", stop())
			alive(t, slow)
			if read < limit {
				t.Errorf("only %d bytes of the answer arrived", read)
			}
		})
	}
}

// sip reads a body in so many sips, resting between them, and returns its size.
func sip(e *harness.Exchange, sips int) int {
	b, total := make([]byte, limit/sips+1000), 0
	for {
		n, err := io.ReadFull(e.Body, b)
		total += n
		if err != nil {
			return total
		}
		time.Sleep(100 * time.Millisecond)
	}
}
