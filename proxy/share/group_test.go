package share

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
)

// in runs a test in a bubble, where time is quick.
func in(t *testing.T, o Options, test func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newBed(t, o)) })
}

// has tells whether one of the messages holds the words.
func has(messages []string, words string) bool {
	return slices.ContainsFunc(messages, func(m string) bool { return strings.Contains(m, words) })
}

func TestOneLinkForClientsOfAKind(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", `{}`)
		two := b.join("", "two", `{ }`)
		b.wantLinks(1, 1)
		s := b.server(1)
		if sent := s.took(); len(sent) != 2 || !strings.Contains(sent[0], `"clientInfo":{"name":"sidegate","version":"test"}`) ||
			!strings.Contains(sent[1], "notifications/initialized") {
			t.Errorf("the server was sent %q", sent)
		}
		first, second := one.tool("0"), two.tool("0")
		s.says(`{"jsonrpc":"2.0","id":3,"result":{"for":"two"}}`)
		s.says(`{"jsonrpc":"2.0","id":2,"result":{"for":"one"}}`)
		first.want(`"id":0,"result":{"for":"one"}`)
		second.want(`"id":0,"result":{"for":"two"}`)
		b.join("", "three", `{"experimental":{"x":{}}}`)
		b.wantLinks(2, 2)
	})
}

func TestSlotsAreFilledInTurn(t *testing.T) {
	in(t, Options{Links: 3}, func(t *testing.T, b *bed) {
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			b.join("", id, `{}`)
		}
		b.wantLinks(3, 3)
	})
}

func TestTasksAreNotShared(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		c := b.join("", "one", `{}`)
		if refused := c.try(&leg{b: b}, "1", "tasks/list", `{}`); refused != refusal.Unshared {
			t.Errorf("tasks/list: %v", refused)
		}
	})
}

func TestAskingCallsHaveALinkToThemselves(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one, two := b.join("", "one", asking), b.join("", "two", asking)
		a, z := one.tool("7"), two.tool("7")
		b.wantLinks(3, 3)
		b.server(2).says(`{"jsonrpc":"2.0","id":"q","method":"elicitation/create"}`)
		b.server(3).says(`{"jsonrpc":"2.0","id":"q","method":"elicitation/create"}`)
		one.heard(`call 7: {"jsonrpc":"2.0","id":"q","method":"elicitation/create"}`)
		two.heard(`call 7: {"jsonrpc":"2.0","id":"q","method":"elicitation/create"}`)
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		a.want(`"id":7,"result"`)
		z.wantNothing()
		if len(one.settled) != 1 {
			t.Error("the client was not told that it has to do with the link no more")
		}
		// What is free is used again.
		two.tool("8")
		b.wantLinks(3, 3)
		if sent := b.server(2).took(); !has(sent, `"id":3,"method":"tools/call"`) {
			t.Errorf("the free link was sent %q", sent)
		}
		// All else shares.
		two.call("9", "tools/list", `{}`)
		if sent := b.server(1).took(); !has(sent, `"tools/list"`) {
			t.Errorf("the shared link was sent %q", sent)
		}
	})
}

// A link whose server may still be at work for somebody is nobody else's.
func TestUncleanLinksEnd(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", asking)
		l := one.tool("1")
		msg, env := message(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		if refused := one.place.Cancel(one.calls[0], msg, env); refused != nil {
			t.Fatal(refused)
		}
		time.Sleep(5 * time.Second)
		l.want(`"code":408`)
		b.wantLinks(1, 2)

		two := b.join("", "two", asking)
		two.tool("1")
		two.leave()
		b.wantLinks(1, 3)
		if sent := b.server(3).took(); !has(sent, `notifications/cancelled`) {
			t.Errorf("the server was sent %q", sent)
		}
	})
}

func TestALinkThatWasToldRootsStaysWithWhoToldIt(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one, two, same := b.join("ann", "one", asking), b.join("bob", "two", asking), b.join("ann", "same", asking)
		l := one.tool("1")
		b.server(2).says(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		l.want(`"result"`)
		two.tool("1")
		b.wantLinks(3, 3)
		same.tool("1")
		b.wantLinks(3, 3)
		// Callers without a name cannot be told apart: then it is the session's.
		nobody, other := b.join("", "x", asking), b.join("", "y", asking)
		l = nobody.tool("1")
		b.server(4).says(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
		b.server(4).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		l.want(`"result"`)
		other.tool("1")
		b.wantLinks(5, 5)
		nobody.leave()
		b.wantLinks(4, 5)
	})
}

