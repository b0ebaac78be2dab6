package websocket

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"sidegate/limits"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
	"sidegate/proxy/share"
	"sidegate/proxy/stateless"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// bed is a frontend behind a real listener, in front of servers in memory that
// answer by method: see server.
type bed struct {
	t        testing.TB
	addr     string
	frontend *Frontend
	sessions *session.Manager
	keeper   *stream.Keeper
	desk     *desk // of modern calls
	calls    *stateless.Calls
	budget   *limits.Bytes
	limited  atomic.Bool // the rate is reached

	mu      sync.Mutex
	links   map[*link.Link]*server
	refused map[string]int
	open    int // sockets
	lost    map[string]int
}

const maxMessage = 64 << 10

func newBed(t testing.TB, change func(*Options, *session.Options)) *bed {
	t.Helper()
	b := &bed{
		t: t, budget: limits.NewBytes(1 << 24), links: map[*link.Link]*server{},
		refused: map[string]int{}, lost: map[string]int{},
	}
	b.keeper = stream.NewKeeper(stream.KeeperOptions{WriteTimeout: patience, Idle: patience, Again: func(s *stream.Socket) { s.Close() }})
	o := Options{
		Keeper: b.keeper, WriteTimeout: patience, Budget: b.budget, MaxMessage: maxMessage,
		Check: check, Modern: modernIs, Ping: time.Hour, // a test of pings says otherwise
		Rate: func(string, netip.Addr) *refusal.Refusal {
			if b.limited.Load() {
				return refusal.Rate
			}
			return nil
		},
		Refused: func(r *refusal.Refusal) { b.count(b.refused, r.Reason) },
	}
	so := session.Options{
		MaxSessions: 1 << 20, MaxCalls: 10_000, Idle: time.Hour, Lifetime: time.Hour,
		Ended:   func(session.Door, int, metrics.Outcome, time.Duration) {},
		Dropped: func(what string) { b.count(b.lost, what) },
	}
	so.Stream[session.WebSocket] = &stream.Options{
		ReplayEvents: 1000, ReplayBytes: 1 << 20, Replay: limits.NewBytes(1 << 24), KeepAlive: time.Hour, WriteTimeout: patience,
		Dropped: so.Dropped, Opened: func() {}, Closed: func() {},
	}
	if change != nil {
		change(&o, &so)
	}
	b.frontend = New(o)
	b.desk = &desk{open: map[string]*link.Call{}}
	b.calls = stateless.New(stateless.Options{
		Desk: b.desk, Most: 1 << 20, Ended: func(int, metrics.Outcome, time.Duration) {}, Dropped: func(what string) { b.count(b.lost, what) },
	})
	sharer := share.NewOwn(b)
	b.sessions = session.NewManager(so, sharer)
	b.serve(sharer)
	return b
}

// serve listens until the test ends, when nothing may be left.
func (b *bed) serve(sharer share.Sharer) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.addr = ln.Addr().String()
	server := &fasthttp.Server{Handler: b.handle, KeepHijackedConns: true, NoDefaultDate: true, Logger: silent{}}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
			b.moveOpen(1)
			socket := stream.NewSocket(c, func() { b.moveOpen(-1) })
			running.Go(func() { _ = server.ServeConn(socket) })
		}
	})
	running.Go(func() { sharer.Run(ctx) })
	running.Go(func() { b.sessions.Run(ctx) })
	b.t.Cleanup(func() {
		b.sessions.Close(context.Background())
		ended, cancel := context.WithTimeout(context.Background(), patience)
		b.keeper.Wait(ended)
		cancel()
		_ = ln.Close()
		stop()
		running.Wait()
		if n, calls := b.budget.InUse(), b.sessions.InFlight()+b.calls.InFlight(); n != 0 || calls != 0 || b.open != 0 {
			b.t.Errorf("%d bytes and %d calls are still in flight, %d sockets are open", n, calls, b.open)
		}
	})
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func (b *bed) moveOpen(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open += n
}

func (b *bed) count(in map[string]int, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in[what]++
}

func (b *bed) counted(in map[string]int, what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return in[what]
}

