package e2e

import (
	"fmt"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// wantComeBack checks a refusal of somebody who is asked to come back.
func wantComeBack(t *testing.T, resp *harness.Response, status int, id string) {
	t.Helper()
	resp.WantRefusal(t, status, status, id)
	resp.WantRetryAfter(t)
}

func TestMaxSessions(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-sessions", "2")
	first, _ := open(t, g), open(t, g)
	wantComeBack(t, g.Do(t, harness.Client{}.Initialize()), 503, "0")
	alive(t, first)
	first.End(t)
	open(t, g)
	wantComeBack(t, g.Do(t, harness.Client{}.Initialize()), 503, "0")
	if got := g.Metric(t, "sidegate_sessions_limit"); got != 2 {
		t.Errorf("sidegate_sessions_limit is %v", got)
	}
}

func TestMaxLinks(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	t.Run("refused after a bounded wait", func(t *testing.T) {
		t.Parallel()
		g := gate(t, "--max-links", "2", "--link-wait", "500ms")
		first, _ := open(t, g), open(t, g)
		wantComeBack(t, g.Do(t, harness.Client{}.Initialize()), 503, "0")
		if n := len(g.Children()); n > 2 {
			t.Errorf("%d children with --max-links=2", n)
		}
		alive(t, first)
		first.End(t)
		harness.Eventually(t, "the place is free", func() bool {
			return g.Do(t, harness.Client{}.Initialize()).Status == 200
		})
	})
	t.Run("who waits is let in", func(t *testing.T) {
		t.Parallel()
		g := gate(t, "--max-links", "1", "--link-wait", "50s")
		first := open(t, g)
		second := g.Dial(t)
		second.Send(t, harness.Client{}.Initialize().Bytes(g.Host()))
		time.Sleep(500 * time.Millisecond)
		first.End(t)
		if answer := second.Read(t, "POST").Answer(t); answer.Error != nil {
			t.Errorf("got %s", answer.Raw)
		}
	})
}

func TestMaxCalls(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-calls", "2")
	s, other := open(t, g), open(t, g)
	var calls []*harness.Conn
	for i := range 2 {
		calls = append(calls, s.Send(t, harness.ToolCall(fmt.Sprint(i), "sleep", `{"ms":5000}`)))
	}
	waitForCalls(t, g, 2)
	wantComeBack(t, s.Do(t, ping("9")), 429, "9")
	alive(t, other)
	s.Notify(t, "notifications/x", "")
	for _, c := range calls {
		if answer := c.Read(t, "POST").Answer(t); answer.Error != nil {
			t.Errorf("got %s", answer.Raw)
		}
	}
	alive(t, s)
}

// TestRate: a burst passes, then one a second for each caller.
func TestRate(t *testing.T) {
	t.Parallel()
	g := gate(t, "--rate", "0.1", "--burst", "5", "--token-file", tokenFile(t, "alice=aaaaaaaaaaaaaaaa", "bob=bbbbbbbbbbbbbbbb"))
	alice := func() *harness.Response {
		return g.Do(t, harness.Get().Add("Authorization", "Bearer aaaaaaaaaaaaaaaa"))
	}
	for range 5 {
		alice().WantStatus(t, 400) // no session, but let in
	}
	wantComeBack(t, alice(), 429, "")
	g.Do(t, harness.Get().Add("Authorization", "Bearer bbbbbbbbbbbbbbbb")).WantStatus(t, 400)
}

// TestAddressRate comes before everything else, and by address.
func TestAddressRate(t *testing.T) {
	t.Parallel()
	flags := []string{"--address-rate", "0.1", "--address-burst", "5"}
	from := func(g *harness.Gate, forwarded string) *harness.Response {
		r := harness.Get().Set("Host", "evil.example")
		if forwarded != "" {
			r.Add("X-Forwarded-For", forwarded)
		}
		return g.Do(t, r)
	}
	t.Run("a forwarded address of nobody we trust", func(t *testing.T) {
		t.Parallel()
		g := gate(t, flags...)
		for i := range 5 {
			from(g, fmt.Sprintf("192.0.2.%d", i)).WantStatus(t, 403)
		}
		wantComeBack(t, from(g, "192.0.2.9"), 429, "")
		wantComeBack(t, from(g, ""), 429, "")
	})
	t.Run("a forwarded address of a proxy we trust", func(t *testing.T) {
		t.Parallel()
		g := gate(t, append(flags, "--trust-proxy", "127.0.0.0/8,::1/128")...)
		for range 5 {
			from(g, "192.0.2.1").WantStatus(t, 403)
		}
		wantComeBack(t, from(g, "192.0.2.1"), 429, "")
		from(g, "192.0.2.2").WantStatus(t, 403)
		// What the client itself put in front is not believed: the address that
		// counts is the last one that no trusted proxy has.
		wantComeBack(t, from(g, "198.51.100.7, 192.0.2.1"), 429, "")
		wantComeBack(t, from(g, "198.51.100.7, 192.0.2.1, 127.0.0.9"), 429, "")
		from(g, "192.0.2.1, 198.51.100.7").WantStatus(t, 403)
	})
}

// TestMaxConnections: one too many is refused, and those that are there are
// not harmed.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-connections", "8")
	s := open(t, g)
	stream := s.Stream(t, "")
	var idle []*harness.Conn
	for range 12 {
		if c, err := g.TryDial(); err == nil {
			c.Conn.Write([]byte("POST /mcp HTTP/1.1\r\n"))
			idle = append(idle, c)
		}
	}
	let := func() bool {
		c, err := g.TryDial()
		if err != nil {
			return false
		}
		defer c.Close()
		c.Conn.Write(s.As(harness.Post(ping("1"))).Bytes(g.Host()))
		e, err := c.TryBegin("POST")
		return err == nil && e.Status == 200
	}
	if let() {
		t.Error("a fourteenth connection is let in with --max-connections=8")
	}
	for _, c := range idle {
		c.Conn.Close()
	}
	harness.Eventually(t, "there is room again", let)
	s.Call(t, "notify", `{"method":"notifications/tools/list_changed","params":{},"afterMs":1}`)
	stream.NextMessage(t)
	stream.Cut()
}
