package link

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
)

// httpPeer is a peer on which requests are cancelled by breaking them off.
type httpPeer struct {
	*peer
	legacy bool     // there is nothing to break off
	broken []string // ids
}

func (p *httpPeer) Cancel(id []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.legacy {
		return false
	}
	p.broken = append(p.broken, string(id))
	return true
}

func (p *httpPeer) wantBroken(t *testing.T, want ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.broken, want) {
		t.Errorf("broken off: %q, want %q", p.broken, want)
	}
	p.broken = nil
}

// listen makes a subscriptions/listen.
func (b *bed) listen(id string) (*Call, *leg) {
	b.t.Helper()
	msg, env := b.message(`{"jsonrpc":"2.0","id":` + id + `,"method":"subscriptions/listen"}`)
	l := &leg{}
	c := &Call{ID: []byte(id), Leg: l, Modern: true, Listen: true}
	if refused := b.Link.Call(c, msg, env); refused != nil {
		b.t.Fatal(refused)
	}
	return c, l
}

const (
	changed = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`
	ended   = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`
)

// TestListens: what a server says of a listen reaches its client alone, under
// its own id.
func TestListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{CallTimeout: time.Minute})
		o := &owner{}
		b.Lease(o)
		_, one := b.listen(`"one"`)
		_, two := b.listen(`12345678901234567890`)
		_, plain := b.begin(`{"jsonrpc":"2.0","id":"plain","method":"x"}`)
		b.say(changed, "1")
		b.say(changed, "2")
		b.say(changed, "2")
		b.say(changed, "3") // no listen
		b.say(changed, "9")
		b.say(changed, `"1"`)
		one.wantSent(t, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"one"}}}`)
		two.wantSent(t, slices.Repeat([]string{`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":12345678901234567890}}}`}, 2)...)
		if len(o.unasked) != 3 {
			t.Errorf("the owner got %q, want what names no listen", o.unasked)
		}
		plain.wantNothing(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		plain.wantAnswer(t, metrics.Timeout)

		// A listen knows no time-out, and ends in either of two ways.
		b.say(`{"jsonrpc":"2.0","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":1,"x":2}},"id":1}`)
		one.wantAnswer(t, metrics.OK, `{"jsonrpc":"2.0","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"one","x":2}},"id":"one"}`)
		b.say(ended, "2")
		two.wantAnswer(t, metrics.OK, `{"jsonrpc":"2.0","id":12345678901234567890,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":12345678901234567890}}}`)
		b.say(ended, "2")
		if len(o.unasked) != 4 {
			t.Errorf("the owner got %q", o.unasked)
		}
	})
}

// TestListenIsCancelled: a listen whose client cancels it ends soon, whatever
// the server does.
func TestListenIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{CallTimeout: time.Minute})
		c, l := b.listen("7")
		time.Sleep(time.Hour)
		msg, env := b.message(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
		if refused := b.Cancel(c, msg, env); refused != nil {
			t.Fatal(refused)
		}
		l.wantNothing(t)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		l.wantAnswer(t, metrics.Cancelled)
	})
}

// wantUnanswered wants the call to go on.
func (l *leg) wantUnanswered(t *testing.T) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) != 0 {
		t.Fatalf("answered with %q", l.answers)
	}
}

// TestExtend: a call that waits for its client's input is given its time, which
// progress does not shorten, and goes back to the usual one.
func TestExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{CallTimeout: time.Minute})
		c, l := b.begin(`{"jsonrpc":"2.0","id":"a","method":"x","params":{"_meta":{"progressToken":5}}}`)
		b.Extend(c, time.Now().Add(time.Hour))
		time.Sleep(time.Minute)
		b.say(progressNote, "1")
		time.Sleep(58 * time.Minute)
		l.wantUnanswered(t)
		b.Extend(c, time.Time{})
		time.Sleep(58 * time.Second)
		l.wantUnanswered(t)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		l.wantAnswer(t, metrics.Timeout)
		b.Extend(c, time.Now().Add(time.Hour)) // it is over
	})
}

