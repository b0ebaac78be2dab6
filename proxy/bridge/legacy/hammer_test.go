package legacy

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
)

// TestEveryCallIsAnsweredOnce: with answers, questions, cancellations and
// subscriptions at the same time, and the session's end among them.
func TestEveryCallIsAnsweredOnce(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, Options{Answers: time.Minute})
			b.open("2025-11-25", everything)
			b.tell("notifications/initialized")
			done := make(chan struct{})
			var work sync.WaitGroup
			work.Go(func() { b.serves(done) })
			work.Go(func() { b.replies(done) })
			var legs []*leg
			for i := range 100 {
				l := &leg{b: b}
				c := &link.Call{ID: []byte(fmt.Sprint(i)), Leg: l}
				legs = append(legs, l)
				method, params := "tools/call", `{}`
				if i%7 == 0 {
					method, params = "resources/subscribe", fmt.Sprintf(`{"uri":"a:%d"}`, i%21)
				}
				work.Go(func() {
					msg, env := b.message(`{"jsonrpc":"2.0","id":` + string(c.ID) + `,"method":"` + method + `","params":` + params + `}`)
					if refused := b.place.Call(c, msg, env); refused != nil {
						c.Refuse(refused)
						return
					}
					time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
					if i%3 == 0 {
						b.cancel(c)
					}
				})
			}
			time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
			b.place.Leave(nil, refusal.SessionEnd)
			synctest.Wait()
			close(done)
			work.Wait()
			for i, l := range legs {
				if len(l.answers) != 1 {
					t.Errorf("call %d was answered with %q", i, l.answers)
				}
			}
			b.stop()
		})
	}
}

// serves answers at random what has come to the desk.
func (b *bed) serves(done chan struct{}) {
	results := []string{`{"resultType":"complete"}`, `{"resultType":"input_required","requestState":"s"}`,
		`{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"},"b":{"method":"sampling/createMessage"}}}`}
	for i := 0; ; {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
		b.mu.Lock()
		var s *sent
		if i < len(b.sent) {
			s = b.sent[i]
			i++
		}
		over := s == nil || s.over
		if s != nil && !s.call.Listen {
			s.over = true
		}
		b.mu.Unlock()
		switch {
		case over:
		case s.call.Listen:
			b.acknowledge(s, `"a:0","a:7"`)
		default:
			msg, env := b.message(`{"jsonrpc":"2.0","id":0,"result":` + results[rand.IntN(len(results))] + `}`)
			msg.Splice(env.ID, s.call.ID)
			s.call.Leg.Answer(msg, metrics.OK)
		}
	}
}

// replies answers at random what the client is asked.
func (b *bed) replies(done chan struct{}) {
	for i := 0; ; {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
		b.mu.Lock()
		var q *asked
		if i < len(b.asked) {
			q = b.asked[i]
			i++
		}
		b.mu.Unlock()
		switch {
		case q == nil || q.from == nil:
		case rand.IntN(8) == 0:
			b.reply(q, `"error":{"code":1,"message":"no"}`)
		default:
			b.reply(q, `"result":{}`)
		}
	}
}
