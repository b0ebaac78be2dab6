package share

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// crowd joins as many clients as are told something beside the link's reader, and
// returns them with the server of their link.
func (b *bed) crowd() ([]*client, *server) {
	all := make([]*client, 3*few+1)
	for i := range all {
		all[i] = b.join("", fmt.Sprint(i), `{}`)
	}
	return all, b.server(1)
}

// TestTellMany: an answer does not wait until a crowd has been told something;
// all are told, once.
func TestTellMany(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		all, s := b.crowd()
		call := all[0].tool("0")
		s.says(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		s.says(`{"jsonrpc":"2.0","id":2,"result":{"for":"one"}}`)
		synctest.Wait()
		call.want(`"id":0,"result":{"for":"one"}`)
		if heard(all) == len(all) {
			t.Error("all were told at once")
		}
		time.Sleep(time.Second)
		if n := heard(all); n != len(all) {
			t.Errorf("%d of %d were told", n, len(all))
		}
		for i, c := range all {
			if len(c.unasked) != 1 {
				t.Errorf("client %d was told %q", i, c.unasked)
			}
		}
	})
}

// heard is how many have been told something.
func heard(all []*client) (n int) {
	for _, c := range all {
		c.mu.Lock()
		if len(c.unasked) > 0 {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// TestTellInOrder: who waits for an answer, or is told something alone, hears
// first what many are being told.
func TestTellInOrder(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		all, s := b.crowd()
		const callers = 16
		legs := make([]*leg, callers)
		for i := range legs {
			legs[i] = all[i].tool("0")
		}
		alone := all[callers : 2*callers]
		for i, c := range alone {
			c.call("1", "resources/subscribe", fmt.Sprintf(`{"uri":"file:///%d"}`, i))
		}
		const changed = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
		s.says(changed)
		for i := range legs {
			s.says(`{"jsonrpc":"2.0","id":%d,"result":{}}`, i+2)
		}
		for i := range alone {
			s.says(updated, i)
		}
		synctest.Wait()
		for i := range legs {
			legs[i].want(`"result":{}`)
			all[i].heard(changed)
		}
		for i, c := range alone {
			c.heard(changed, fmt.Sprintf(updated, i))
		}
		if heard(all) == len(all) {
			t.Error("all were told at once")
		}
		time.Sleep(time.Second)
		for _, c := range all[2*callers:] {
			c.heard(changed)
		}
	})
}

const updated = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///%d"}}`

// TestTellMuch: a server that says much does not wait until all have heard what
// it said before; they hear all of it, in order.
func TestTellMuch(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		all, s := b.crowd()
		call := all[0].tool("0")
		want := make([]string, 50)
		began := time.Now()
		for i := range want {
			method := []string{"tools", "prompts", "resources"}[i%3]
			want[i] = fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/%s/list_changed"}`, method)
			s.says("%s", want[i])
		}
		s.says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		call.want(`"result":{}`)
		if d := time.Since(began); d > 0 {
			t.Errorf("the server has waited for %v", d)
		}
		time.Sleep(time.Second)
		for _, c := range all {
			c.heard(want...)
		}
	})
}
