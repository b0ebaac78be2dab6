package mirror

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// A sent is a request that has reached the desk behind.
type sent struct {
	call         *link.Call
	from         share.Caller
	method, body string
	header       string
}

// answer answers it with what follows the id: a result or an error.
func (s *sent) answer(rest string) {
	msg := wire.Acquire(0)
	msg.B = append(msg.B, `{"jsonrpc":"2.0","id":`+string(s.call.ID)+`,`+rest+`}`...)
	how := metrics.OK
	if strings.HasPrefix(rest, `"error"`) {
		how = metrics.Failed
	}
	s.call.Leg.Answer(msg, how)
}

// A behind is the desk behind. serve, where it is set, is given each request on
// a goroutine of its own and answers it; the others wait in came.
type behind struct {
	came  chan *sent
	serve func(*sent) bool
	work  sync.WaitGroup

	mu   sync.Mutex
	open map[*link.Call]*sent
	gone []*link.Call
	full bool // refuse everything
}

// Call implements share.Desk.
func (b *behind) Call(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	s := &sent{c, from, string(env.Method), string(msg.B), string(msg.Header)}
	msg.Release()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full {
		return refusal.Links
	}
	b.open[c] = s
	if b.serve == nil {
		b.came <- s
		return nil
	}
	b.work.Go(func() {
		if !b.serve(s) {
			b.came <- s
		}
	})
	return nil
}

// Leave implements share.Desk.
func (b *behind) Leave(c *link.Call) {
	b.mu.Lock()
	s := b.open[c]
	delete(b.open, c)
	b.gone = append(b.gone, c)
	b.mu.Unlock()
	if s != nil {
		s.answer(`"error":{"code":408,"message":"left"}`)
	}
}

// Run implements share.Desk.
func (b *behind) Run(ctx context.Context) {
	<-ctx.Done()
	b.work.Wait()
}

// done notes that a request is answered by the test.
func (b *behind) done(s *sent) *sent {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, s.call)
	return s
}

// next is the next request that has reached the desk behind.
func (b *behind) next(t *testing.T, method string) *sent {
	t.Helper()
	select {
	case s := <-b.came:
		if s.method != method {
			t.Fatalf("%s came, want %s", s.method, method)
		}
		return b.done(s)
	case <-time.After(patience):
		t.Fatalf("%s has not come", method)
		return nil
	}
}

// reopen leaves the answer to Leave.
func (b *behind) reopen(s *sent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[s.call] = s
}

// nothing wants nothing to have come.
func (b *behind) nothing(t *testing.T) {
	t.Helper()
	select {
	case s := <-b.came:
		t.Fatalf("%s came: %s", s.method, s.body)
	default:
	}
}

// A client is a call's leg, and the call.
type client struct {
	call   link.Call
	mu     sync.Mutex
	status int
	heard  []string
	ended  chan string
}

// Send implements link.Leg.
func (c *client) Send(msg *wire.Buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, string(msg.B))
	msg.Release()
}

// Answer implements link.Leg.
func (c *client) Answer(msg *wire.Buffer, _ metrics.Outcome) {
	c.ended <- string(msg.B) // a second answer would block, and be found
	msg.Release()
}

// Reply implements link.Leg.
func (c *client) Reply(r *backend.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = r.Status
}

// answered waits for the answer and wants part in it.
func (c *client) answered(t *testing.T, part string) {
	t.Helper()
	select {
	case got := <-c.ended:
		if !strings.Contains(got, part) {
			t.Fatalf("answered with %s, want %s", got, part)
		}
	case <-time.After(patience):
		t.Fatalf("no answer; want %s", part)
	}
}

// A bed is a desk that runs, between clients and a desk behind.
type bed struct {
	*Desk
	behind *behind
	end    func() // ends Run, and waits for that
}

func newBed(t *testing.T, o Options, serve func(*sent) bool) *bed {
	t.Helper()
	b := &behind{came: make(chan *sent, 4096), serve: serve, open: make(map[*link.Call]*sent)}
	d := New(b, o)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		d.Run(ctx)
		close(over)
	}()
	end := func() {
		cancel()
		select {
		case <-over:
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	}
	t.Cleanup(end)
	return &bed{d, b, end}
}

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}`

// start sends a request; the refusal is what Call returned.
func (b *bed) start(method, params string, http bool, header string) (*client, *refusal.Refusal) {
	c := &client{ended: make(chan string, 1)}
	c.call = link.Call{ID: []byte(`"me"`), Leg: c}
	msg, env := wire.Acquire(0), new(wire.Envelope)
	msg.B = append(msg.B, `{"jsonrpc":"2.0","id":"me","method":"`+method+`","params":{`+params+`,`+meta+`}}`...)
	msg.Header = []byte(header)
	if err := env.Scan(msg.B); err != nil {
		panic(err)
	}
	return c, b.Call(&c.call, share.Caller{Principal: "ann", HTTP: http}, msg, env)
}

// tool starts the call of a tool, which must not be refused at once.
func (b *bed) tool(t *testing.T, name, arguments string, http bool, header string) *client {
	t.Helper()
	c, refused := b.start(mcp.MethodCallTool, `"name":"`+name+`","arguments":`+arguments, http, header)
	if refused != nil {
		t.Fatalf("refused: %v", refused)
	}
	return c
}

// tools are a list with one tool that asks for a header, and one that does not.
const tools = `"result":{"tools":[{"name":"plain"},{"name":"city","inputSchema":{"type":"object","properties":{"city":{"type":"string","x-mcp-header":"City"}}}}]}`

// town is a list in which that header has another name.
const town = `"result":{"tools":[{"name":"city","inputSchema":{"properties":{"city":{"type":"string","x-mcp-header":"Town"}}}}]}`
