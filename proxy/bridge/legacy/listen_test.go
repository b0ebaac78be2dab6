package legacy

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/refusal"
)

// acknowledge says that a listen is open, with these resources.
func (b *bed) acknowledge(s *sent, uris string) {
	b.t.Helper()
	b.says(s, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":0},"notifications":{"toolsListChanged":true,"resourceSubscriptions":[%s]}}}`, uris)
}

// wants wants the last request to be a listen for these things.
func (b *bed) wants(filter string) *sent {
	b.t.Helper()
	s := b.last()
	if want := `{"jsonrpc":"2.0","id":0,"method":"subscriptions/listen","params":{"_meta":{` + meta + `},"notifications":` + filter + `}}`; s.text != want || s.header != "Authorization: Bearer x\r\n" || !s.call.Listen {
		b.t.Errorf("sent %s with %q, want %s", s.text, s.header, want)
	}
	return s
}

const lists = `"toolsListChanged":true,"resourcesListChanged":true`

// TestListen: list changes from initialized on, resources from their
// subscription on, and the old listen lives until the new one is acknowledged.
func TestListen(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		b.tell("notifications/initialized")
		first := b.wants(`{` + lists + `}`)
		b.tell("notifications/initialized")
		b.tell("notifications/roots/list_changed")
		b.acknowledge(first, "")
		b.says(first, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":0,"a":1}}}`)
		if q := b.question(0); q.text != `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"a":1}}}` || q.on != nil {
			b.t.Errorf("told %s", q.text)
		}
		one, _ := b.call("1", "resources/subscribe", `{"uri":"a:1"}`)
		second := b.wants(`{` + lists + `,"resourceSubscriptions":["a:1"]}`)
		two, _ := b.call("2", "resources/subscribe", `{"uri":"a:2"}`) // while the other is on its way
		one.wantNothing()
		b.says(first, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		b.question(1)
		if first.left != 0 {
			b.t.Error("the first listen was left before the second was acknowledged")
		}
		b.acknowledge(second, `"a:1"`)
		one.want(`"result":{}`)
		if first.left != 1 {
			b.t.Error("the first listen was not left")
		}
		third := b.wants(`{` + lists + `,"resourceSubscriptions":["a:1","a:2"]}`)
		two.wantNothing()
		b.acknowledge(third, `"a:1","a:2"`)
		two.want(`"result":{}`)
		again, _ := b.call("3", "resources/subscribe", `{"uri":"a:2"}`)
		again.want(`"result":{}`)
		b.says(third, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:2"}}`)
		b.question(2)
		away, _ := b.call("4", "resources/unsubscribe", `{"uri":"a:1"}`)
		away.want(`"result":{}`)
		b.wants(`{` + lists + `,"resourceSubscriptions":["a:2"]}`)
		if n := b.count(); n != 5 {
			b.t.Errorf("%d requests", n)
		}
	})
}

// TestEarlyInitialized: a client that does not wait for the answer to its
// initialize is told of changes all the same.
func TestEarlyInitialized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{})
		b.begin("2025-11-25", `{}`)
		discover := b.last()
		b.tell("notifications/initialized")
		b.answer(discover, discovered)
		b.wants(`{` + lists + `}`)
		b.stop()
	})
}

// TestListenEndsWithItsUse: with nothing to listen for there is no listen.
func TestListenEndsWithItsUse(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		l, _ := b.call("1", "resources/subscribe", `{"uri":"a:1"}`)
		s := b.wants(`{"resourceSubscriptions":["a:1"]}`)
		b.acknowledge(s, `"a:1"`)
		l.want(`"result":{}`)
		b.call("2", "resources/unsubscribe", `{"uri":"a:1"}`)
		if n := b.count(); n != 2 || s.left != 1 {
			b.t.Errorf("%d requests, left %d times", n, s.left)
		}
	})
}

