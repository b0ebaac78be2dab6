package limits

import (
	"math"
	"strings"
	"sync"
	"testing"
)

// mustBug runs f, which must panic with "BUG:".
func mustBug(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
			t.Errorf("%s: recovered %q, not a BUG", name, s)
		}
	}()
	f()
}

func TestBytes(t *testing.T) {
	b := NewBytes(100)
	for _, step := range []struct {
		acquire, release int64
		ok               bool
		inUse            int64
	}{
		{acquire: 60, ok: true, inUse: 60},
		{acquire: 41, ok: false, inUse: 60},
		{acquire: 40, ok: true, inUse: 100},
		{acquire: 0, ok: true, inUse: 100},
		{acquire: 1, ok: false, inUse: 100},
		{acquire: math.MaxInt64, ok: false, inUse: 100},
		{release: 100, inUse: 0},
		{acquire: 101, ok: false, inUse: 0},
		{acquire: 100, ok: true, inUse: 100},
	} {
		if step.release > 0 {
			b.Release(step.release)
		} else if ok := b.TryAcquire(step.acquire); ok != step.ok {
			t.Errorf("TryAcquire(%d): %v", step.acquire, ok)
		}
		if b.InUse() != step.inUse {
			t.Fatalf("%d in use after %+v", b.InUse(), step)
		}
	}
	if b.Limit() != 100 {
		t.Errorf("the limit is %d", b.Limit())
	}
}

func TestWithoutALimit(t *testing.T) {
	b, s := NewBytes(0), NewSlots(0)
	for range 10 {
		if !b.TryAcquire(1<<40) || !s.TryAcquire() {
			t.Fatal("there was a limit")
		}
	}
	if b.InUse() != 10<<40 || s.InUse() != 10 || b.Limit() != 0 || s.Limit() != 0 {
		t.Errorf("%d of %d bytes, %d of %d slots", b.InUse(), b.Limit(), s.InUse(), s.Limit())
	}
}

func TestSlots(t *testing.T) {
	s := NewSlots(2)
	if !s.TryAcquire() || !s.TryAcquire() || s.TryAcquire() {
		t.Fatal("not two slots")
	}
	s.Release()
	if s.InUse() != 1 || s.Limit() != 2 || !s.TryAcquire() {
		t.Errorf("%d of %d in use", s.InUse(), s.Limit())
	}
}

func TestBugs(t *testing.T) {
	mustBug(t, "more released than acquired", func() { NewBytes(10).Release(1) })
	mustBug(t, "a slot too many", func() { NewSlots(10).Release() })
	mustBug(t, "acquiring less than nothing", func() { NewBytes(10).TryAcquire(-1) })
	mustBug(t, "releasing less than nothing", func() { NewBytes(10).Release(-1) })
	mustBug(t, "bytes below zero", func() { NewBytes(-1) })
	mustBug(t, "slots below zero", func() { NewSlots(-1) })
	mustBug(t, "a rate below zero", func() { NewRates[int](-1, 1, 1) })
	mustBug(t, "a rate that is no number", func() { NewRates[int](math.NaN(), 1, 1) })
	mustBug(t, "a burst below zero", func() { NewRates[int](1, -1, 1) })
	mustBug(t, "no keys", func() { NewRates[int](1, 1, 0) })
}

// TestBytesHammer: the limit holds at every moment, nobody who fits in is
// turned away because of one who does not, and nothing is left at the end.
func TestBytesHammer(t *testing.T) {
	const limit = 1000
	b := NewBytes(limit)
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for range 5000 {
				if w == 0 { // a giant, which never gets in
					if b.TryAcquire(limit + 1) {
						t.Error("more than the limit was acquired")
					}
					continue
				}
				if !b.TryAcquire(limit / 8) { // seven of these fit in
					t.Error("turned away, though there was room")
					continue
				}
				if n := b.InUse(); n > limit || n < limit/8 {
					t.Errorf("%d in use", n)
				}
				b.Release(limit / 8)
			}
		})
	}
	workers.Wait()
	if b.InUse() != 0 {
		t.Errorf("%d left", b.InUse())
	}
}

func BenchmarkBytes(b *testing.B) {
	budget := NewBytes(1 << 40)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			budget.TryAcquire(350)
			budget.Release(350)
		}
	})
}
