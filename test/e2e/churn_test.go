package e2e

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// footprint is what a gate holds when nothing is going on.
type footprint struct {
	goroutines, heap      float64
	descriptors, children int
}

func (f footprint) String() string {
	return fmt.Sprintf("%v goroutines, %d descriptors, %d children, %.0f KiB of heap", f.goroutines, f.descriptors, f.children, f.heap/1024)
}

// measure reads the footprint. Each reading makes garbage, so that a few of
// them make the collector run.
func measure(t *testing.T, g *harness.Gate) footprint {
	t.Helper()
	return footprint{
		goroutines: g.Metric(t, "go_goroutines"), heap: g.Metric(t, "go_memstats_heap_alloc_bytes"),
		descriptors: g.Descriptors(), children: len(g.Children()),
	}
}

// TestChurn: ten thousand sessions opened and ended, a third by DELETE, a third
// by cutting the connection, a third by expiry. Goroutines, descriptors,
// children and heap are back at the start.
func TestChurn(t *testing.T) {
	harness.NeedProc(t)
	sessions := 10_000
	if testing.Short() {
		sessions = 300
		t.Logf("only %d sessions with -short", sessions)
	}
	const warm = 4
	g := harness.Start(t, harness.Setup{
		Flags: []string{
			"--warm", fmt.Sprint(warm), "--idle-timeout", "2s", "--max-links", "600", "--link-wait", "60s",
			"--max-bytes-in-flight", fmt.Sprint(1 << 30),
		},
		Env: []string{"GOGC=20"}, // a heap that is looked at often
	})
	churn(t, g, 90)
	rest(t, g, warm)
	start := measure(t, g)
	for range 20 {
		start = least(start, measure(t, g))
	}
	t.Logf("at the start:  %v", start)

	began := time.Now()
	churn(t, g, sessions)
	took := time.Since(began)
	t.Logf("%d sessions took %v, %.0f a second", sessions, took.Round(time.Second), float64(sessions)/took.Seconds())
	rest(t, g, warm)

	// Connections of the measurement itself come and go, so there is a little
	// room; a leak would be thousands.
	const room, roomHeap = 8, 4 << 20
	var now footprint
	for end := time.Now().Add(3 * harness.Patience); ; time.Sleep(50 * time.Millisecond) {
		now = measure(t, g)
		if now.goroutines <= start.goroutines+room && now.descriptors <= start.descriptors+room &&
			now.children == warm && now.heap <= start.heap+roomHeap {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the gate is not back at the start:\n%v, it was\n%v", now, start)
		}
	}
	t.Logf("back again:    %v", now)
}

// least is the smaller of each.
func least(a, b footprint) footprint {
	return footprint{min(a.goroutines, b.goroutines), min(a.heap, b.heap), min(a.descriptors, b.descriptors), min(a.children, b.children)}
}

// rest waits until nothing is left of the sessions.
func rest(t *testing.T, g *harness.Gate, warm int) {
	t.Helper()
	harness.EventuallyWithin(t, 2*harness.Patience, "the gate comes to rest", func() bool {
		return g.Metric(t, "sidegate_sessions") == 0 && g.Metric(t, "sidegate_streams") == 0 && len(g.Children()) == warm
	})
}

// churn opens and ends sessions, a few at a time.
func churn(t *testing.T, g *harness.Gate, sessions int) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c := &client{t: t, gate: g}
			defer c.close()
			for n := next.Add(1); n <= int64(sessions) && !t.Failed(); n = next.Add(1) {
				c.session(int(n))
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// client opens one session after the other over a connection that it keeps:
// a new one for each request would use up the machine's ports.
type client struct {
	t    *testing.T
	gate *harness.Gate
	conn *harness.Conn
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// do sends a request and reads the response. A connection that the gate closed
// while it was kept is dialled again.
func (c *client) do(r *harness.Request, status int) *harness.Response {
	c.t.Helper()
	for attempt := 0; ; attempt++ {
		fresh := c.conn == nil
		e, err := c.try(r)
		if err == nil {
			closes := e.Response.Close
			resp := e.Finish(c.t)
			if closes {
				c.close()
			}
			resp.WantStatus(c.t, status)
			return resp
		}
		c.close()
		if fresh || attempt > 2 {
			c.t.Fatalf("no response: %v", err)
		}
	}
}

func (c *client) try(r *harness.Request) (*harness.Exchange, error) {
	if c.conn == nil {
		conn, err := c.gate.TryDial()
		if err != nil {
			return nil, err
		}
		c.conn = conn
	}
	c.conn.SetDeadline(time.Now().Add(2 * harness.Patience))
	if _, err := c.conn.Conn.Write(r.Bytes(c.gate.Host())); err != nil {
		return nil, err
	}
	return c.conn.TryBegin(r.Method)
}

// session opens session n, uses it, and leaves it in one of the three ways.
func (c *client) session(n int) {
	resp := c.do(harness.Client{}.Initialize(), 200)
	s := &harness.Session{Gate: c.gate, ID: resp.Header.Get("Mcp-Session-Id"), Revision: harness.Latest}
	c.do(s.As(harness.Post(harness.Notification("notifications/initialized", ""))), 202)
	echo := fmt.Sprintf(`{"n":%d}`, n)
	if got := c.do(s.As(harness.Post(harness.ToolCall("1", "echo", echo))), 200).Answer(c.t).Structured(c.t); got != echo {
		c.t.Errorf("session %d got %s", n, got)
	}
	switch n % 3 {
	case 0:
		c.delete(s)
	case 1:
		c.cut(s, n)
	case 2: // left to expire
	}
}

// delete ends the session as a good client does.
func (c *client) delete(s *harness.Session) {
	if e, err := c.try(s.As(harness.Delete())); err == nil {
		if resp := e.Finish(c.t); resp.Status > 204 {
			c.t.Errorf("DELETE got %d: %s", resp.Status, resp.Body)
		}
		return
	}
	c.close()
}

// cut leaves a connection in the middle of something: a stream, a streaming
// call, a call that waits, half a body.
func (c *client) cut(s *harness.Session, n int) {
	c.close()
	conn, err := c.gate.TryDial()
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	var r *harness.Request
	switch n / 3 % 4 {
	case 0:
		r = s.As(harness.Get())
	case 1:
		r = s.As(harness.Post(harness.ToolCallWithToken("2", "2", "progress", `{"steps":2,"everyMs":50}`)))
	case 2:
		conn.Conn.Write(s.As(harness.Post(harness.ToolCall("3", "sleep", `{"ms":100}`))).Bytes(c.gate.Host()))
		return
	case 3:
		b := s.As(harness.Post(harness.ToolCall("4", "echo", `{}`))).Bytes(c.gate.Host())
		conn.Conn.Write(b[:len(b)-10])
		return
	}
	conn.Conn.Write(r.Bytes(c.gate.Host()))
	if e, err := conn.TryBegin(r.Method); err != nil || e.Status != 200 {
		c.t.Errorf("session %d: no stream: %v", n, err)
	}
}
