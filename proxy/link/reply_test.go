package link

import (
	"slices"
	"testing"

	"sidegate/proxy/backend"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
)

// TestReply: what an HTTP server says by its response reaches the call, before
// the answer or in its stead. That a link's session is gone is no news for a
// client whose own lives on.
func TestReply(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":"a","method":"x"}`
	for _, test := range []struct {
		name   string
		shared bool
		reply  backend.Reply
		told   string // the status and header that the leg is told
		answer []string
	}{
		{"headers of an answer", false, backend.Reply{Status: 200, Header: []byte("X-A: b\r\n")}, "200 X-A: b\r\n", nil},
		{"a refusal", false, backend.Reply{Status: 401, Header: []byte("Www-Authenticate: Bearer\r\n"), Reason: "no"},
			"401 Www-Authenticate: Bearer\r\n", []string{`"id":"a"`, `"code":401`, `"message":"no"`}},
		{"a session that is gone", false, backend.Reply{Status: 404, Reason: "gone"}, "404 ", []string{`"code":404`, "gone"}},
		{"that of a shared link", true, backend.Reply{Status: 404, Reason: "gone"}, "503 ", []string{`"code":503`, "call again"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, Options{})
			if test.shared {
				b.Share()
			}
			_, l := b.begin(call)
			b.Reply([]byte("1"), &test.reply)
			b.Reply([]byte("7"), &test.reply) // nobody's
			if !slices.Equal(l.replies, []string{test.told}) {
				t.Errorf("the leg was told %q, want %q", l.replies, test.told)
			}
			if test.answer == nil {
				l.wantNothing(t)
				b.say(`{"jsonrpc":"2.0","id":1,"result":{}}`)
				l.wantAnswer(t, metrics.OK, `"id":"a"`)
				return
			}
			l.wantAnswer(t, metrics.Lost, test.answer...)
		})
	}
}

// TestDrop: a call that nobody waits for is answered, and the server is told.
func TestDrop(t *testing.T) {
	b := newBed(t, Options{})
	c, l := b.begin(`{"jsonrpc":"2.0","id":"a","method":"x"}`)
	b.peer.take()
	b.Drop(c, refusal.SessionEnd)
	b.Drop(c, refusal.SessionEnd)
	l.wantAnswer(t, metrics.Lost, `"id":"a"`, `"code":404`)
	b.wantSent(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"nobody waits for it any more"}}`)
}

// TestRefuse: a call that has reached no link is refused by status, and when to
// come back.
func TestRefuse(t *testing.T) {
	l := &leg{}
	(&Call{ID: []byte("1"), Leg: l}).Refuse(refusal.Links)
	if !slices.Equal(l.replies, []string{"503 Retry-After: 5\r\n"}) {
		t.Errorf("the leg was told %q", l.replies)
	}
	l.wantAnswer(t, metrics.Lost, `"id":1`, `"code":503`)
}
