package sse

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
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
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// TestMain leaves out what the HTTP server keeps for a while: the goroutine that
// cleans up after it, and its clock, which there is one of in a process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// patience bounds every wait.
const patience = 30 * time.Second

// A bed is a frontend behind an HTTP server, in front of a tool server in
// memory that answers every call but "wait".
type bed struct {
	t        *testing.T
	url      string
	sessions *session.Manager
	budget   *limits.Bytes
	frontend *Frontend

	mu   sync.Mutex
	told []string
}

func newBed(t *testing.T) *bed {
	b := &bed{t: t, budget: limits.NewBytes(1 << 20)}
	b.sessions = session.NewManager(session.Options{
		MaxSessions: 3, MaxCalls: 10,
		Stream: [session.Doors]*stream.Options{session.Streamable: b.streams(), session.SSE: b.streams()},
		Ended:  func(session.Door, int, metrics.Outcome, time.Duration) {}, Dropped: func(string) {},
	}, b)
	keeper := stream.NewKeeper(stream.KeeperOptions{WriteTimeout: patience, Idle: patience, Again: func(s *stream.Socket) { _ = s.Close() }})
	b.frontend = New(Options{Keeper: keeper, WriteTimeout: patience, Budget: b.budget, Check: scan, Refused: func(*refusal.Refusal) {}})

	server := &fasthttp.Server{Handler: b.serve, KeepHijackedConns: true}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "http://" + inner.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(sockets{inner}) }()
	t.Cleanup(func() {
		b.sessions.Close(context.Background())
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		keeper.Wait(ctx)
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-served
		if n := b.budget.InUse(); n != 0 {
			t.Errorf("%d bytes are still in flight", n)
		}
	})
	return b
}

func (b *bed) streams() *stream.Options {
	return &stream.Options{
		Replay: limits.NewBytes(1 << 20), KeepAlive: 50 * time.Millisecond, WriteTimeout: patience,
		Dropped: func(string) {}, Opened: func() {}, Closed: func() {},
	}
}

func scan(msg []byte, env *wire.Envelope) *refusal.Refusal {
	if env.Scan(msg) != nil {
		return refusal.Envelope
	}
	return nil
}

// sockets makes the connections that the gate's own listener makes.
type sockets struct{ net.Listener }

func (l sockets) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return stream.NewSocket(c, func() {}), nil
}

// serve is what is left of the gate's handler. Principal is who says so.
func (b *bed) serve(ctx *fasthttp.RequestCtx) {
	r := &Request{HTTP: ctx, Sessions: b.sessions, Principal: string(ctx.Request.Header.Peek("Principal")), Head: "X-Head: yes\r\n"}
	serve := b.frontend.Get
	if ctx.IsPost() {
		var env wire.Envelope
		r.Body, r.Env = b.body(ctx.PostBody()), &env
		serve = b.frontend.Post
		if refused := scan(r.Body.B, &env); refused != nil {
			b.t.Error(refused)
		}
	}
	if refused := serve(r); refused != nil {
		ctx.SetStatusCode(refused.Status)
		ctx.SetBodyString(refused.Reason)
	}
}

func (b *bed) body(text []byte) *wire.Buffer {
	msg := wire.Acquire(len(text))
	msg.B = append(msg.B, text...)
	msg.Charge(b.budget, int64(len(text)))
	return msg
}

// Join and Run make the bed the sharer: its places are the tool server.
func (b *bed) Join(share.Client, string, string) share.Place { return place{b} }

func (b *bed) Run(context.Context) {}

type place struct{ b *bed }

func (p place) Open(c *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	p.answer(c, `{"protocolVersion":"`+string(env.Revision)+`"}`)
	msg.Release()
}

func (p place) Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if string(env.Method) != "wait" {
		p.answer(c, `{}`)
	}
	msg.Release()
	return nil
}

func (place) answer(c *link.Call, result string) {
	answer := wire.Acquire(128)
	answer.B = append(answer.B, `{"jsonrpc":"2.0","id":`+string(c.ID)+`,"result":`+result+`}`...)
	c.Leg.Answer(answer, metrics.OK)
}

func (p place) Cancel(_ *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	return p.Tell(msg, env)
}

func (p place) Tell(msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	p.b.told = append(p.b.told, string(msg.B))
	msg.Release()
	return nil
}

func (place) Leave(calls []*link.Call, why *refusal.Refusal) {
	for _, c := range calls {
		answer := wire.Acquire(128)
		answer.B = why.AppendJSON(answer.B, c.ID)
		c.Leg.Answer(answer, metrics.Lost)
	}
}

// A client is the end of one session's stream.
type client struct {
	*bed
	principal string
	endpoint  string
	response  *http.Response
	lines     *bufio.Scanner
}

// try opens a stream, or not.
func (b *bed) try(principal string) *http.Response {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/sse", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Principal", principal)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { response.Body.Close() })
	return response
}

// open opens a session, and reads the event that it begins with.
func (b *bed) open(principal string) *client {
	b.t.Helper()
	c := &client{bed: b, principal: principal, response: b.try(principal)}
	c.lines = bufio.NewScanner(c.response.Body)
	event := c.event()
	endpoint, ok := strings.CutPrefix(event, "event: endpoint\ndata: ")
	if !ok || c.response.StatusCode != http.StatusOK {
		b.t.Fatalf("status %d, the first event %q", c.response.StatusCode, event)
	}
	c.endpoint = endpoint
	return c
}

// block reads up to the next empty line, and leaves ids out: nobody can resume.
// It is "" at the end of the stream.
func (c *client) block() string {
	c.t.Helper()
	var block []string
	for c.lines.Scan() && c.lines.Text() != "" {
		if !strings.HasPrefix(c.lines.Text(), "id:") {
			block = append(block, c.lines.Text())
		}
	}
	if err := c.lines.Err(); err != nil {
		c.t.Fatalf("the stream was cut: %v", err)
	}
	return strings.Join(block, "\n")
}

// event is the next block that is no comment.
func (c *client) event() string {
	c.t.Helper()
	for {
		if b := c.block(); !strings.HasPrefix(b, ":") {
			return b
		}
	}
}

// want wants the next message.
func (c *client) want(message string) {
	c.t.Helper()
	if got, want := c.event(), "event: message\ndata: "+message; got != want {
		c.t.Errorf("got %q, want %q", got, want)
	}
}

// post posts to a reference and returns the status and the body.
func (b *bed) post(principal, reference, body string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+reference, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Principal", principal)
	r.Close = true
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// say posts what is to be accepted.
func (c *client) say(body string) {
	c.t.Helper()
	if status, text := c.post(c.principal, c.endpoint, body); status != http.StatusAccepted || text != "Accepted" {
		c.t.Errorf("%s: status %d, %q", body, status, text)
	}
}

// initialize initializes the session.
func (c *client) initialize(revision string) *client {
	c.t.Helper()
	c.say(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + revision + `"}}`)
	c.want(`{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"` + revision + `"}}`)
	return c
}

// wait waits until condition holds.
func (b *bed) wait(what string, condition func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("waited in vain: %s", what)
		}
	}
}
