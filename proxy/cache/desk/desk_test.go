package desk

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"sidegate/proxy/backend"
	"sidegate/proxy/cache"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inner is the desk behind: it answers as the test says.
type inner struct {
	mu    sync.Mutex
	asked []*link.Call
	from  []share.Caller
	left  []*link.Call
	full  bool
}

func (i *inner) Call(c *link.Call, from share.Caller, msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	i.mu.Lock()
	defer i.mu.Unlock()
	msg.Release()
	if i.full {
		return refusal.Links
	}
	i.asked, i.from = append(i.asked, c), append(i.from, from)
	return nil
}

func (i *inner) Leave(c *link.Call) {
	i.mu.Lock()
	i.left = append(i.left, c)
	i.mu.Unlock()
	c.Cancelled()
}

func (i *inner) Run(ctx context.Context) { <-ctx.Done() }

// says sends a message to a call, or answers it.
func (i *inner) says(n int, text string) {
	synctest.Wait()
	c := i.asked[n]
	msg := wire.Acquire(len(text))
	msg.B = append(msg.B, strings.ReplaceAll(text, "ID", string(c.ID))...)
	if strings.Contains(text, `"method"`) {
		c.Leg.Send(msg)
	} else {
		c.Leg.Answer(msg, metrics.OK)
	}
	synctest.Wait()
}

type leg struct {
	mu   sync.Mutex
	call *link.Call
	came []string
}

func (l *leg) Send(msg *wire.Buffer)                      { l.Answer(msg, metrics.OK) }
func (l *leg) Reply(*backend.Reply)                       {}
func (l *leg) Answer(msg *wire.Buffer, _ metrics.Outcome) { l.note(string(msg.B)); msg.Release() }

func (l *leg) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.came = append(l.came, text)
}

func (l *leg) want(t *testing.T, words ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.came) != len(words) {
		t.Fatalf("there came %q, want %q", l.came, words)
	}
	for i, w := range words {
		if !strings.Contains(l.came[i], w) {
			t.Errorf("there came %q, want %q", l.came[i], w)
		}
	}
}

func in(t *testing.T, test func(t *testing.T, d *Desk, i *inner)) {
	synctest.Test(t, func(t *testing.T) {
		i := &inner{}
		d := New(cache.New(cache.Options{}), i)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { d.Run(ctx); close(done) }()
		test(t, d, i)
		stop()
		<-done
	})
}

func (l *leg) ask(d *Desk, principal, id, method, meta, header string) *refusal.Refusal {
	msg, env := wire.Acquire(256), new(wire.Envelope)
	msg.B = fmt.Appendf(msg.B, `{"jsonrpc":"2.0","id":%s,"method":%q,"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"%s}}}`, id, method, meta)
	msg.Header = []byte(header)
	if err := env.Scan(msg.B); err != nil {
		panic(err)
	}
	l.call = &link.Call{ID: []byte(id), Leg: l}
	return d.Call(l.call, share.Caller{Principal: principal}, msg, env)
}

func ask(t *testing.T, d *Desk, principal, id, method, meta, header string) *leg {
	t.Helper()
	l := &leg{}
	if refused := l.ask(d, principal, id, method, meta, header); refused != nil {
		t.Fatal(refused)
	}
	return l
}

const public = `{"jsonrpc":"2.0","result":{"resultType":"complete","tools":[],"cacheScope":"public","ttlMs":60000},"id":ID}`

func TestPublicIsForAnybody(t *testing.T) {
	in(t, func(t *testing.T, d *Desk, i *inner) {
		ann := ask(t, d, "ann", "1", "tools/list", "", "")
		bob := ask(t, d, "bob", `"x"`, "tools/list", "", "")
		i.says(0, public)
		ann.want(t, `"id":1`)
		bob.want(t, `"id":"x"`)
		if len(i.asked) != 1 || i.from[0].Principal != "ann" {
			t.Errorf("asked for %v", i.from)
		}
		ask(t, d, "bob", "2", "tools/list", "", "Authorization: Bearer b\r\n").want(t)
		ask(t, d, "bob", "3", "tools/list", `,"progressToken":1`, "").want(t)
		ask(t, d, "bob", "4", "tools/call", "", "").want(t)
		if len(i.asked) != 4 {
			t.Errorf("%d calls went on, want 4", len(i.asked))
		}
	})
}

func TestPrivateIsForOne(t *testing.T) {
	in(t, func(t *testing.T, d *Desk, i *inner) {
		ann := ask(t, d, "ann", "1", "tools/list", "", "")
		bob := ask(t, d, "bob", "2", "tools/list", "", "")
		i.says(0, strings.Replace(public, "public", "private", 1))
		ann.want(t, `"private"`)
		bob.want(t)
		if len(i.asked) != 2 || i.from[1].Principal != "bob" || i.asked[1] != bob.call {
			t.Errorf("asked for %v", i.from)
		}
		d.Leave(bob.call) // on its own by now
		bob.want(t, `"code":408`)
		if len(i.left) != 1 || i.left[0] != bob.call {
			t.Errorf("%d calls were left", len(i.left))
		}
	})
}

func TestAListenInvalidates(t *testing.T) {
	in(t, func(t *testing.T, d *Desk, i *inner) {
		listen := ask(t, d, "ann", "1", "subscriptions/listen", "", "")
		ask(t, d, "ann", "2", "tools/list", "", "")
		i.says(1, public)
		i.says(0, `{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}`)
		ask(t, d, "ann", "3", "tools/list", "", "").want(t, `"public"`)
		i.says(0, `{"jsonrpc":"2.0","method":"notifications/tools/\u006cist_changed"}`)
		ask(t, d, "ann", "4", "tools/list", "", "").want(t)
		i.says(2, public)
		ask(t, d, "ann", "5", "tools/list", "", "").want(t, `"public"`)
		i.says(0, `{"jsonrpc":"2.0","id":ID,"result":{}}`)
		listen.want(t, "prompts", "tools", `"id":1`)
		ask(t, d, "ann", "6", "tools/list", "", "").want(t) // the server may have started again
	})
}

func TestRefusalsAndLeaving(t *testing.T) {
	in(t, func(t *testing.T, d *Desk, i *inner) {
		i.full = true
		for _, method := range []string{"tools/list", "subscriptions/listen"} {
			l := &leg{}
			if refused := l.ask(d, "", "1", method, "", ""); refused != refusal.Links {
				t.Errorf("%s: %v", method, refused)
			}
			l.want(t)
		}
		i.full = false
		one, two := ask(t, d, "", "1", "tools/list", "", ""), ask(t, d, "", "2", "tools/list", "", "")
		d.Leave(one.call)
		one.want(t, `"code":408`)
		if len(i.left) != 0 {
			t.Error("given up while one waits")
		}
		d.Leave(two.call)
		if len(i.left) != 1 || i.left[0] != i.asked[0] {
			t.Error("not given up")
		}
		ask(t, d, "", "3", "tools/list", "", "")
	})
}