func TestSubscriptionFails(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(*bed, *sent)
		want string
	}{
		{"not acknowledged", func(b *bed, s *sent) { b.acknowledge(s, `"a:2"`) }, "-32602"},
		{"an error", func(b *bed, s *sent) {
			b.answer(s, `{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"why"}}`)
		}, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"why"}}`},
		{"ended at once", func(b *bed, s *sent) { b.result(s, `{}`) }, refusal.EndedShared.Text},
		{"ended by a notification", func(b *bed, s *sent) {
			b.says(s, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}`)
		}, refusal.EndedShared.Text},
		{"no acknowledgement", func(b *bed, _ *sent) { time.Sleep(confirmation + time.Second) }, "in time"},
		{"cancelled", func(b *bed, s *sent) {
			b.cancel(b.calls[1])
			b.acknowledge(s, `"a:1"`)
		}, refusal.Cancelled.Text},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, `{}`, func(b *bed) {
				l, _ := b.call("1", "resources/subscribe", `{"uri":"a:1"}`)
				s := b.last()
				test.f(b, s)
				l.want(test.want)
				n := b.count()
				time.Sleep(time.Hour)
				if b.count() != n { // nothing is left to listen for
					b.t.Errorf("sent %s", b.last().text)
				}
				if test.name == "cancelled" { // the server has acknowledged it all the same
					return
				}
				b.call("2", "resources/subscribe", `{"uri":"a:1"}`)
				if b.count() != n+1 {
					b.t.Error("what failed counts as subscribed")
				}
			})
		})
	}
}

// TestRefusedListen: the desk takes nothing, and a budget has no room.
func TestRefusedListen(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		b.refuse = refusal.Links
		l, _ := b.call("1", "resources/subscribe", `{"uri":"a:1"}`)
		l.want(refusal.Links.Text)
		b.refuse = nil
		rest := int64(8<<20) - b.budget.InUse() - 100
		if !b.budget.TryAcquire(rest) {
			b.t.Fatal("no room")
		}
		l, _ = b.call("2", "resources/subscribe", `{"uri":"`+strings.Repeat("a", 10)+`"}`)
		l.want("--max-bytes-in-flight")
		b.budget.Release(rest)
	})
}

func TestSubscriptionsAreBounded(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		l, _ := b.call("1", "resources/subscribe", `{"uri":"`+strings.Repeat("a", mostURI+1)+`"}`)
		l.want("1000 resources")
		for i := range mostSubscriptions {
			b.call(fmt.Sprint(i+2), "resources/subscribe", fmt.Sprintf(`{"uri":"a:%d"}`, i))
		}
		l, _ = b.call(`"one"`, "resources/subscribe", `{"uri":"a:b"}`)
		l.want(fmt.Sprint(refusal.Subscriptions.Code))
	})
}

