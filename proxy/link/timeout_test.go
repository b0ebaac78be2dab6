package link

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
)

// TestCallTimeout: the time runs anew with each progress, the server is told by
// the link's number, and what it says afterwards reaches nobody.
func TestCallTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{CallTimeout: time.Minute})
		_, plain := b.begin(`{"jsonrpc":"2.0","id":"plain","method":"x"}`)
		_, busy := b.begin(`{"jsonrpc":"2.0","id":"busy","method":"x","params":{"_meta":{"progressToken":5}}}`)
		b.peer.take()
		time.Sleep(50 * time.Second)
		b.say(progressNote, "2")
		plain.wantNothing(t)
		time.Sleep(12 * time.Second)
		synctest.Wait()
		plain.wantAnswer(t, metrics.Timeout, `"id":"plain"`, `"code":504`)
		b.wantSent(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"no answer in time"}}`)
		time.Sleep(47 * time.Second) // 109 s, and 59 since the progress
		synctest.Wait()
		b.wantSent()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		busy.wantAnswer(t, metrics.Timeout, `"id":"busy"`)
		b.wantSent(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2,"reason":"no answer in time"}}`)
		b.say(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		b.wantDropped(map[string]int{"late_answer": 1})

		// The timer sleeps while nothing is in flight, and is set again.
		time.Sleep(time.Hour)
		_, later := b.begin(`{"jsonrpc":"2.0","id":"later","method":"x"}`)
		time.Sleep(58 * time.Second)
		later.wantNothing(t)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		later.wantAnswer(t, metrics.Timeout)
	})
}

// TestCancel: the server is told by the link's number. Its answer still counts
// for a while; then the call is over, and the server is not told twice.
func TestCancel(t *testing.T) {
	const note = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s,"reason":"r"}}`
	cancel := func(b *bed, c *Call) *refusal.Refusal {
		msg, env := b.message(fmt.Sprintf(note, c.ID))
		return b.Cancel(c, msg, env)
	}
	setUp := func(t *testing.T, timeout time.Duration) (*bed, *Call, *leg) {
		b := newBed(t, Options{CallTimeout: timeout})
		b.begin(`{"jsonrpc":"2.0","id":"other","method":"x"}`)
		c, l := b.begin(`{"jsonrpc":"2.0","id":"mine","method":"x","params":{"_meta":{"progressToken":5}}}`)
		b.peer.take()
		return b, c, l
	}
	for _, test := range []struct {
		name    string
		timeout time.Duration
		then    func(t *testing.T, b *bed, c *Call, l *leg)
	}{
		{"no answer", time.Hour, func(t *testing.T, b *bed, c *Call, l *leg) {
			time.Sleep(cancelGrace - time.Millisecond)
			l.wantNothing(t)
			time.Sleep(1100 * time.Millisecond)
			synctest.Wait()
			l.wantAnswer(t, metrics.Cancelled, `"id":"mine"`, `"code":408`)
			b.wantSent()
			if refused := cancel(b, c); refused != nil {
				t.Error(refused)
			}
			b.wantDropped(map[string]int{"late_cancel": 1})
		}},
		{"an answer all the same", time.Hour, func(t *testing.T, b *bed, c *Call, l *leg) {
			b.say(`{"jsonrpc":"2.0","id":2,"result":{}}`)
			l.wantAnswer(t, metrics.OK, `"id":"mine"`)
			time.Sleep(time.Minute)
			synctest.Wait()
			l.wantAnswer(t, metrics.OK)
		}},
		{"again and again", time.Hour, func(t *testing.T, b *bed, c *Call, l *leg) {
			for range 10 {
				time.Sleep(time.Second)
				cancel(b, c)
			}
			synctest.Wait()
			l.wantAnswer(t, metrics.Cancelled)
			b.wantSent()
			b.wantDropped(map[string]int{"late_cancel": 10})
		}},
		{"with progress", time.Hour, func(t *testing.T, b *bed, c *Call, l *leg) {
			for range 10 {
				time.Sleep(time.Second)
				b.say(progressNote, "2")
			}
			synctest.Wait()
			l.wantAnswer(t, metrics.Cancelled)
		}},
		{"shortly before the time is up", time.Second, func(t *testing.T, b *bed, c *Call, l *leg) {
			time.Sleep(1200 * time.Millisecond)
			synctest.Wait()
			l.wantAnswer(t, metrics.Cancelled)
			if sent := b.peer.take(); len(sent) != 1 || !strings.Contains(sent[0], `"requestId":1,`) {
				t.Errorf("the server got %q, want the other call's end alone", sent)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, c, l := setUp(t, test.timeout)
				if refused := cancel(b, c); refused != nil {
					t.Fatal(refused)
				}
				b.wantSent(fmt.Sprintf(note, "2"))
				test.then(t, b, c, l)
			})
		})
	}
	t.Run("a server that does not read", func(t *testing.T) {
		b, c, l := setUp(t, time.Hour)
		b.peer.fail = backend.ErrFull
		if refused := cancel(b, c); refused != refusal.Busy {
			t.Errorf("refused with %v", refused)
		}
		b.peer.fail = nil
		if refused := cancel(b, c); refused != nil { // the client's second try
			t.Errorf("refused with %v", refused)
		}
		b.wantSent(fmt.Sprintf(note, "2"))
		l.wantNothing(t)
	})
}