func TestQuestionsOutsideOfACall(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", asking)
		l := one.tool("1")
		s := b.server(2)
		s.says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		l.want(`"result"`)
		s.took()
		s.says(`{"jsonrpc":"2.0","id":"late","method":"roots/list"}`)
		time.Sleep(4 * time.Second)
		one.heard()
		one.tool("2")
		one.heard(`call 2: {"jsonrpc":"2.0","id":"late","method":"roots/list"}`)
		s.wantTook() // the server would not have its answer before the call
		one.answer("late")
		s.wantTook(`{"jsonrpc":"2.0","id":"late","result":{}}`, `"method":"tools/call"`)
		s.says(`{"jsonrpc":"2.0","id":3,"result":{}}`)
		synctest.Wait()
		s.took()
		s.says(`{"jsonrpc":"2.0","id":"never","method":"elicitation/create"}`)
		s.says(`{"jsonrpc":"2.0","id":"taken back","method":"elicitation/create"}`)
		s.says(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"taken back"}}`)
		time.Sleep(6 * time.Second)
		if sent := s.took(); len(sent) != 1 || !strings.Contains(sent[0], `"id":"never","error":{"code":-32601`) {
			t.Errorf("the server was answered %q", sent)
		}
		// One that the client cannot answer is not put to it.
		one.tool("3")
		s.took()
		s.says(`{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage"}`)
		one.heard()
		if sent := s.took(); len(sent) != 1 || !strings.Contains(sent[0], `"id":5,"error":{"code":-32601`) {
			t.Errorf("the server was answered %q", sent)
		}
	})
}

// TestQuestionsBeforeACall: a call waits for what its server has asked before,
// but not for ever, and not when it is cancelled; and what was asked is asked
// once more where the call was over too soon.
func TestQuestionsBeforeACall(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", asking)
		l := one.tool("1")
		s := b.server(2)
		s.took()
		s.says(`{"jsonrpc":"2.0","id":"early","method":"roots/list"}`)
		one.heard(`call 1: {"jsonrpc":"2.0","id":"early","method":"roots/list"}`)
		one.open = []Open{{ID: []byte(`"early"`), Roots: true}}
		s.says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		l.want(`"result"`)
		s.wantTook()
		cancelled := one.tool("2")
		one.heard(`call 2: {"jsonrpc":"2.0","id":"early","method":"roots/list"}`)
		one.cancel()
		cancelled.want(`"error":{"code":408`)
		one.answer("early")
		s.wantTook(`{"jsonrpc":"2.0","id":"early","result":{}}`)
		s.says(`{"jsonrpc":"2.0","id":"silence","method":"roots/list"}`)
		l = one.tool("3")
		one.heard(`call 3: {"jsonrpc":"2.0","id":"silence","method":"roots/list"}`)
		s.wantTook()
		time.Sleep(attendance)
		s.wantTook(`"method":"tools/call"`)
		one.open = []Open{{ID: []byte(`"silence"`), Roots: true}}
		s.says(`{"jsonrpc":"2.0","id":3,"result":{}}`)
		l.want(`"result"`)
		one.tool("4") // it is asked once more, and then no more
		one.heard(`call 4: {"jsonrpc":"2.0","id":"silence","method":"roots/list"}`)
		time.Sleep(attendance)
		s.wantTook(`"method":"tools/call"`)
		one.open = []Open{{ID: []byte(`"silence"`), Roots: true}}
		s.says(`{"jsonrpc":"2.0","id":4,"result":{}}`)
		s.wantTook(`"id":"silence","error":{"code":-32601`)
	})
}

// TestALateQuestionIsNoOtherClients: what a server asks behind its answer may be
// about the call that it has answered. It does not go to who uses the link next.
func TestALateQuestionIsNoOtherClients(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one, two := b.join("", "one", asking), b.join("", "two", asking)
		l := one.tool("1")
		s := b.server(2)
		s.says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		l.want(`"result"`)
		s.took()
		s.says(`{"jsonrpc":"2.0","id":"of one","method":"elicitation/create"}`)
		s.says(`{"jsonrpc":"2.0","id":"of all","method":"roots/list"}`)
		two.tool("1")
		b.wantLinks(2, 2)
		two.heard(`call 1: {"jsonrpc":"2.0","id":"of all","method":"roots/list"}`)
		if sent := s.took(); !has(sent, `"id":"of one","error":{"code":-32601`) {
			t.Errorf("the server was answered %q", sent)
		}
	})
	in(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", asking)
		one.tool("1")
		s := b.server(2)
		s.says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		synctest.Wait()
		s.says(`{"jsonrpc":"2.0","id":"of one","method":"elicitation/create"}`)
		one.tool("2")
		one.heard(`call 2: {"jsonrpc":"2.0","id":"of one","method":"elicitation/create"}`)
	})
}

