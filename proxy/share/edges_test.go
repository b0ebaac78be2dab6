package share

import (
	"strings"
	"sync"
	"testing"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
)

func (c *client) member() *member { return c.place.(*member) }

// opening sends an initialize and does not wait for its answer.
func opening(b *bed, caps string) (*client, *leg, *link.Call) {
	c, in := &client{b: b}, &leg{b: b}
	c.place = b.Join(c, "", "late")
	msg, env := message(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":` + caps + `}}`)
	call := &link.Call{ID: []byte(`"i"`), Leg: in, Opens: true}
	c.place.Open(call, msg, env)
	return c, in, call
}

// TestAnEmptyURI: an update must not end the gate, whatever somebody has subscribed to.
func TestAnEmptyURI(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.join("", "one", `{}`).call("1", "resources/subscribe", `{"uri":""}`)
		b.server(1).says(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:y"}}`)
	})
}

// TestAKindThatComesAgain: what is kept warm of a kind serves it again after nobody was of it.
func TestAKindThatComesAgain(t *testing.T) {
	in(t, Options{Warm: 2}, func(t *testing.T, b *bed) {
		one := b.join("", "one", asking)
		one.tool("1")
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		one.leave()
		time.Sleep(2 * linger)
		b.server(1).dies()
		time.Sleep(5 * time.Second)
		b.join("", "two", asking).tool("1")
		b.wantLinks(2, 3)
	})
}

// TestTheEndOfOneLeavesAnothersSubscription: whichever comes first.
func TestTheEndOfOneLeavesAnothersSubscription(t *testing.T) {
	bad := 0
	for range 300 {
		in(t, Options{}, func(t *testing.T, b *bed) {
			one, two := b.join("", "one", `{}`), b.join("", "two", `{}`)
			one.call("1", "resources/subscribe", `{"uri":"x:y"}`)
			var w sync.WaitGroup
			w.Go(func() { one.place.Leave(nil, refusal.SessionEnd) })
			w.Go(func() {
				msg, env := message(`{"jsonrpc":"2.0","id":5,"method":"resources/subscribe","params":{"uri":"x:y"}}`)
				two.place.Call(&link.Call{ID: []byte("5"), Leg: &leg{b: b}}, msg, env)
			})
			w.Wait()
			last := ""
			for _, s := range b.server(1).took() {
				if strings.Contains(s, "x:y") {
					last = s
				}
			}
			if strings.Contains(last, "unsubscribe") {
				bad++
			}
		})
	}
	if bad > 0 {
		t.Errorf("%d of 300: the server's last word is unsubscribe, though two has subscribed", bad)
	}
}

// TestASubscriptionThatIsNotSentIsNotCounted: so that a later end of it reaches the server.
func TestASubscriptionThatIsNotSentIsNotCounted(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		two := b.join("", "two", `{}`)
		b.server(1).link.Abort(refusal.Busy)
		if r := two.try(&leg{b: b}, "1", "resources/subscribe", `{"uri":"x:y"}`); r == nil {
			t.Error("taken")
		}
		if len(two.member().seat.Load().subscribers) != 0 {
			t.Error("a subscription that was refused is counted")
		}
	})
}

// TestLateLogs: what one client's call leaves to be said is not said to the next.
func TestLateLogs(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one, two := b.join("", "one", asking), b.join("", "two", asking)
		one.tool("1")
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		two.tool("1")
		b.server(2).says(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"of one"}}`)
		two.heard()
	})
}

// TestAStartGetsThePlaceOfAnIdleLink: a kind that comes need not wait for another's link to be idle for long.
func TestAStartGetsThePlaceOfAnIdleLink(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.most = 2
		one := b.join("", "one", asking)
		one.tool("1")
		_, in, _ := opening(b, `{}`)
		time.Sleep(time.Second)
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		time.Sleep(time.Minute)
		in.want("result")
	})
}

// TestAnInitializeThatWaitsIsAnswered: when its session ends before there is a link.
func TestAnInitializeThatWaitsIsAnswered(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.init = ""
		c, in, call := opening(b, `{}`)
		time.Sleep(time.Second)
		c.place.Leave([]*link.Call{call}, refusal.SessionEnd)
		time.Sleep(time.Second)
		in.want("error")
	})
}

// TestACallersOwnLinkIsPassedOn: to the call that waits for one.
func TestACallersOwnLinkIsPassedOn(t *testing.T) {
	in(t, Options{Principal: true}, func(t *testing.T, b *bed) {
		b.most = 1
		one := b.join("ann", "one", asking)
		one.tool("1")
		l2 := one.tool("2")
		time.Sleep(time.Second)
		b.server(1).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		time.Sleep(time.Second)
		b.server(1).says(`{"jsonrpc":"2.0","id":3,"result":{}}`)
		l2.want("result")
	})
}

// TestAQuestionIsTakenBack: also on a link that sessions of one caller share.
func TestAQuestionIsTakenBack(t *testing.T) {
	in(t, Options{Principal: true}, func(t *testing.T, b *bed) {
		one, _ := b.join("ann", "one", asking), b.join("ann", "same", asking)
		one.tool("1")
		b.server(1).says(`{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}`)
		b.server(1).says(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		one.heard(`call 1: {"jsonrpc":"2.0","id":1,"method":"elicitation/create"}`, `call 1: {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	})
}

// TestOtherNotificationsStay: on a link that many use they could be about another's call.
func TestOtherNotificationsStay(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", `{}`)
		b.server(1).took()
		for _, method := range []string{"$/cancelRequest", "resources/unsubscribe", "notifications/x"} {
			msg, env := message(`{"jsonrpc":"2.0","method":"` + method + `","params":{"id":1}}`)
			if refused := one.place.Tell(msg, env); refused != nil {
				t.Errorf("%s: %v", method, refused)
			}
		}
		if sent := b.server(1).took(); len(sent) != 1 || !has(sent, "notifications/x") {
			t.Errorf("the server was sent %q", sent)
		}
	})
}

// TestACallBesideItsInitialize: is refused or served, and nothing in between.
func TestACallBesideItsInitialize(t *testing.T) {
	for range 500 {
		in(t, Options{}, func(t *testing.T, b *bed) {
			c := &client{b: b}
			c.place = b.Join(c, "", "two")
			var w sync.WaitGroup
			w.Go(func() {
				msg, env := message(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
				c.place.Open(&link.Call{ID: []byte(`"i"`), Leg: &leg{b: b}, Opens: true}, msg, env)
			})
			w.Go(func() {
				msg, env := message(`{"jsonrpc":"2.0","id":5,"method":"tools/list"}`)
				c.place.Call(&link.Call{ID: []byte("5"), Leg: &leg{b: b}}, msg, env)
			})
			w.Wait()
		})
	}
}

// TestACallBesideItsSessionsEnd: is answered, though the end did not find it in flight.
func TestACallBesideItsSessionsEnd(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one, l := b.join("", "one", `{}`), &leg{b: b}
		msg, env := message(`{"jsonrpc":"2.0","id":5,"method":"tools/list"}`)
		call := &link.Call{ID: []byte("5"), Leg: l}
		one.place.Leave([]*link.Call{call}, refusal.SessionEnd) // admitted, and on its way into Call
		if one.place.Call(call, msg, env) == nil {
			time.Sleep(30 * time.Minute)
			l.want("error")
		}
	})
}
