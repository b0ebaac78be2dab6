package wire

import (
	"reflect"
	"testing"
)

// purse is a Budget that tests can look into.
type purse struct{ limit, held int64 }

func (p *purse) TryAcquire(n int64) bool {
	if p.held+n > p.limit {
		return false
	}
	p.held += n
	return true
}

func (p *purse) Release(n int64) { p.held -= n }

func TestAcquireSizes(t *testing.T) {
	tests := []struct{ size, capacity int }{
		{-1, 1 << 10},
		{0, 1 << 10},
		{1, 1 << 10},
		{1 << 10, 1 << 10},
		{1<<10 + 1, 4 << 10},
		{4 << 10, 4 << 10},
		{4<<10 + 1, 16 << 10},
		{64 << 10, 64 << 10},
		{64<<10 + 1, 256 << 10},
		{256<<10 + 1, 1 << 20},
		{1 << 20, 1 << 20},
		{1<<20 + 1, 1<<20 + 1},
		{16 << 20, 16 << 20},
	}
	for _, tt := range tests {
		b := Acquire(tt.size)
		if len(b.B) != 0 || cap(b.B) < tt.capacity || cap(b.B) > 4*tt.capacity {
			t.Errorf("Acquire(%d): len %d cap %d, want 0 and %d", tt.size, len(b.B), cap(b.B), tt.capacity)
		}
		b.Release()
	}
}

// A buffer that goes back to the pool must keep the promise of the class it is
// put into, whatever append made of it.
func TestClassHeldKeepsThePromise(t *testing.T) {
	tests := []struct{ capacity, class int }{
		{0, -1}, {1023, -1}, {1024, 0}, {4095, 0}, {4096, 1}, {5000, 1}, {1<<20 - 1, 4}, {1 << 20, 5}, {1<<20 + 1, -1}, {16 << 20, -1},
	}
	for _, tt := range tests {
		got := classHeld(tt.capacity)
		if got != tt.class {
			t.Errorf("classHeld(%d) = %d, want %d", tt.capacity, got, tt.class)
		}
		if got >= 0 && classSize(got) > tt.capacity {
			t.Errorf("classHeld(%d) promises %d bytes", tt.capacity, classSize(got))
		}
	}
}

func TestReleaseResetsEveryField(t *testing.T) {
	p := &purse{limit: 100}
	b := Acquire(10)
	b.B = append(b.B, "text"...)
	if !b.Charge(p, 7) {
		t.Fatal("the budget has room and said no")
	}
	b.Release()

	v := reflect.ValueOf(b).Elem()
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		if name == "B" {
			if f.Len() != 0 {
				t.Errorf("Release leaves %d bytes in B", f.Len())
			}
			continue // its memory is what the pool keeps
		}
		if !f.IsZero() {
			t.Errorf("Release does not reset Buffer.%s", name)
		}
	}
}

func TestReleaseTwicePanics(t *testing.T) {
	for _, size := range []int{10, 2 << 20} {
		b := Acquire(size)
		b.Release()
		mustPanic(t, "BUG: wire.Buffer released twice", b.Release)
	}
}

func TestReleaseNil(t *testing.T) {
	var b *Buffer
	b.Release()
}

func TestCharge(t *testing.T) {
	p := &purse{limit: 100}
	b := Acquire(10)
	if !b.Charge(p, 60) || !b.Charge(p, 40) {
		t.Fatal("refused although the budget has room")
	}
	if b.Charge(p, 1) {
		t.Fatal("charged past the limit")
	}
	if p.held != 100 {
		t.Fatalf("held %d, want 100: a refused charge must leave nothing behind", p.held)
	}
	b.Release()
	if p.held != 0 {
		t.Fatalf("held %d after Release, want 0", p.held)
	}
}

func TestChargeWithoutBudget(t *testing.T) {
	b := Acquire(10)
	if !b.Charge(nil, 1<<40) {
		t.Fatal("no budget must always have room")
	}
	b.Release()
}

func TestChargeTwoBudgetsPanics(t *testing.T) {
	b := Acquire(10)
	defer b.Release()
	b.Charge(&purse{limit: 10}, 1)
	mustPanic(t, "BUG: wire.Buffer charged to two budgets", func() { b.Charge(&purse{limit: 10}, 1) })
}

func TestGrow(t *testing.T) {
	p := &purse{limit: 100}
	b := Acquire(10)
	defer b.Release()
	b.B = append(b.B, "kept"...)
	b.Charge(p, 4)
	for _, more := range []int{0, 10, 5 << 10, 2 << 20} {
		b.Grow(more)
		if string(b.B) != "kept" || cap(b.B)-len(b.B) < more {
			t.Fatalf("Grow(%d): %q with room for %d", more, b.B, cap(b.B)-len(b.B))
		}
	}
	if p.held != 4 {
		t.Fatalf("Grow changed the charge to %d", p.held)
	}
}

func TestBufferAllocations(t *testing.T) {
	skipUnderRace(t)
	allocs := testing.AllocsPerRun(1000, func() {
		b := Acquire(3000)
		b.B = append(b.B, "text"...)
		b.Release()
	})
	if allocs != 0 {
		t.Errorf("%v allocations for Acquire and Release, want 0", allocs)
	}
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != want {
			t.Errorf("panic %v, want %q", got, want)
		}
	}()
	f()
}
