//go:build linux

package chaos

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// Variables of the environment. Where AllVariable is 1 all faults are gone
// through, and none otherwise; each lasts as long as harness.LongVariable says,
// and there are as many calls a second as RateVariable says.
const (
	AllVariable  = "TEST_CHAOS"
	RateVariable = "TEST_CHAOS_RATE"
)

// A scale is how much is done.
type scale struct {
	all   bool
	rate  float64 // calls a second of all clients together
	while time.Duration
}

// theScale is what the environment asks for.
func theScale(t *testing.T) scale {
	t.Helper()
	s := scale{all: os.Getenv(AllVariable) == "1", rate: 1000, while: 2 * time.Second}
	s.while = harness.Long(t, s.while)
	if said := os.Getenv(RateVariable); said != "" {
		var err error
		if s.rate, err = strconv.ParseFloat(said, 64); err != nil || s.rate <= 0 {
			t.Fatalf("%s is %q, want calls a second", RateVariable, said)
		}
	}
	return s
}

// loading is held by the one run that has clients: their starts, and the rest
// afterwards, may overlap.
var loading sync.Mutex

// TestChaos lets one thing after the other go wrong, and then several at once.
func TestChaos(t *testing.T) {
	s := theScale(t)
	if !s.all {
		t.Logf("%d faults are left out, which take minutes and the machine for themselves: set %s=1, or say make chaos", len(faults), AllVariable)
		return
	}
	var building sync.WaitGroup
	building.Go(func() { buildClockwork() }) // it takes long, and the last faults want it
	t.Cleanup(building.Wait)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, f.plan)
			b.works()
			before := b.rest(2*warm + links)
			balance := b.under(s, f)
			t.Logf("at %v calls/s for %v: %v", s.rate, s.while, balance)
			f.judge(t, b, balance)
			b.whole(before)
		})
	}
}

// under runs a fault under load, from a moment before it until calls succeed
// again, and draws the balance.
func (b *bed) under(s scale, f fault) *balance {
	b.t.Helper()
	loading.Lock()
	defer loading.Unlock()
	b.staff(s.rate)
	b.calm("before the fault")
	b.begin(f.signs)
	f.run(b, s.while)
	b.calm("after the fault")
	return b.dismiss()
}

// staff hires two crews for each server, half of its clients each.
func (b *bed) staff(rate float64) {
	b.t.Helper()
	servers := b.plan.servers()
	each := rate / float64(2*len(servers))
	for range 2 {
		for _, server := range servers {
			b.hire(Orders{Server: server, Callers: max(int(each/b.plan.pace()), kinds)}, each)
		}
	}
}

// calm waits until each crew has had a few right answers for each of its
// callers; one, where they are large, since not all find room at a time.
func (b *bed) calm(when string) {
	b.t.Helper()
	crews := b.working()
	var from []int64
	for _, c := range crews {
		from = append(from, c.ledger[right].Load())
	}
	for i, c := range crews {
		few := 3 * c.width()
		if c.orders.Plain {
			few = c.width()
		}
		harness.EventuallyWithin(b.t, 2*harness.Patience, fmt.Sprintf("calls to %s succeed %s", c.orders.Server, when), func() bool {
			return c.ledger[right].Load() >= from[i]+few
		})
	}
}
