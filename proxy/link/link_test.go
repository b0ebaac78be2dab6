package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sidegate/proxy/backend"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
)

// TestIDsAreExchanged: the server sees the link's numbers and nothing else
// changed; the client gets its own back, byte for byte.
func TestIDsAreExchanged(t *testing.T) {
	for _, c := range []struct{ name, request, sent, answer, got string }{
		{"an integer",
			`{"jsonrpc":"2.0","id":7,"method":"x"}`, `{"jsonrpc":"2.0","id":1,"method":"x"}`,
			`{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":7,"result":{}}`},
		{"past 2^53, behind the params",
			`{"method":"x","params":{"id":7},"jsonrpc":"2.0","id":90071992547409931234}`, `{"method":"x","params":{"id":7},"jsonrpc":"2.0","id":1}`,
			`{"result":{"id":1},"id":1,"jsonrpc":"2.0"}`, `{"result":{"id":1},"id":90071992547409931234,"jsonrpc":"2.0"}`},
		{"a string with an escape",
			`{"jsonrpc":"2.0","id":"\u00e9\"","method":"x"}`, `{"jsonrpc":"2.0","id":1,"method":"x"}`,
			`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":""}}`, `{"jsonrpc":"2.0","id":"\u00e9\"","error":{"code":-1,"message":""}}`},
		{"an empty string",
			`{"jsonrpc":"2.0","id":"","method":"x"}`, `{"jsonrpc":"2.0","id":1,"method":"x"}`,
			`{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":"","result":{}}`},
		{"a token behind the id",
			`{"jsonrpc":"2.0","id":77,"method":"x","params":{"_meta":{"progressToken":"77"}}}`, `{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1}}}`,
			`{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":77,"result":{}}`},
		{"a token before the id",
			`{"params":{"_meta":{"progressToken":0}},"jsonrpc":"2.0","method":"x","id":-5}`, `{"params":{"_meta":{"progressToken":1}},"jsonrpc":"2.0","method":"x","id":1}`,
			`{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":-5,"result":{}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, Options{})
			_, l := b.begin(c.request)
			b.wantSent(c.sent)
			b.say("%s", c.answer)
			how := metrics.OK
			if strings.Contains(c.answer, `"error"`) {
				how = metrics.Failed
			}
			l.wantAnswer(t, how)
			if l.answers[0] != c.got {
				t.Errorf("the client got %s, want %s", l.answers[0], c.got)
			}
		})
	}
}

// TestAnswersOfNobody: what answers no call in flight reaches nobody.
func TestAnswersOfNobody(t *testing.T) {
	for _, id := range []string{"0", "2", "-1", `"1"`, "18446744073709551616", "100000000000000000000000000000", "null"} {
		b := newBed(t, Options{})
		_, l := b.begin(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
		b.say(`{"jsonrpc":"2.0","id":%s,"error":{"code":1,"message":"m"}}`, id)
		l.wantNothing(t)
		b.wantDropped(map[string]int{"late_answer": 1})
	}
	t.Run("the second one", func(t *testing.T) {
		b := newBed(t, Options{})
		_, l := b.begin(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
		b.say(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		b.say(`{"jsonrpc":"2.0","id":1,"result":{"again":true}}`)
		l.wantAnswer(t, metrics.OK, `"result":{}`)
		b.wantDropped(map[string]int{"late_answer": 1})
	})
}

const progressNote = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}`

func TestProgress(t *testing.T) {
	b := newBed(t, Options{})
	_, one := b.begin(`{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":"same"}}}`)
	_, two := b.begin(`{"jsonrpc":"2.0","id":2,"method":"x","params":{"_meta":{"progressToken":"same"}}}`)
	_, none := b.begin(`{"jsonrpc":"2.0","id":3,"method":"x"}`)
	b.say(progressNote, "2")
	two.wantSent(t, fmt.Sprintf(progressNote, `"same"`))
	one.wantNothing(t)
	for _, token := range []string{"3", "4", `"2"`, `"same"`} { // a call without a token, none, and two that are no numbers of ours
		b.say(progressNote, token)
	}
	b.wantDropped(map[string]int{"late_progress": 4})
	b.say(`{"jsonrpc":"2.0","id":2,"result":{}}`)
	b.say(progressNote, "2")
	b.wantDropped(map[string]int{"late_progress": 1})
	none.wantNothing(t)
}

// TestUnsent: a call that cannot be sent is refused, and its leg hears nothing
// of it; unless the link's end came first, which answers it.
func TestUnsent(t *testing.T) {
	for _, c := range []struct {
		name string
		fail error
		want *refusal.Refusal
	}{
		{"full", fmt.Errorf("wrapped: %w", backend.ErrFull), refusal.Busy},
		{"closed", backend.ErrClosed, refusal.Ended},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, Options{})
			b.peer.fail = c.fail
			_, l, refused := b.start(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
			if refused != c.want {
				t.Errorf("refused with %v, want %v", refused, c.want)
			}
			l.wantNothing(t)
			if n := b.InFlight(); n != 0 {
				t.Errorf("%d calls in flight", n)
			}
			msg, _ := b.message(`{"jsonrpc":"2.0","method":"x"}`)
			if refused := b.Send(msg); refused != c.want {
				t.Errorf("Send was refused with %v, want %v", refused, c.want)
			}
		})
	}
	t.Run("the link's end comes first", func(t *testing.T) {
		b := newBed(t, Options{})
		b.peer.fail = backend.ErrClosed
		b.peer.onSend = func() { b.Closed(errors.New("died")) }
		_, l, refused := b.start(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
		if refused != nil {
			t.Errorf("refused with %v, and answered", refused)
		}
		l.wantAnswer(t, metrics.Lost, `"code":503`)
	})
	t.Run("an answer comes first", func(t *testing.T) { // of a server that guesses
		b := newBed(t, Options{})
		b.peer.fail = backend.ErrFull
		b.peer.onSend = func() { b.say(`{"jsonrpc":"2.0","id":1,"result":{}}`) }
		_, l, refused := b.start(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
		if refused != nil {
			t.Errorf("refused with %v, and answered", refused)
		}
		l.wantAnswer(t, metrics.OK)
	})
}

// brief is an error with words for a client.
type brief struct{ error }

func (brief) Brief() string { return "it fell over" }

// TestEnds: every end answers the calls in flight, once, and what comes later
// is refused for the same reason.
func TestEnds(t *testing.T) {
	died := errors.New("the operator's words")
	for _, c := range []struct {
		name string
		end  func(b *bed)
		want *refusal.Refusal
		told error
		text string
	}{
		{"aborted", func(b *bed) { b.Abort(refusal.SessionEnd) }, refusal.SessionEnd, nil, "the session ended"},
		{"ended", func(b *bed) { b.End(context.Background(), refusal.Draining) }, refusal.Draining, nil, "shutting down"},
		{"died", func(b *bed) { b.Closed(died) }, refusal.Ended, died, "the tool server ended"},
		{"died with words", func(b *bed) { b.Closed(brief{died}) }, refusal.Ended, brief{died}, "it fell over; send initialize"},
		{"aborted, then died", func(b *bed) { b.Abort(refusal.SessionEnd); b.Closed(died) }, refusal.SessionEnd, nil, "the session ended"},
		{"died, then ended", func(b *bed) { b.Closed(died); b.End(context.Background(), refusal.Draining) }, refusal.Ended, died, "the tool server ended"},
		{"ended, then closed", func(b *bed) { b.End(context.Background(), refusal.Draining); b.Closed(nil) }, refusal.Draining, nil, "shutting down"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, Options{})
			_, one := b.begin(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
			_, two := b.begin(`{"jsonrpc":"2.0","id":2,"method":"x"}`)
			o := &owner{onClose: func() {
				one.wantAnswer(t, metrics.Lost) // before the owner is told
				if len(b.deaths) != 1 {
					t.Error("the owner heard of the end before the pool did")
				}
			}}
			if refused := b.Lease(o); refused != nil {
				t.Fatal(refused)
			}
			c.end(b)
			for i, l := range []*leg{one, two} {
				l.wantAnswer(t, metrics.Lost, fmt.Sprintf(`"id":%d,`, i+1), fmt.Sprintf(`"code":%d`, c.want.Code), c.text)
				if strings.Contains(l.answers[0], died.Error()) {
					t.Errorf("the client got the operator's words: %s", l.answers[0])
				}
			}
			if o.closed != c.told {
				t.Errorf("the owner was told %v, want %v", o.closed, c.told)
			}
			_, late, refused := b.start(`{"jsonrpc":"2.0","id":3,"method":"x"}`)
			if refused == nil || refused.Reason != c.want.Reason {
				t.Errorf("a late call is refused with %v, want %v", refused, c.want)
			}
			late.wantNothing(t)
			b.peer.fail = backend.ErrClosed
			msg, _ := b.message(`{"jsonrpc":"2.0","method":"x"}`)
			if refused := b.Send(msg); refused == nil || refused.Reason != c.want.Reason {
				t.Errorf("a late message is refused with %v, want %v", refused, c.want)
			}
			if b.Lease(&owner{}) == nil {
				t.Error("a link that has ended was leased")
			}
		})
	}
}

// TestDropped answers the one call whose answer is lost.
func TestDropped(t *testing.T) {
	b := newBed(t, Options{MaxMessage: 1000})
	for _, c := range []struct {
		name  string
		drop  func(id string)
		words []string
	}{
		{"too long", func(id string) { b.TooLong([]byte(id), 1001) }, []string{`"code":413`, "1001", "--max-message"}},
		{"no room", func(id string) { b.TooLong([]byte(id), 1000) }, []string{`"code":503`, "--max-bytes-in-flight"}},
		{"garbage", func(id string) { b.Garbage([]byte(id)) }, []string{`"code":502`}},
	} {
		call, l := b.begin(`{"jsonrpc":"2.0","id":"id","method":"x"}`)
		for _, id := range []string{"", "0", "x", `"1"`, "99"} {
			c.drop(id)
		}
		l.wantNothing(t)
		c.drop(fmt.Sprintf(" %d\n", call.number))
		l.wantAnswer(t, metrics.Lost, append(c.words, `"id":"id"`)...)
	}
}

// TestUnasked: what names no call is the owner's; without one it is dropped.
// Pings are answered by the link.
func TestUnasked(t *testing.T) {
	b := newBed(t, Options{})
	const note, question = `{"jsonrpc":"2.0","method":"notifications/message"}`, `{"jsonrpc":"2.0","id":1,"method":"roots/list"}`
	if b.Heard() {
		t.Error("heard of a silent server")
	}
	b.say(note)
	b.wantDropped(map[string]int{"unowned": 1})
	if !b.Heard() {
		t.Error("not heard of a server that speaks")
	}
	o := &owner{}
	b.Lease(o)
	_, l := b.begin(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
	b.peer.take()
	b.say(note)
	b.say(question)
	if !slices.Equal(o.unasked, []string{note, question}) {
		t.Errorf("the owner got %q", o.unasked)
	}
	for _, id := range []string{"1", `"a\"b"`, "-90071992547409931234"} {
		b.say(`{"jsonrpc":"2.0","id":%s,"method":"ping"}`, id)
		b.wantSent(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, id))
	}
	l.wantNothing(t)

	early := New(b.options, func(error) {})
	msg, env := b.message(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	early.Message(msg, env) // before it has a connection
}
