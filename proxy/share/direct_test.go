package share

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// directBed is a desk, over the pool of a bed.
type directBed struct {
	*bed
	desk *Direct
	stop func()
}

// inDirect runs a test of a desk in a bubble.
func inDirect(t *testing.T, o DirectOptions, test func(t *testing.T, b *directBed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &directBed{bed: newBed(t, Options{})}
		o.Dropped = b.options.Dropped
		b.desk = NewDirect(o, b.bed)
		ctx, cancel := context.WithCancel(context.Background())
		running := make(chan struct{})
		go func() { b.desk.Run(ctx); close(running) }()
		b.stop = func() { cancel(); <-running; synctest.Wait() }
		defer b.stop()
		test(t, b)
	})
}

// hears is a leg that keeps what comes before the answer.
type hears struct {
	leg
	mu   sync.Mutex
	sent []string
}

func (h *hears) Send(msg *wire.Buffer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent = append(h.sent, string(msg.B))
	msg.Release()
}

func (h *hears) wantSent(want ...string) {
	h.b.t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.sent, want) {
		h.b.t.Errorf("the call got %q, want %q", h.sent, want)
	}
}

// ask makes a call that must not be refused, and waits for what comes of that.
func (b *directBed) ask(from Caller, id, method, meta string) (*link.Call, *hears) {
	b.t.Helper()
	c, l := b.begin(from, id, method, meta)
	synctest.Wait()
	return c, l
}

// begin makes a call that must not be refused. meta is more of _meta.
func (b *directBed) begin(from Caller, id, method, meta string) (*link.Call, *hears) {
	b.t.Helper()
	msg, env := message(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"%s}}}`, id, method, meta))
	l := &hears{leg: leg{b: b.bed}}
	c := &link.Call{ID: []byte(id), Leg: l}
	if refused := b.desk.Call(c, from, msg, env); refused != nil {
		b.t.Fatal(refused)
	}
	return c, l
}

const logged = `,"io.modelcontextprotocol/logLevel":"info"`

var ann, bob = Caller{Principal: "ann"}, Caller{Principal: "bob"}

func TestDirectOneLinkForACaller(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		_, one := b.ask(ann, "1", "tools/call", "")
		_, two := b.ask(ann, "1", "tools/list", "")
		_, three := b.ask(bob, "1", "tools/list", "")
		b.wantLinks(2, 2)
		_, session := b.ask(Caller{Principal: "ann", Session: "s"}, "1", "tools/list", "")
		b.wantLinks(3, 3)
		s := b.server(1)
		if sent := s.took(); len(sent) != 2 || has(sent, "initialize") || !has(sent, `"id":1,"method":"tools/call"`) {
			t.Errorf("the server was sent %q", sent)
		}
		s.says(`{"jsonrpc":"2.0","id":2,"result":{"for":"two"}}`)
		s.says(`{"jsonrpc":"2.0","id":1,"result":{"for":"one"}}`)
		one.want(`"id":1,"result":{"for":"one"}`)
		two.want(`"id":1,"result":{"for":"two"}`)
		three.wantNothing()
		session.wantNothing()
		// The link is the same while it lives, and another is started when it has died.
		_, four := b.ask(ann, "4", "tools/list", "")
		s.dies()
		four.want(`"code":503`)
		_, five := b.ask(ann, "5", "tools/list", "")
		b.server(4).says(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		five.want(`"id":5,"result"`)
		b.wantLinks(3, 4)
		b.stop()
		three.want(`shutting down`)
		session.want(`shutting down`)
		b.wantLinks(0, 4)
		msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
		if refused := b.desk.Call(&link.Call{}, ann, msg, env); refused != refusal.Draining {
			t.Errorf("refused with %v", refused)
		}
	})
}