// TestBreakOff: where a request is cancelled by breaking off its response, no
// notification goes out, and a cancelled call is over at once.
func TestBreakOff(t *testing.T) {
	const note = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}`
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{CallTimeout: time.Minute})
		if b.Relates() {
			t.Error("a connection that cannot break off relates")
		}
		p := &httpPeer{peer: b.peer}
		b.Attach(p)
		if !b.Relates() {
			t.Error("a connection that can break off does not relate")
		}
		request := `{"jsonrpc":"2.0","id":"a","method":"x"}`
		c, l := b.begin(request)
		b.peer.take()
		msg, env := b.message(note)
		if refused := b.Cancel(c, msg, env); refused != nil {
			t.Fatal(refused)
		}
		l.wantAnswer(t, metrics.Cancelled, `"id":"a"`, `"code":408`)
		p.wantBroken(t, "1")

		c, l = b.begin(request)
		b.Drop(c, refusal.SessionEnd)
		l.wantAnswer(t, metrics.Lost)
		p.wantBroken(t, "2")

		_, l = b.begin(request)
		b.peer.take()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		l.wantAnswer(t, metrics.Timeout)
		p.wantBroken(t, "3")
		b.wantSent()

		p.legacy = true
		c, _ = b.begin(request)
		b.peer.take()
		b.Drop(c, refusal.SessionEnd)
		b.wantSent(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4,"reason":"nobody waits for it any more"}}`)
	})
}

// TestRelated: what comes in the response to a call is that call's, unless it
// names another.
func TestRelated(t *testing.T) {
	b := newBed(t, Options{})
	o := &owner{}
	b.Lease(o)
	b.begin(`{"jsonrpc":"2.0","id":"other","method":"x","params":{"_meta":{"progressToken":6}}}`)
	_, l := b.begin(`{"jsonrpc":"2.0","id":"a","method":"x","params":{"_meta":{"progressToken":"mine"}}}`)
	_, listening := b.listen(`"l"`)
	related := func(id, text string) {
		t.Helper()
		msg, env := b.message(text)
		b.Related([]byte(id), msg, env)
	}
	const log = `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}`
	const odd = `{"jsonrpc":"2.0","method":"notifications/odd"}`
	related("2", log)
	related("2", odd)
	related("2", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":2,"progress":1}}`)
	related("2", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`)
	related("2", `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	related("2", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}`)
	related("9", log)
	l.wantSent(t, log, odd, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"mine","progress":1}}`)
	b.wantDropped(map[string]int{"late_progress": 1, "question": 1, "late_cancel": 1, "late_notification": 1})

	related("3", `{"jsonrpc":"2.0","method":"x","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}}`)
	listening.wantSent(t, `{"jsonrpc":"2.0","method":"x","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"l"}}}`)
	related("3", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}`)
	listening.wantAnswer(t, metrics.OK, `"resultType":"complete"`)
	related("2", `{"jsonrpc":"2.0","id":2,"result":{}}`)
	l.wantAnswer(t, metrics.OK)
	if len(o.unasked) != 0 {
		t.Errorf("the owner got %q", o.unasked)
	}
}

// TestGiveUp: a call that is given up is dropped, also where it was given up
// before it came to a link, or while it was being sent.
func TestGiveUp(t *testing.T) {
	const request = `{"jsonrpc":"2.0","id":"a","method":"x"}`
	const told = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"nobody waits for it any more"}}`
	for _, when := range []string{"before", "during", "after"} {
		t.Run(when, func(t *testing.T) {
			b := newBed(t, Options{})
			msg, env := b.message(request)
			l := &leg{}
			c := &Call{ID: []byte(`"a"`), Leg: l}
			switch when {
			case "before":
				c.GiveUp(refusal.Cancelled)
			case "during":
				b.peer.onSend = func() { c.left.Store(refusal.Cancelled) }
			}
			if refused := b.Link.Call(c, msg, env); refused != nil {
				t.Fatal(refused)
			}
			if when == "after" {
				c.GiveUp(refusal.Cancelled)
			}
			l.wantAnswer(t, metrics.Lost, `"code":408`)
			b.wantSent(`{"jsonrpc":"2.0","id":1,"method":"x"}`, told)
			c.GiveUp(refusal.Cancelled)
			b.wantSent()
		})
	}
}

// TestModernReply: a modern call's 404 is no session that is gone.
func TestModernReply(t *testing.T) {
	b := newBed(t, Options{})
	b.Share()
	msg, env := b.message(`{"jsonrpc":"2.0","id":"a","method":"x"}`)
	l := &leg{}
	if refused := b.Link.Call(&Call{ID: []byte(`"a"`), Leg: l, Modern: true}, msg, env); refused != nil {
		t.Fatal(refused)
	}
	b.Reply([]byte("1"), &backend.Reply{Status: 404, Reason: "not here"})
	l.wantAnswer(t, metrics.Lost, `"code":404`, "not here")
}
