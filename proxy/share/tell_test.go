package share

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestTellMany: an answer does not wait until a crowd has been told something;
// all are told, once.
func TestTellMany(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		all := make([]*client, 3*few+1)
		for i := range all {
			all[i] = b.join("", fmt.Sprint(i), `{}`)
		}
		s := b.server(1)
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
