package websocket

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"sidegate/limits"
	"sidegate/proxy/session"
)

type sessionOptions = session.Options

// TestHandshake: what is refused is refused by status, and nothing is opened.
func TestHandshake(t *testing.T) {
	b := newBed(t, nil)
	open := b.session()
	for _, c := range []struct {
		name   string
		header []string
		status int
		says   string // a header field of the answer
	}{
		{"an ordinary GET", []string{"Upgrade:", "Connection:"}, 426, "Upgrade: websocket"},
		{"no Connection: Upgrade", []string{"Connection: keep-alive"}, 426, "Upgrade: websocket"},
		{"another protocol", []string{"Upgrade: h2c"}, 426, "Upgrade: websocket"},
		{"no version", []string{"Sec-WebSocket-Version:"}, 426, "Sec-Websocket-Version: 13"},
		{"version 8", []string{"Sec-WebSocket-Version: 8"}, 426, "Sec-Websocket-Version: 13"},
		{"no key", []string{"Sec-WebSocket-Key:"}, 400, ""},
		{"a short key", []string{"Sec-WebSocket-Key: c2hvcnQ="}, 400, ""},
		{"a key that is not base64", []string{"Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="}, 400, ""},
		{"other subprotocols only", []string{"Sec-WebSocket-Protocol: chat, soap"}, 400, ""},
		{"no such session", []string{"Mcp-Session-Id: 0123456789abcdef"}, 404, ""},
		{"another caller's session", []string{"Mcp-Session-Id: " + open.id(), "Principal: mallory"}, 404, ""},
		{"a count without a session", []string{"Last-Event-ID: 1"}, 400, ""},
		{"no count", []string{"Mcp-Session-Id: " + open.id(), "Last-Event-ID: x"}, 400, ""},
		{"a negative count", []string{"Mcp-Session-Id: " + open.id(), "Last-Event-ID: -1"}, 400, ""},
		{"more than there were", []string{"Mcp-Session-Id: " + open.id(), "Last-Event-ID: 2"}, 400, ""},
		{"far more", []string{"Mcp-Session-Id: " + open.id(), "Last-Event-ID: 9223372036854775807"}, 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, response := b.dial(c.header...)
			defer client.Close()
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != c.status || !strings.Contains(string(body), `"error"`) {
				t.Errorf("status %d, want %d: %s", response.StatusCode, c.status, body)
			}
			name, value, _ := strings.Cut(c.says, ": ")
			if got := response.Header.Get(name); c.says != "" && got != value {
				t.Errorf("%s is %q, want %q", name, got, value)
			}
		})
	}
	if n := b.sessions.Len(); n != 1 {
		t.Errorf("%d sessions are open, want the one", n)
	}
	open.works()
}

func TestHandshakeAnswer(t *testing.T) {
	b := newBed(t, nil)
	for offer, want := range map[string]string{"": "", "mcp": "mcp", "chat, mcp": "mcp"} {
		c := b.connect("Sec-WebSocket-Protocol: "+offer, "Sec-WebSocket-Protocol:"+offer)
		h := c.head
		if h.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || h.Get("Upgrade") != "websocket" || h.Get("Connection") != "Upgrade" {
			t.Errorf("head: %q", h)
		}
		if h.Get("Sec-WebSocket-Protocol") != want || h.Get("X-Head") != "carried" || len(c.id()) < 20 {
			t.Errorf("offered %q: head %q", offer, h)
		}
		c.Close()
	}
}