func TestDirectSharedLinksAreFilledInTurn(t *testing.T) {
	inDirect(t, DirectOptions{Shared: true, Links: 3}, func(t *testing.T, b *directBed) {
		for range 9 {
			b.ask(ann, "1", "x", "")
			b.ask(bob, "1", "x", "")
		}
		b.wantLinks(3, 3)
		for n := 1; n <= 3; n++ {
			if sent := b.server(n).took(); len(sent) < 5 {
				t.Errorf("link %d was sent %d calls of 18", n, len(sent))
			}
		}
	})
}

func TestDirectIdleLinksEnd(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		_, l := b.ask(ann, "1", "subscriptions/listen", "")
		time.Sleep(24 * time.Hour)
		b.wantLinks(1, 1)
		b.server(1).says(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		l.want(`"resultType":"complete"`)
		time.Sleep(linger - 2*time.Second)
		b.wantLinks(1, 1)
		time.Sleep(4 * time.Second)
		b.wantLinks(0, 1)
		if len(b.desk.stands) != 0 {
			t.Error("a caller whose links have ended is kept")
		}
	})
}

func TestDirectUnusedLinksMakeRoom(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		b.most = 2
		b.ask(ann, "1", "x", "")
		_, l := b.ask(bob, "1", "x", "")
		b.server(2).says(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		l.want("result")
		_, third := b.ask(Caller{}, "1", "x", "")
		b.server(3).says(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		third.want("result")
		b.wantLinks(2, 3)
		// Where all are in use there is a bounded wait.
		b.ask(Caller{}, "2", "x", "")
		_, late := b.ask(bob, "2", "x", "")
		_, left := b.ask(bob, "3", "x", "")
		leaves, gone := b.ask(bob, "4", "x", "")
		late.wantNothing()
		b.desk.Leave(leaves)
		b.desk.Leave(leaves)
		gone.want(`"code":408`)
		time.Sleep(time.Minute)
		late.want(`all taken`)
		left.want(`all taken`)
		// One that becomes unused meanwhile gives its place.
		_, next := b.ask(bob, "5", "x", "")
		synctest.Wait()
		b.server(3).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		time.Sleep(2 * time.Second)
		b.server(4).says(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		next.want(`"id":5`)
	})
}

func TestDirectLeave(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		c, l := b.ask(ann, "1", "x", "")
		s := b.server(1)
		s.took()
		b.desk.Leave(c)
		l.want(`"code":408`)
		if sent := s.took(); len(sent) != 1 || !strings.Contains(sent[0], `notifications/cancelled","params":{"requestId":1,`) {
			t.Errorf("the server was sent %q", sent)
		}
		b.desk.Leave(c)
		l.want(`"code":408`)
	})
}

func TestDirectLogsHaveALinkToThemselves(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		const note = `{"jsonrpc":"2.0","method":"notifications/message","params":{"n":%d}}`
		_, plain := b.ask(ann, "1", "x", "")
		_, one := b.ask(ann, "2", "x", logged)
		_, two := b.ask(ann, "3", "x", logged)
		b.wantLinks(3, 3)
		b.server(1).says(note, 1)
		b.server(2).says(note, 2)
		b.server(3).says(note, 3)
		b.server(3).says(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		plain.wantSent()
		one.wantSent(fmt.Sprintf(note, 2))
		two.wantSent(fmt.Sprintf(note, 3))
		b.server(2).says(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		one.want(`"id":2,"result"`)
		b.server(2).says(note, 4)
		one.wantSent(fmt.Sprintf(note, 2))
		if b.dropped["unshared"] != 3 {
			t.Errorf("dropped: %v", b.dropped)
		}
		// It is used again by the same caller, and by nobody else.
		_, other := b.ask(bob, "4", "x", logged)
		_, again := b.ask(ann, "5", "x", logged)
		b.wantLinks(4, 4)
		b.server(4).says(note, 6)
		b.server(2).says(note, 7)
		other.wantSent(fmt.Sprintf(note, 6))
		again.wantSent(fmt.Sprintf(note, 7))
		// One that was given up ends: its server may still be at work.
		c, _ := b.ask(ann, "6", "x", logged)
		b.wantLinks(5, 5)
		b.desk.Leave(c)
		b.wantLinks(4, 5)
	})
}