func TestWhoHearsWhat(t *testing.T) {
	const (
		changed = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
		updated = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a/b"}}`
		logged  = `{"jsonrpc":"2.0","method":"notifications/message","params":{}}`
	)
	in(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", asking)
		s := b.server(1)
		s.says("%s", logged) // nobody else has ever used the link
		one.heard(logged)
		two := b.join("", "two", asking)
		s.says("%s", logged)
		one.heard()
		two.heard()
		l := one.call("1", "resources/subscribe", `{"uri":"file:///a"}`)
		s.says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		l.want(`"result"`)
		s.says("%s", updated)
		s.says("%s", changed)
		one.heard(updated, changed)
		two.heard(changed)
		two.tool("5")
		b.server(2).says("%s", logged)
		b.server(2).says("%s", changed)
		b.server(2).says("%s", updated)
		one.heard(changed, updated)
		two.heard("call 5: "+logged, "call 5: "+changed)
	})
	in(t, Options{Principal: true}, func(t *testing.T, b *bed) {
		one, same, other := b.join("ann", "one", `{}`), b.join("ann", "same", `{}`), b.join("bob", "other", `{}`)
		b.wantLinks(2, 2)
		b.server(1).says("%s", logged)
		b.server(1).says("%s", changed)
		one.heard(changed)
		same.heard(changed)
		other.heard()
	})
}

func TestSubscriptionsAreCounted(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one, two := b.join("", "one", `{}`), b.join("", "two", `{}`)
		s := b.server(1)
		const uri = `{"uri":"x:y"}`
		number := 1
		forwarded := func(l *leg, method string) {
			t.Helper()
			if sent := s.took(); !has(sent, method) {
				t.Errorf("%s did not reach the server: %q", method, sent)
			}
			number++
			s.says(`{"jsonrpc":"2.0","id":%d,"result":{}}`, number)
			l.want(`"result":{}`)
		}
		s.took()
		forwarded(one.call("1", "resources/subscribe", uri), "resources/subscribe")
		forwarded(two.call("1", "resources/subscribe", uri), "resources/subscribe")
		one.call("2", "resources/unsubscribe", uri).want(`"id":2,"result":{}`)
		if sent := s.took(); len(sent) != 0 {
			t.Errorf("the server was sent %q though another client has subscribed", sent)
		}
		forwarded(two.call("2", "resources/unsubscribe", uri), "resources/unsubscribe")
		forwarded(one.call("3", "resources/subscribe", uri), "resources/subscribe")
		one.leave()
		if sent := s.took(); !has(sent, "resources/unsubscribe") {
			t.Errorf("the end of the last subscriber was told by %q", sent)
		}
	})
}

func TestLevelsAreForLinksOfOneClient(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one, two := b.join("", "one", `{}`), b.join("", "two", `{}`)
		if refused := one.try(&leg{b: b}, "1", "logging/setLevel", `{"level":"loud"}`); refused == nil || refused.Code != -32602 {
			t.Errorf("a level that is none: %v", refused)
		}
		b.server(1).took()
		one.call("1", "logging/setLevel", `{"level":"debug"}`).want(`"id":1,"result":{}`)
		if sent := b.server(1).took(); len(sent) != 0 {
			t.Errorf("the shared link was told: %q", sent)
		}
		one.tool("2")
		two.tool("2")
		b.wantLinks(2, 2)
		if sent := b.server(2).took(); !has(sent, `"method":"logging/setLevel","params":{"level":"debug"}`) {
			t.Errorf("the leased link was sent %q", sent)
		}
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		if sent := b.server(2).took(); !has(sent, `"method":"tools/call"`) {
			t.Errorf("then the leased link was sent %q", sent)
		}
	})
}

