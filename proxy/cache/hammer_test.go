package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A hasty server answers each call at once and once, for whoever asks; calls
// that are given up likewise.
type hasty struct {
	who  string
	work *sync.WaitGroup
	mu   *sync.Mutex
	open map[*link.Call]bool
}

func (h hasty) Call(c *link.Call, msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	msg.Release()
	if rand.IntN(20) == 0 {
		return refusal.Links
	}
	h.mu.Lock()
	h.open[c] = true
	h.mu.Unlock()
	h.work.Go(func() {
		if !h.take(c) {
			return
		}
		scope := []string{"public", "private"}[rand.IntN(2)]
		answer := wire.Acquire(256)
		answer.B = fmt.Appendf(answer.B, `{"jsonrpc":"2.0","id":%s,%s}`, c.ID, result(scope, rand.IntN(2), `"for `+h.who+`"`))
		c.Leg.Answer(answer, metrics.OK)
	})
	return nil
}

func (h hasty) Leave(c *link.Call, why *refusal.Refusal) {
	if h.take(c) {
		c.Refuse(why)
	}
}

func (h hasty) take(c *link.Call) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.open[c]
	delete(h.open, c)
	return was
}

// TestEveryCallHasOneAnswer wants that of calls that come, leave, are refused
// and hear of changes all at once; and none gets what is another's.
func TestEveryCallHasOneAnswer(t *testing.T) {
	synctest.Test(t, hammer)
}

func hammer(t *testing.T) {
	s := New(Options{Waiters: 50})
	var mu sync.Mutex
	var clients, servers sync.WaitGroup // the bubble waits for them
	var checks []func()
	open := map[*link.Call]bool{}
	for n := range 3000 {
		clients.Go(func() {
			who := fmt.Sprintf("<%d>", n)
			l := &leg{t: t, id: fmt.Sprint(n)}
			c := &link.Call{ID: []byte(l.id), Leg: l}
			way := hasty{who: who, work: &servers, mu: &mu, open: open}
			msg, env := request(l.id, mcp.MethodListTools, fmt.Sprintf(`{"cursor":"%d",%s}`, n%7, meta), "")
			k, _ := NewKey(0, Cacheable(env.Method), msg, env)
			refused := s.Call(k, Public, way, c, msg, env)
			if rand.IntN(3) == 0 && refused == nil && !s.Leave(c, refusal.Cancelled) {
				way.Leave(c, refusal.Cancelled)
			}
			if rand.IntN(50) == 0 {
				s.forget(func(Key) bool { return true })
			}
			if rand.IntN(100) == 0 { // what is remembered goes, so that calls are joined again
				s.mu.Lock()
				clear(s.alone.until)
				s.alone.order = nil
				s.mu.Unlock()
			}
			mu.Lock()
			checks = append(checks, func() { checkOne(t, l, who, refused) })
			mu.Unlock()
		})
	}
	synctest.Wait()
	s.Close()
	for _, check := range checks {
		check()
	}
	if len(s.waiting) != 0 || len(s.flights) != 0 || len(open) != 0 {
		t.Errorf("%d calls wait, %d are fetched, %d are open", len(s.waiting), len(s.flights), len(open))
	}
}

// checkOne wants one answer, or a refusal and none; and if it is private, it is
// the caller's own.
func checkOne(t *testing.T, l *leg, who string, refused *refusal.Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch want := map[bool]int{true: 0, false: 1}[refused != nil]; {
	case len(l.answers) != want:
		t.Errorf("%s was answered %q, refused %v", who, l.answers, refused)
	case want == 1 && strings.Contains(l.answers[0], `"private"`) && !strings.Contains(l.answers[0], who):
		t.Errorf("%s was given %s", who, l.answers[0])
	case want == 1 && !strings.Contains(l.answers[0], `"id":`+l.id+`,`):
		t.Errorf("call %s was answered %s", l.id, l.answers[0])
	}
}