func TestDirectLogsWaitForALink(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		b.most = 1
		_, one := b.ask(ann, "1", "x", logged)
		_, two := b.ask(ann, "2", "x", logged)
		leaves, three := b.ask(ann, "3", "x", logged)
		synctest.Wait()
		b.desk.Leave(leaves)
		three.want(`"code":408`)
		two.wantNothing()
		b.server(1).says(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		one.want("result")
		b.server(1).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		two.want(`"id":2,"result"`)
		b.wantLinks(1, 1)
		b.ask(ann, "4", "x", logged)
		_, late := b.ask(bob, "5", "x", logged)
		time.Sleep(time.Minute)
		late.want("all taken")
		_, waits := b.ask(bob, "6", "x", logged)
		synctest.Wait()
		b.stop()
		waits.want("shutting down")
	})
}

func TestDirectServersMayNotAsk(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		_, l := b.ask(ann, "1", "x", "")
		s := b.server(1)
		s.took()
		s.says(`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)
		if sent := s.took(); len(sent) != 1 || !strings.Contains(sent[0], `"id":"q","error":{"code":-32601`) || b.dropped["question"] != 1 {
			t.Errorf("the server was sent %q; dropped: %v", sent, b.dropped)
		}
		l.wantNothing()
	})
}

func TestDirectAdopts(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		adopt := func() {
			l, err := b.Take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b.desk.Adopt(l)
		}
		adopt()
		b.ask(ann, "1", "x", "")
		b.wantLinks(1, 1)
		adopt()
		b.ask(bob, "1", "x", logged)
		b.wantLinks(2, 2)
		adopt()
		time.Sleep(linger + 5*time.Second)
		b.wantLinks(2, 3)
		adopt()
		b.server(4).dies()
		b.wantLinks(2, 4)
		b.stop()
		adopt()
		b.wantLinks(0, 5)
	})
}

// breaker is a server on which requests are broken off, as over HTTP.
type breaker struct{ *server }

func (breaker) Cancel([]byte) bool { return true }

// relating is a pool whose links relate.
type relating struct{ *bed }

func (r relating) Take(ctx context.Context) (*link.Link, error) {
	l, err := r.bed.Take(ctx)
	if err == nil {
		l.Attach(breaker{r.bed.servers[len(r.bed.servers)-1]})
	}
	return l, err
}

func TestDirectLogsShareWhereTheyNameTheirCalls(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		b.desk.pool = relating{b.bed}
		b.ask(ann, "1", "x", logged)
		synctest.Wait()
		b.ask(ann, "2", "x", logged)
		b.ask(ann, "3", "x", "")
		b.wantLinks(1, 1)
		if sent := b.server(1).took(); len(sent) != 3 {
			t.Errorf("the server was sent %q", sent)
		}
	})
}

// TestDirectHammer: many call and leave at once while links die; every call is
// answered once.
func TestDirectHammer(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		b.most = 4
		var all []*hears
		var mu sync.Mutex
		var work sync.WaitGroup
		for i := range 200 {
			work.Go(func() {
				meta := ""
				if i%3 == 0 {
					meta = logged
				}
				c, l := b.begin(Caller{Principal: fmt.Sprint(i % 5)}, fmt.Sprint(i), "x", meta)
				mu.Lock()
				all = append(all, l)
				mu.Unlock()
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				if i%2 == 0 {
					b.desk.Leave(c)
				}
			})
		}
		work.Go(func() {
			for range 20 {
				time.Sleep(time.Millisecond)
				b.mu.Lock()
				servers := slices.Clone(b.servers)
				b.mu.Unlock()
				for _, s := range servers[:len(servers)/2] {
					s.dies()
				}
			}
		})
		work.Wait()
		b.stop()
		for _, l := range all {
			l.want(`"jsonrpc"`)
		}
	})
}