func (b *bed) handle(ctx *fasthttp.RequestCtx) {
	refused := b.frontend.Get(&Request{
		HTTP: ctx, Sessions: b.sessions, Calls: b.calls, MaxCalls: maxModern, Principal: string(ctx.Request.Header.Peek("Principal")), Head: "X-Head: carried\r\n",
	})
	if refused != nil {
		ctx.SetStatusCode(refused.Status)
		ctx.SetBody(refused.AppendJSON(nil, nil))
	}
}

// check is what the guard asks of a message.
func check(msg []byte, env *wire.Envelope) *refusal.Refusal {
	if err := env.Scan(msg); err != nil {
		return refusal.Envelope.With("%v", err)
	}
	return nil
}

// The bed is the pool of links.

func (b *bed) Full() bool { return false }

func (b *bed) TakeWarm() *link.Link {
	l, _ := b.Take(context.Background())
	return l
}

func (b *bed) Take(context.Context) (*link.Link, error) {
	l := link.New(&link.Options{CallTimeout: time.Hour, MaxMessage: 1 << 20, Dropped: func(string) {}}, func(error) {})
	s := &server{link: l, ended: make(chan struct{})}
	l.Attach(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.links[l] = s
	return l, nil
}

func (b *bed) End(l *link.Link, why *refusal.Refusal) { l.End(context.Background(), why) }

// server is a tool server in memory. It answers "echo" with its params, "tell"
// with a notification for each of the n in its params and then with n, and
// "hang" never.
type server struct {
	link   *link.Link
	ended  chan struct{}
	ending sync.Once

	mu      sync.Mutex
	heard   []string
	running bool
}

func (s *server) Send(msg *wire.Buffer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, string(msg.B))
	msg.Release()
	if !s.running {
		s.running = true
		go s.run()
	}
	return nil
}

func (s *server) Close(context.Context) { s.ending.Do(func() { close(s.ended) }) }

// run answers what was heard.
func (s *server) run() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.heard) > 0 {
		text := s.heard[0]
		s.heard = s.heard[1:]
		s.mu.Unlock()
		s.answer(text)
		s.mu.Lock()
	}
	s.heard, s.running = nil, false
}

func (s *server) answer(text string) {
	var m struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	if json.Unmarshal([]byte(text), &m) != nil || m.ID == nil {
		return
	}
	result := string(m.Params)
	switch m.Method {
	case "initialize":
		var p struct{ ProtocolVersion string }
		_ = json.Unmarshal(m.Params, &p)
		if p.ProtocolVersion == "bad" {
			s.says(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"bad"}}`, m.ID)
			return
		}
		result = fmt.Sprintf(`{"protocolVersion":%q,"capabilities":{}}`, p.ProtocolVersion)
	case "hang":
		return
	case "tell":
		var n [1]int
		_ = json.Unmarshal(m.Params, &n)
		for i := range n[0] {
			s.says(`{"jsonrpc":"2.0","method":"told","params":[%d]}`, i)
		}
	}
	s.says(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
}

func (s *server) says(format string, args ...any) {
	msg, env := wire.Acquire(256), new(wire.Envelope)
	msg.B = fmt.Appendf(msg.B, format, args...)
	if err := env.Scan(msg.B); err != nil {
		panic(err)
	}
	s.link.Message(msg, env)
}

// client is a client that writes what it likes, frame by frame, and reads with
// a decoder of its own.
type client struct {
	net.Conn
	t    testing.TB
	r    *bufio.Reader
	head http.Header
}

// dial connects and sends the handshake with further header lines. A field that
// is given with an empty value is left out.
func (b *bed) dial(header ...string) (*client, *http.Response) {
	b.t.Helper()
	raw, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(patience))
	c := &client{Conn: raw, t: b.t, r: bufio.NewReader(raw)}
	lines := []string{
		"Host: gate", "Connection: keep-alive, Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ":")
		kept := lines[:0]
		for _, l := range lines {
			if !strings.HasPrefix(l, name+":") {
				kept = append(kept, l)
			}
		}
		if lines = kept; value != "" {
			lines = append(lines, line)
		}
	}
	fmt.Fprintf(raw, "GET /ws HTTP/1.1\r\n%s\r\n\r\n", strings.Join(lines, "\r\n"))
	response, err := http.ReadResponse(c.r, &http.Request{Method: "GET"})
	if err != nil {
		b.t.Fatal(err)
	}
	c.head = response.Header
	return c, response
}

const initialize = `{"jsonrpc":"2.0","id":"first","method":"initialize","params":{"protocolVersion":"2025-11-25"}}`

// connect is dial for a handshake that has to succeed.
func (b *bed) connect(header ...string) *client {
	b.t.Helper()
	c, response := b.dial(header...)
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(response.Body)
		b.t.Fatalf("status %d: %s", response.StatusCode, body)
	}
	return c
}

// session is a connection whose session is open.
func (b *bed) session(header ...string) *client {
	b.t.Helper()
	c := b.connect(header...)
	c.say(initialize)
	c.want(`{"jsonrpc":"2.0","id":"first","result":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	return c
}

func (c *client) id() string { return c.head.Get("Mcp-Session-Id") }

// Bits and kinds of frames.
const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10

	cont  = 0
	text_ = 1
	bin   = 2
	bye   = 8
	ping_ = 9
	pong_ = 10
)

var mask = [4]byte{0x11, 0xf0, 0x80, 0x7f}

// frame is a frame of a client: its first byte and its payload, masked.
func frame(first byte, payload string) []byte {
	f := []byte{first}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(n))
	}
	f = append(f, mask[:]...)
	for i := range len(payload) {
		f = append(f, payload[i]^mask[i%4])
	}
	return f
}