// TestOpening: the first message is initialize, and there is only one.
func TestOpening(t *testing.T) {
	b := newBed(t, nil)
	c := b.connect()
	c.say(echo("1", "[]"))
	c.wantError("1", -32600)
	c.say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	c.say(`[` + initialize + `]`)
	c.wantError("", -32600)
	c.say(initialize)
	c.want(`{"jsonrpc":"2.0","id":"first","result":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	c.works()
	c.say(strings.Replace(initialize, `"first"`, `2`, 1))
	c.wantError("2", -32600)
	c.works()
	if n := b.counted(b.refused, "uninitialized"); n != 3 {
		t.Errorf("%d messages before initialize were counted: %v", n, b.refused)
	}
}

// TestFailedInitialize ends the session, and says so.
func TestFailedInitialize(t *testing.T) {
	b := newBed(t, nil)
	c := b.connect()
	c.say(strings.Replace(initialize, "2025-11-25", "bad", 1))
	c.wantError(`"first"`, -32602)
	c.want("close 1008", "end")
	if n := b.sessions.Len(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// TestRefusedMessages harm no other.
func TestRefusedMessages(t *testing.T) {
	b := newBed(t, nil)
	c := b.session()
	c.say("")
	c.wantError("", -32600)
	c.say("hello")
	c.wantError("", -32600)
	c.say(`{"jsonrpc":"1.0","id":5,"method":"echo"}`)
	c.wantError("5", -32600)
	c.say(`{"jsonrpc":"2.0","id":7,"result":{}}`) // answers nothing; so is this
	c.say(`[` + echo("1", "[]") + `]`)            // this revision has no batches
	c.wantError("", -32600)
	c.say(`{"jsonrpc":"2.0","id":8,"method":"hang"}`)
	c.say(`{"jsonrpc":"2.0","id":8,"method":"echo"}`)
	c.wantError("8", -32600)
	c.works()

	b.limited.Store(true)
	c.say(echo("9", "[]"))
	c.wantError("9", 429)
	c.say(`{"jsonrpc":"2.0","method":"notifications/x"}`)
	b.eventually("both are counted", func() bool { return b.counted(b.refused, "rate") == 2 })
	c.say("{")
	c.wantError("", -32600)
}

func TestBatch(t *testing.T) {
	b := newBed(t, nil)
	c := b.connect()
	c.say(strings.Replace(initialize, "2025-11-25", "2025-03-26", 1))
	c.next()
	c.say(`[` + echo("1", `["a"]`) + `,{"jsonrpc":"2.0","method":"x"},` + echo("2", `["b"]`) + `,{"id":3}]`)
	got := map[string]bool{}
	for range 3 {
		got[c.next()] = true
	}
	if !got[echoed("1", `["a"]`)] || !got[echoed("2", `["b"]`)] {
		t.Errorf("got %v", got)
	}
	c.say(`[{"jsonrpc":"2.0","method":"x"}]`)
	c.works()
}

// TestWhiteSpace between tokens may be a line break, which links cannot carry.
func TestWhiteSpace(t *testing.T) {
	c := newBed(t, nil).session()
	c.say("{\n\t\"jsonrpc\":\"2.0\",\r\n\"id\":1,\"method\":\"echo\",\"params\":[1]\n}")
	c.want(echoed("1", "[1]"))
}

// TestResume: whatever was missed is sent again, by the number of messages that
// came before.
func TestResume(t *testing.T) {
	b := newBed(t, nil)
	c := b.session() // message 1
	c.say(`{"jsonrpc":"2.0","id":1,"method":"tell","params":[3]}`)
	told := func(n int) string { return fmt.Sprintf(`{"jsonrpc":"2.0","method":"told","params":[%d]}`, n) }
	rest := []string{told(0), told(1), told(2), echoed("1", "[3]")}
	c.want(rest...)
	c.Close()
	for received := 1; received <= 5; received++ {
		c = b.connect("Mcp-Session-Id: "+c.id(), fmt.Sprint("Last-Event-ID: ", received))
		c.want(rest[received-1:]...)
		c.settled() // nothing else comes
		c.Close()
	}
	c = b.connect("Mcp-Session-Id: " + c.id()) // who does not count gets what was not sent
	c.works()
	c.settled()
	c.Close()
	b.eventually("the session has lost its client", func() bool { return b.sockets() == 0 })
	for _, s := range b.links {
		s.says(`{"jsonrpc":"2.0","method":"while away"}`)
	}
	c = b.connect("Mcp-Session-Id: " + c.id())
	c.want(`{"jsonrpc":"2.0","method":"while away"}`)
	c.works()
}

// settled waits until the gate knows that what the client has read is written:
// until then it would be sent again to a client that does not count.
func (c *client) settled() {
	c.t.Helper()
	c.raw(frame(fin|ping_, "settled"))
	c.want("pong settled")
}

func (b *bed) sockets() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// TestTakeOver: a session has one connection, the newest.
func TestTakeOver(t *testing.T) {
	b := newBed(t, nil)
	first := b.session()
	first.settled()
	second := b.connect("Mcp-Session-Id: " + first.id())
	first.want("close 1008", "end")
	second.works()
	first.Close()
	second.works()
}

// TestLoss: only a goodbye ends the session at once. The server goes with it.
func TestLoss(t *testing.T) {
	b := newBed(t, nil)
	c := b.session()
	server := b.only()
	c.settled()
	c.Close()
	c = b.connect("Mcp-Session-Id: " + c.id())
	c.works()
	c.raw(frame(fin|bye, ""))
	c.want("close", "end")
	select {
	case <-server.ended:
	case <-time.After(patience):
		t.Error("the server lives on")
	}
	if n := b.sessions.Len(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}

	c = b.connect() // nothing was said on it, so there is nothing to come back to
	c.Close()
	b.eventually("no session is left", func() bool { return b.sessions.Len() == 0 })
}

// only is the server of the only link.
func (b *bed) only() *server {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.links {
		return s
	}
	return nil
}

// TestEnds: why the gate ends a connection is in its goodbye. A client that does
// not answer it holds nothing up for long.
func TestEnds(t *testing.T) {
	t.Run("drain", func(t *testing.T) {
		b := newBed(t, nil)
		c := b.session()
		b.sessions.Close(t.Context())
		c.want("close 1001", "end")
	})
	t.Run("idle session", func(t *testing.T) {
		b := newBed(t, func(_ *Options, o *sessionOptions) { o.Lifetime = time.Second })
		c := b.session()
		c.want("close 1008", "end")
	})
	t.Run("the server's end", func(t *testing.T) {
		b := newBed(t, nil)
		c := b.session()
		b.only().link.Closed(io.EOF)
		c.want("close 1013", "end")
	})
	t.Run("no initialize", func(t *testing.T) {
		b := newBed(t, func(o *Options, _ *sessionOptions) { o.Ping = 50 * time.Millisecond })
		c := b.connect()
		for c.next() != "close 1008" { // however lively it is
			c.raw(frame(fin|ping_, ""))
		}
		c.want("end")
	})
	t.Run("no room", func(t *testing.T) {
		b := newBed(t, func(o *Options, _ *sessionOptions) { o.Budget = limits.NewBytes(10 << 10) })
		c := b.session()
		c.say(echo("1", `["`+strings.Repeat("x", 20<<10)+`"]`))
		c.want("close 1013", "end")
		b.connect("Mcp-Session-Id: " + c.id()).works()
	})
}

// TestPing: who answers pings stays, who says nothing at all is cut.
func TestPing(t *testing.T) {
	b := newBed(t, func(o *Options, _ *sessionOptions) { o.Ping = 50 * time.Millisecond })
	c := b.session()
	for range 5 {
		c.want("ping ")
		c.raw(frame(fin|pong_, ""))
	}
	for { // pings it has not answered may be on their way
		if got := c.next(); got == "end" {
			break
		} else if got != "ping " {
			t.Fatalf("got %q", got)
		}
	}
	b.connect("Mcp-Session-Id: " + c.id()).want("ping ")
}

// TestPingFlood: who asks for signs of life and does not read them is cut.
func TestPingFlood(t *testing.T) {
	b := newBed(t, nil)
	c := b.session()
	flood := strings.Repeat(string(frame(fin|ping_, strings.Repeat("p", 125))), 1000)
	for {
		if _, err := io.WriteString(c, flood); err != nil {
			break
		}
	}
	c.Close()
	b.connect("Mcp-Session-Id: " + c.id()).works()
}

// TestSlowReader: who does not read loses the connection, and not the session.
func TestSlowReader(t *testing.T) {
	b := newBed(t, func(_ *Options, o *sessionOptions) { o.Stream[session.WebSocket].ReplayBytes = 64 << 10 })
	c := b.session()
	for n := 0; b.counted(b.lost, "slow_reader") == 0; n++ {
		b.only().says(`{"jsonrpc":"2.0","method":"told","params":[%q]}`, strings.Repeat("x", 100<<10))
		if n > 10_000 {
			t.Fatal("a client that does not read is not cut")
		}
	}
	c.Close()
	again := b.connect("Mcp-Session-Id: " + c.id())
	again.say(echo("1", "[]"))
	for again.next() != echoed("1", "[]") {
	}
}

// TestLargeMessages go out as they are, small ones and large ones in turn.
func TestLargeMessages(t *testing.T) {
	b := newBed(t, nil)
	c := b.session()
	for _, size := range []int{0, 1, 100, 125, 126, 127, 8 << 10, 8<<10 + 1, 60_000, 65_535, 65_536, 300_000} {
		text := fmt.Sprintf(`{"jsonrpc":"2.0","method":"m","params":[%q]}`, strings.Repeat("z", size))
		b.only().says("%s", text)
		b.only().says(`{"jsonrpc":"2.0","method":"between"}`)
		c.want(text, `{"jsonrpc":"2.0","method":"between"}`)
	}
}

// TestAllAtOnce: answers, notifications and pongs share a connection, each frame
// whole and each kind in its order.
func TestAllAtOnce(t *testing.T) {
	b := newBed(t, nil)
	c := b.session()
	const calls = 300
	go func() {
		for n := range calls {
			c.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"echo","params":[%q]}`, n, strings.Repeat("x", n*n%20_000)))
			c.raw(frame(fin|ping_, fmt.Sprint(n)))
			if n%100 == 0 {
				c.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":"tell","method":"hang","params":[%d]}`, n))
			}
		}
	}()
	answers, pongs := 0, 0
	for answers < calls || pongs < calls {
		switch got := c.next(); {
		case got == fmt.Sprint("pong ", pongs):
			pongs++
		case strings.HasPrefix(got, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":["x`, answers)) || strings.HasPrefix(got, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":[""]`, answers)):
			answers++
		case strings.HasPrefix(got, `{"jsonrpc":"2.0","id":"tell","error"`): // its id is in use
		default:
			t.Fatalf("after %d answers and %d pongs: %.200q", answers, pongs, got)
		}
	}
}