// TestLevelGoesBeforeItsCall: the call is sent when the level is in force, and
// can be cancelled and lost until then.
func TestLevelGoesBeforeItsCall(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", `{}`)
		one.call("1", "logging/setLevel", `{"level":"debug"}`)
		cancelled := one.tool("2")
		if sent := b.server(2).took(); has(sent, `"tools/call"`) {
			t.Errorf("the call did not wait: %q", sent)
		}
		msg, env := message(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
		if refused := one.place.Cancel(one.calls[1], msg, env); refused != nil {
			t.Fatal(refused)
		}
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"no"}}`) // the answer does not matter
		cancelled.want(`"error":{"code":408`)
		l := one.tool("3") // on the same link, which knows the level
		if sent := b.server(2).took(); !has(sent, `"tools/call"`) || has(sent, "setLevel") {
			t.Errorf("the link was sent %q", sent)
		}
		b.server(2).says(`{"jsonrpc":"2.0","id":3,"result":{}}`)
		l.want(`"id":3,"result"`)

		two := b.join("", "two", `{}`)
		two.call("1", "logging/setLevel", `{"level":"info"}`)
		l = two.tool("2")
		b.server(3).dies()
		l.want(`"code":503`)
	})
}

func TestDeadLinksAreReplaced(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", `{}`)
		l := one.call("1", "resources/subscribe", `{"uri":"x:y"}`)
		b.server(1).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		l.want("result")
		l = one.tool("2")
		time.Sleep(time.Minute)
		b.server(1).dies()
		l.want(`"code":503`)
		b.wantLinks(1, 2) // at once: it had lived for long
		if sent := b.server(2).took(); !has(sent, `"resources/subscribe"`) {
			t.Errorf("the new link was sent %q", sent)
		}
		b.server(2).dies()
		b.wantLinks(0, 2) // by the next call: it had not
		l = one.tool("3")
		b.server(3).says(`{"jsonrpc":"2.0","id":3,"result":{}}`)
		l.want(`"id":3,"result"`)
		if one.lost {
			t.Error("the session was ended with the link")
		}
	})
}

func TestWhenAllAreLeased(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.most = 2
		one, two, three := b.join("", "one", asking), b.join("", "two", asking), b.join("", "three", asking)
		a := one.tool("1")
		second, third := two.tool("1"), three.tool("1")
		time.Sleep(time.Second)
		second.wantNothing()
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		a.want("result")
		if sent := b.server(2).took(); !has(sent, `"id":3,"method":"tools/call"`) {
			t.Errorf("the link that became free was sent %q", sent)
		}
		time.Sleep(time.Minute)
		third.want(`"code":503`)
		if third.status != 503 {
			t.Errorf("refused with status %d", third.status)
		}
		second.wantNothing()
	})
}

// A kind that nobody is of any more gives its place to another.
func TestIdleLinksMakeRoom(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.most = 1
		b.join("", "one", `{}`).leave()
		b.join("", "two", `{"roots":{}}`)
		b.wantLinks(1, 2)
	})
	in(t, Options{Warm: 1}, func(t *testing.T, b *bed) {
		b.join("", "one", `{}`).leave()
		b.join("", "two", `{"roots":{}}`).leave()
		b.wantLinks(2, 2)
		time.Sleep(2 * linger)
		b.wantLinks(1, 2)
	})
}

func TestAFailedInitializeIsTheServersAnswer(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.init = `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}`
		c := &client{b: b}
		c.place = b.Join(c, "", "one")
		l := &leg{b: b}
		msg, env := message(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		c.place.Open(&link.Call{ID: []byte(`"i"`), Leg: l, Opens: true}, msg, env)
		l.want(`{"jsonrpc":"2.0","id":"i","error":{"code":-32000,"message":"no"}}`)
		b.wantLinks(0, 1)
	})
}

// The caller's own link serves its asking calls too, one at a time.
func TestPrincipalsOwnLink(t *testing.T) {
	in(t, Options{Principal: true}, func(t *testing.T, b *bed) {
		one, same := b.join("ann", "one", asking), b.join("ann", "same", asking)
		one.tool("1")
		b.wantLinks(1, 1)
		same.tool("1")
		b.wantLinks(2, 2)
		b.server(1).says(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
		one.heard(`call 1: {"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
		same.heard()
	})
}

// The caller's own link that ends in mid-call is not given to the call that
// waits for it, nor is what it asked last.
func TestALinkThatEndsIsNotPassedOn(t *testing.T) {
	in(t, Options{Principal: true}, func(t *testing.T, b *bed) {
		b.most = 1
		one, same := b.join("ann", "one", asking), b.join("ann", "same", asking)
		a := one.tool("1")
		next := same.tool("1")
		b.server(1).says(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
		one.heard(`call 1: {"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
		one.open = []Open{{ID: []byte("1"), Roots: true}}
		b.server(1).dies()
		a.want(`"code":503`)
		same.heard()
		time.Sleep(time.Second)
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		next.want("result")
	})
}