func closeFrame(code int, reason string) []byte {
	return frame(fin|bye, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// say sends a message in one frame.
func (c *client) say(text string) { c.raw(frame(fin|text_, text)) }

func (c *client) raw(frames ...[]byte) {
	for _, f := range frames {
		if _, err := c.Write(f); err != nil {
			return // what the gate says to it is read later
		}
	}
}

// frame reads a frame; kind 0 is the end of the connection.
func (c *client) frame() (first byte, payload string) {
	var head [2]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, err.Error()
	}
	if head[1]&0x80 != 0 {
		c.t.Fatalf("a masked frame from a server: %x", head)
	}
	size := uint64(head[1])
	switch size {
	case 126:
		var n [2]byte
		_, _ = io.ReadFull(c.r, n[:])
		size = uint64(binary.BigEndian.Uint16(n[:]))
	case 127:
		var n [8]byte
		_, _ = io.ReadFull(c.r, n[:])
		size = binary.BigEndian.Uint64(n[:])
	}
	p := make([]byte, size)
	if _, err := io.ReadFull(c.r, p); err != nil {
		return 0, err.Error()
	}
	return head[0], string(p)
}

// next reads a frame and says in words what it is.
func (c *client) next() string {
	switch first, payload := c.frame(); first {
	case 0:
		return "end"
	case fin | text_:
		return payload
	case fin | bye:
		if payload == "" {
			return "close"
		}
		if len(payload) < 2 {
			return fmt.Sprintf("close %x", payload)
		}
		return fmt.Sprintf("close %d", binary.BigEndian.Uint16([]byte(payload)))
	case fin | ping_:
		return "ping " + payload
	case fin | pong_:
		return "pong " + payload
	default:
		return fmt.Sprintf("frame %x of %d bytes", first, len(payload))
	}
}

func (c *client) want(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.next(); got != w {
			c.t.Fatalf("got %.300q, want %.300q", got, w)
		}
	}
}

// wantError wants a refusal of the message with this raw id.
func (c *client) wantError(id string, code int) {
	c.t.Helper()
	got := c.next()
	var m struct {
		ID    json.RawMessage
		Error struct{ Code int }
	}
	if err := json.Unmarshal([]byte(got), &m); err != nil || string(m.ID) != id || m.Error.Code != code {
		c.t.Fatalf("got %.300q, want error %d for %q", got, code, id)
	}
}

func echo(id, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"echo","params":%s}`, id, params)
}

func echoed(id, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, params)
}

// works tells that the connection is as good as ever.
func (c *client) works() {
	c.t.Helper()
	c.say(echo("999", `["works"]`))
	c.want(echoed("999", `["works"]`))
}

func (b *bed) eventually(what string, done func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("in vain: %s", what)
		}
	}
}
