//go:build linux

package chaos

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A crew is a process of clients of one of the servers.
type crew struct {
	*process
	orders Orders
	ledger *ledger
	killed bool
}

// crews numbers them.
var crews int

// smallest is the size of a call's message; each crew's is a little larger
// than the one before.
const smallest = 250

// hire starts a crew whose callers make so many calls a second together.
func (b *bed) hire(o Orders, rate float64) *crew {
	b.t.Helper()
	crews++
	o.Addr = b.gate.Addr
	if b.plan.front {
		o.Addr = b.front.Listen
	}
	o.Every = time.Duration(float64(o.Callers) / rate * float64(time.Second))
	o.Ledger = filepath.Join(b.dir, fmt.Sprintf("ledger%d", crews))
	o.Size += smallest + crews
	l, err := openLedger(o.Ledger)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := json.Marshal(o)
	if err != nil {
		b.t.Fatal(err)
	}
	c := &crew{process: start(b.t, role("chaos-client", string(text))), orders: o, ledger: l}
	b.crews = append(b.crews, c)
	return c
}

// again starts a crew like c.
func (b *bed) again(c *crew) *crew {
	b.t.Helper()
	o := c.orders
	o.Size = 0
	return b.hire(o, float64(o.Callers)/o.Every.Seconds())
}

// width is how many calls a crew can have under way.
func (c *crew) width() int64 {
	n := int64(0)
	for i := range c.orders.Callers {
		if isSocket(i) && !c.orders.Plain {
			n += burst
		} else {
			n++
		}
	}
	return n
}

// A balance is what became of all calls of a run.
type balance struct {
	all     tally
	servers map[string]*tally
	reasons map[string]int
}

// dismiss lets every crew finish what it is at, and adds up.
func (b *bed) dismiss() *balance {
	b.t.Helper()
	sum := &balance{servers: map[string]*tally{}, reasons: map[string]int{}}
	for _, c := range b.crews {
		if !c.ended {
			c.in.Close() // all at once
		}
	}
	for _, c := range b.crews {
		if !c.killed {
			var reasons map[string]int
			if err := json.Unmarshal(c.finish(b.t), &reasons); err != nil {
				b.t.Fatal(err)
			}
			for reason, n := range reasons {
				sum.reasons[reason] += n
			}
		}
		t := c.ledger.read()
		c.check(b.t, &t)
		sum.all.add(t)
		if sum.servers[c.orders.Server] == nil {
			sum.servers[c.orders.Server] = &tally{}
		}
		sum.servers[c.orders.Server].add(t)
	}
	b.crews = nil
	return sum
}

// check wants every call of a crew to have ended, and of a crew that was
// killed every call but those that were under way.
func (c *crew) check(t *testing.T, n *tally) {
	t.Helper()
	most := int64(0)
	if c.killed {
		most = c.width()
	}
	if open := n.open(); open < 0 || open > most {
		t.Errorf("%d calls have not ended, and at most %d were under way when their clients were killed: %v", open, most, n)
	}
}

// wrongs are what may not be in any run. cuts is how many calls may have been
// under way on connections that were cut.
func (s *balance) wrongs(cuts int64) (list []string) {
	n := &s.all
	for _, bad := range []struct {
		n    int64
		what string
	}{
		{n[wrong], "had an answer that is not theirs"},
		{n[twice], "were answered twice"},
		{n[lost], "had no answer"},
		{n[mute], "were refused without a reason"},
	} {
		if bad.n != 0 {
			list = append(list, fmt.Sprintf("%d calls %s", bad.n, bad.what))
		}
	}
	if n[cut] > cuts {
		list = append(list, fmt.Sprintf("%d calls were cut off, and at most %d were under way on connections that were cut", n[cut], cuts))
	}
	if n[unsent] > 0 && cuts == 0 {
		list = append(list, fmt.Sprintf("for %d calls there was nobody to connect to", n[unsent]))
	}
	if n[right] == 0 {
		list = append(list, "no call was answered, so the run has shown nothing")
	}
	return list
}

// untouched wants the calls to a server to have been answered, all of them.
func (s *balance) untouched(t *testing.T, server string) {
	t.Helper()
	if n := s.servers[server]; n != nil && n[refused] > 0 {
		t.Errorf("calls to %s were refused, which the fault should not have touched: %v", server, n)
	}
}

func (s *balance) String() string {
	var b strings.Builder
	b.WriteString(s.all.String())
	for reason, n := range s.reasons {
		fmt.Fprintf(&b, "\n%8d %.150s", n, reason)
	}
	return b.String()
}