// TestListenIsReopened: after a restart of the server, with growing pauses, and
// what was subscribed stays so.
func TestListenIsReopened(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		l, _ := b.call("1", "resources/subscribe", `{"uri":"a:1"}`)
		b.acknowledge(b.last(), `"a:1"`)
		l.want(`"result":{}`)
		b.result(b.last(), `{}`)
		for i := range 8 {
			n, start := b.count(), time.Now()
			for b.count() == n {
				time.Sleep(50 * time.Millisecond)
			}
			least := min(firstPause<<i, lastPause)
			if d := time.Since(start); d < least || d > least*3/2+100*time.Millisecond {
				b.t.Errorf("attempt %d after %v", i, d)
			}
			s := b.wants(`{"resourceSubscriptions":["a:1"]}`)
			if i < 7 {
				b.answer(s, string(refusal.Start.AppendJSON(nil, []byte("0"))))
			} else {
				b.acknowledge(s, `"a:1"`)
			}
		}
		const updated = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}}`
		if q := b.question(0); q.text != updated {
			b.t.Errorf("told %s, where the resource may have changed meanwhile", q.text)
		}
		b.says(b.last(), updated)
		b.question(1)
		b.answer(b.last(), `{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"no more"}}`)
		n := b.count()
		time.Sleep(time.Hour)
		if b.count() != n {
			b.t.Error("a server that does not know the method was asked again")
		}
	})
}

// TestListenThatDoesNotLast: a server that acknowledges each listen and ends it
// is not asked again at the same pace for ever; after one that has lasted, the
// next is opened soon.
func TestListenThatDoesNotLast(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		b.tell("notifications/initialized")
		reopened := func() time.Duration {
			b.acknowledge(b.last(), "")
			b.result(b.last(), `{}`)
			n, start := b.count(), time.Now()
			for b.count() == n {
				time.Sleep(50 * time.Millisecond)
			}
			return time.Since(start)
		}
		for i := range 8 {
			if d, least := reopened(), min(firstPause<<i, lastPause); d < least {
				b.t.Errorf("attempt %d after %v, want %v at least", i, d, least)
			}
		}
		b.acknowledge(b.last(), "")
		time.Sleep(soundListen)
		b.result(b.last(), `{}`)
		n := b.count()
		time.Sleep(2 * firstPause)
		if b.count() != n+1 {
			b.t.Error("a listen that had lasted was not opened again soon")
		}
	})
}

// TestChangesWhileNobodyListened: a server that ends a listen may have been
// started again, which its legacy client cannot know. What the filter has
// changed alone is no gap.
func TestChangesWhileNobodyListened(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		b.tell("notifications/initialized")
		b.acknowledge(b.last(), "")
		l, _ := b.call("1", "resources/subscribe", `{"uri":"a:1"}`)
		b.acknowledge(b.last(), `"a:1"`)
		l.want(`"result":{}`)
		if len(b.asked) > 0 {
			b.t.Errorf("told %s, and nobody was restarted", b.asked[0].text)
		}
		b.result(b.last(), `{}`)
		time.Sleep(2 * firstPause)
		b.acknowledge(b.last(), `"a:1"`)
		for i, want := range []string{`"method":"notifications/tools/list_changed"}`, `"params":{"uri":"a:1"}}`} {
			if q := b.question(i); !strings.HasSuffix(q.text, want) {
				b.t.Errorf("told %s, want %s", q.text, want)
			}
		}
		if n := len(b.asked); n != 2 {
			b.t.Errorf("told %d things, want what the server has acknowledged", n)
		}
	})
}

// TestLeaveWhileItListens: in every state of a listen.
func TestLeaveWhileItListens(t *testing.T) {
	for name, f := range map[string]func(*bed){
		"sent":         func(*bed) {},
		"acknowledged": func(b *bed) { b.acknowledge(b.last(), "") },
		"changing": func(b *bed) {
			b.acknowledge(b.last(), "")
			b.call("1", "resources/subscribe", `{"uri":"a:1"}`)
		},
		"between two": func(b *bed) { b.result(b.last(), `{}`) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, `{}`, func(b *bed) {
				b.tell("notifications/initialized")
				b.last()
				f(b)
				n := b.count()
				b.place.Leave(b.calls, refusal.SessionEnd)
				for _, s := range b.sent {
					if !s.over {
						b.t.Errorf("%s was not left", s.text)
					}
				}
				time.Sleep(time.Hour)
				if b.count() != n {
					b.t.Errorf("%s was sent after the end", b.last().text)
				}
			})
		})
	}
}

// TestShutdown: with the sharer's own end every place is left.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{})
		b.open("2025-11-25", `{}`)
		b.tell("notifications/initialized")
		l, _ := b.call("1", "tools/call", `{}`)
		b.last()
		b.shut()
		l.want(refusal.Draining.Text)
		for _, s := range b.sent {
			if !s.over {
				t.Errorf("%s was not left", s.text)
			}
		}
		b.stop()
	})
}
