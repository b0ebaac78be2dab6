package limits

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestRates(t *testing.T) {
	r := NewRates[string](2, 3, 100)
	for _, step := range []struct {
		key   string
		at    time.Duration
		ok    bool
		retry time.Duration
	}{
		{key: "ann", ok: true},
		{key: "ann", ok: true},
		{key: "ann", ok: true},
		{key: "ann", ok: false, retry: 500 * time.Millisecond},
		{key: "bob", ok: true}, // has a bucket of his own
		{key: "ann", at: 400 * time.Millisecond, ok: false, retry: 100 * time.Millisecond},
		{key: "ann", at: 500 * time.Millisecond, ok: true}, // the refusals took nothing
		{key: "ann", at: 500 * time.Millisecond, ok: false, retry: 500 * time.Millisecond},
		{key: "ann", at: time.Hour, ok: true}, // full, and not fuller
		{key: "ann", at: time.Hour, ok: true},
		{key: "ann", at: time.Hour, ok: true},
		{key: "ann", at: time.Hour, ok: false, retry: 500 * time.Millisecond},
	} {
		ok, retry := r.Allow(step.key, noon.Add(step.at))
		if ok != step.ok || (retry-step.retry).Abs() > time.Microsecond {
			t.Errorf("%+v: got %v, %s", step, ok, retry)
		}
	}
}

func TestBurstByDefault(t *testing.T) {
	for _, c := range []struct {
		perSecond float64
		want      int
	}{{0.1, 1}, {1, 1}, {2.5, 3}, {100, 100}} {
		r, n := NewRates[int](c.perSecond, 0, 1), 0
		for ok := true; ok && n <= 100; n++ {
			ok, _ = r.Allow(0, noon)
		}
		if n-1 != c.want {
			t.Errorf("%g a second: a burst of %d, want %d", c.perSecond, n-1, c.want)
		}
	}
}

func TestRateOfZeroIsNoLimit(t *testing.T) {
	r := NewRates[int](0, 0, 1)
	for range 1000 {
		if ok, retry := r.Allow(0, noon); !ok || retry != 0 {
			t.Fatal("there was a limit")
		}
	}
	if r.Len() != 0 {
		t.Error("keys are remembered for nothing")
	}
}

func TestRetryIsBounded(t *testing.T) {
	r := NewRates[int](1e-12, 1, 1)
	r.Allow(0, noon)
	if ok, retry := r.Allow(0, noon); ok || retry != longestRetry {
		t.Errorf("got %v, %s", ok, retry)
	}
}

func TestKeysAreBounded(t *testing.T) {
	for _, most := range []int{1, 2, 63, 64, 127, 128, 1000, 100_000} {
		r := NewRates[int](1, 1, most)
		for i := range 3 * most {
			r.Allow(i, noon)
		}
		if n := r.Len(); n > most || n < most/2 {
			t.Errorf("%d keys where %d may be", n, most)
		}
	}
}

// TestLeastRecentlyUsedGivesWay: of keys in one shard, the one that asked last
// is kept, also when it was refused.
func TestLeastRecentlyUsedGivesWay(t *testing.T) {
	r := NewRates[string](1, 1, 3)
	for _, key := range []string{"a", "b", "c", "a", "d"} { // b gives way to d
		r.Allow(key, noon)
	}
	for _, c := range []struct {
		key string
		ok  bool
	}{
		{"a", false}, {"c", false}, {"d", false}, // remembered: their one token is gone
		{"b", true}, // forgotten, and new; a gives way
		{"c", false}, {"d", false}, {"b", false},
		{"a", true},
	} {
		if ok, _ := r.Allow(c.key, noon); ok != c.ok {
			t.Errorf("%s: got %v", c.key, ok)
		}
	}
}

// TestCrowd says what the bound means to an attacker with more addresses than
// there are keys: each gets its burst, as it would in a table without end, and
// a caller who is there now and then is never locked out.
func TestCrowd(t *testing.T) {
	r := NewRates[int](1, 5, 1000)
	now := noon
	for i := range 10_000 {
		r.Allow(1+i, now)
		if i%1000 == 0 {
			if ok, _ := r.Allow(0, now); !ok {
				t.Fatal("a modest caller was refused because of a crowd")
			}
			now = now.Add(time.Second)
		}
	}
}

func TestAddressKey(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"2001:db8:1:2::", "2001:db8:1:2::"},
		{"2001:db8:1:3::1", "2001:db8:1:3::"},
		{"::1", "::"},
		{"fe80::1%eth0", "fe80::"},
	} {
		if got := AddressKey(netip.MustParseAddr(c.in)); got != netip.MustParseAddr(c.want) {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
	if AddressKey(netip.Addr{}).IsValid() {
		t.Error("no address became one")
	}
}

func TestRatesHammer(t *testing.T) {
	const workers, rounds, burst = 8, 5000, 10
	r := NewRates[int](1, burst, 10_000)
	var allowed [16]atomic.Int32
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range rounds {
				k := rand.IntN(len(allowed))
				if ok, _ := r.Allow(k, noon); ok { // time stands still: a burst and no more
					allowed[k].Add(1)
				}
			}
		})
	}
	all.Wait()
	for k := range allowed {
		if n := allowed[k].Load(); n != burst {
			t.Errorf("key %d was allowed %d times", k, n)
		}
	}
}

func TestRatesAllocations(t *testing.T) {
	type caller struct {
		name    string
		address netip.Addr
	}
	r := NewRates[caller](1, 1, 100)
	v6 := netip.MustParseAddr("2001:db8:1:2:3:4:5:6")
	keys := []caller{{name: "ann"}, {address: netip.MustParseAddr("192.0.2.1")}, {address: AddressKey(v6)}}
	for _, k := range keys {
		r.Allow(k, noon)
	}
	if n := testing.AllocsPerRun(1000, func() {
		for _, k := range keys {
			r.Allow(k, noon)
		}
		AddressKey(v6)
	}); n != 0 {
		t.Errorf("a known key allocates %g times", n)
	}
}

func BenchmarkRates(b *testing.B) {
	for _, keys := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			r := NewRates[int](1e6, 0, 100_000)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.IntN(keys); pb.Next(); i = (i + 7919) % keys {
					r.Allow(i, noon)
				}
			})
		})
	}
}
