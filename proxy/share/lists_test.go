package share

import (
	"fmt"
	"testing"

	"sidegate/proxy/cache"
	"sidegate/proxy/refusal"
)

const tellingInit = `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"logging":{},"tools":{"listChanged":true},"prompts":{}}}}`

// inTelling runs a test with a server that says when its tools change.
func inTelling(t *testing.T, o Options, test func(t *testing.T, b *bed)) {
	t.Helper()
	o.Cache = cache.New(cache.Options{})
	in(t, o, func(t *testing.T, b *bed) { b.init = tellingInit; test(t, b) })
}

// lists is how many requests for a list the server was sent since the last time.
func (s *server) lists() (n int) {
	for _, m := range s.took() {
		if has([]string{m}, `/list"`) {
			n++
		}
	}
	return n
}

func (s *server) wantLists(n int) {
	s.b.t.Helper()
	if got := s.lists(); got != n {
		s.b.t.Errorf("the server was asked for %d lists, want %d", got, n)
	}
}

func TestListsAreKeptUntilTheyChange(t *testing.T) {
	inTelling(t, Options{}, func(t *testing.T, b *bed) {
		one, two := b.join("", "one", `{}`), b.join("", "two", `{}`)
		s := b.server(1)
		first, second := one.call("1", "tools/list", `{}`), two.call(`"z"`, "tools/list", `{"_meta":{}}`)
		s.wantLists(1)
		s.says(`{"jsonrpc":"2.0","id":2,"result":{"tools":["old"]}}`)
		first.want(`"id":1,"result":{"tools":["old"]}`)
		second.want(`"id":"z","result":{"tools":["old"]}`)
		one.call("2", "tools/list", `{}`).want(`"id":2,"result":{"tools":["old"]}`)
		s.wantLists(0)
		one.call("3", "tools/list", `{"cursor":"x"}`)
		one.call("4", "tools/list", `{"_meta":{"progressToken":1}}`)
		one.call("5", "prompts/list", `{}`)
		two.call("5", "prompts/list", `{}`) // nothing would tell that they have changed
		s.wantLists(4)
		s.says(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		one.call("6", "tools/list", `{}`).wantNothing()
		s.wantLists(1)
	})
}

func TestALinkKnowsItsOwnLists(t *testing.T) {
	inTelling(t, Options{}, func(t *testing.T, b *bed) {
		one, other := b.join("", "one", `{}`), b.join("", "other", `{"experimental":{}}`)
		one.call("1", "tools/list", `{}`)
		b.server(1).says(`{"jsonrpc":"2.0","id":2,"result":{"of":1}}`)
		other.call("1", "tools/list", `{}`)
		b.server(2).wantLists(1)
		b.server(2).says(`{"jsonrpc":"2.0","id":2,"result":{"of":2}}`)
		other.call("2", "tools/list", `{}`).want(`"of":2`)
		// Everybody hears of a change, and asks anew.
		b.server(2).says(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		one.heard(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		l := one.call("3", "tools/list", `{}`)
		l.wantNothing()
		b.server(1).says(`{"jsonrpc":"2.0","id":3,"result":{"of":1}}`)
		l.want(`"of":1`)
		// A server that was started again may have another list.
		b.server(1).dies()
		anew := one.call("4", "tools/list", `{}`)
		b.server(3).wantLists(1)
		b.server(3).says(`{"jsonrpc":"2.0","id":2,"result":{"of":3}}`)
		anew.want(`"of":3`)
	})
}

// TestUnheardChanges: a list is kept only while the server can say that it has
// changed, and not beyond a time when it could not.
func TestUnheardChanges(t *testing.T) {
	inTelling(t, Options{}, func(t *testing.T, b *bed) {
		one, id := b.join("", "one", `{}`), 1
		s := b.server(1)
		for i, step := range []struct {
			hears uint64
			asked int
		}{{0, 1}, {0, 1}, {1, 1}, {1, 0}, {0, 1}, {2, 1}, {2, 0}} {
			b.mu.Lock()
			b.hears = step.hears
			b.mu.Unlock()
			l := one.call(fmt.Sprint(i), "tools/list", `{}`)
			s.wantLists(step.asked)
			if id += step.asked; step.asked > 0 {
				s.says(`{"jsonrpc":"2.0","id":%d,"result":{"tools":[]}}`, id)
			}
			l.want(`"tools":[]`)
		}
	})
}

func TestWaitersOfAListLeave(t *testing.T) {
	inTelling(t, Options{}, func(t *testing.T, b *bed) {
		one, two, three := b.join("", "one", `{}`), b.join("", "two", `{}`), b.join("", "three", `{}`)
		first, second, third := one.call("1", "tools/list", `{}`), two.call("2", "tools/list", `{}`), three.call("3", "tools/list", `{}`)
		one.leave()
		first.want(refusal.SessionEnd.Text)
		msg, env := message(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
		if refused := two.place.Cancel(two.calls[0], msg, env); refused != nil {
			t.Fatal(refused)
		}
		second.want(`"code":408`)
		b.server(1).says(`{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}`)
		third.want(`"id":3,"result"`)
		b.server(1).says(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		two.call("4", "tools/list", `{}`)
		two.leave()
		if sent := b.server(1).took(); !has(sent, `notifications/cancelled","params":{"requestId":3`) {
			t.Errorf("the server was sent %q", sent)
		}
	})
}

// Who asks while another's request fails asks by itself.
func TestAListThatFails(t *testing.T) {
	inTelling(t, Options{}, func(t *testing.T, b *bed) {
		one, two := b.join("", "one", `{}`), b.join("", "two", `{}`)
		first, second := one.call("1", "tools/list", `{}`), two.call("2", "tools/list", `{}`)
		b.server(1).says(`{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"no"}}`)
		first.want(`"id":1,"error"`)
		second.wantNothing()
		b.server(1).wantLists(2)
		two.leave() // on its own by now
		second.want(refusal.SessionEnd.Text)
	})
}

func TestWhoHearsLogsAsksAlone(t *testing.T) {
	inTelling(t, Options{}, func(t *testing.T, b *bed) {
		one := b.join("", "one", `{}`)
		one.call("1", "tools/list", `{}`)
		b.server(1).says(`{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}`)
		one.call("2", "logging/setLevel", `{"level":"info"}`).want(`"result":{}`)
		one.call("3", "tools/list", `{}`).wantNothing()
	})
}
