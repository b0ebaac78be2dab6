package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A thing is what the tests keep. ended counts how often it was taken out:
// whatever happens, the end must be once.
type thing struct {
	entry *Entry
	ended atomic.Int32
}

func add(t testing.TB, r *Registry[*thing], principal string) *thing {
	t.Helper()
	v, err := r.Add(principal, newThing)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newThing(e *Entry) (*thing, error) { return &thing{entry: e}, nil }

func (v *thing) id() []byte { return []byte(v.entry.ID()) }

func TestIDs(t *testing.T) {
	seen := make(map[ID]bool)
	r := New(Options[*thing]{})
	for range 10_000 {
		id := add(t, r, "").entry.ID()
		bits, err := base64.RawURLEncoding.DecodeString(string(id))
		if err != nil || len(bits) != 16 {
			t.Fatalf("%q does not hold 128 bits: %v", id, err)
		}
		if seen[id] {
			t.Fatalf("%q came twice", id)
		}
		seen[id] = true
	}
}

// TestEach: all are visited, and may be removed on the way.
func TestEach(t *testing.T) {
	r := New(Options[*thing]{})
	const many = 1000
	for range many {
		add(t, r, "")
	}
	n := 0
	r.Each(func(v *thing) {
		n++
		if !r.Remove(v.entry) {
			t.Error("one came that is not there")
		}
	})
	if n != many || r.Len() != 0 {
		t.Errorf("%d of %d were visited, and %d are left", n, many, r.Len())
	}
}

func TestGet(t *testing.T) {
	r := New(Options[*thing]{})
	v, other, gone := add(t, r, "ann"), add(t, r, "bob"), add(t, r, "ann")
	if v.entry.Principal() != "ann" {
		t.Errorf("the principal is %q", v.entry.Principal())
	}
	if !r.Remove(gone.entry) {
		t.Fatal("a live value was not removed")
	}
	for _, c := range []struct {
		name, id, principal string
		want                *thing
	}{
		{"own", string(v.id()), "ann", v},
		{"own again", string(v.id()), "ann", v},
		{"another's", string(other.id()), "ann", nil},
		{"own, asked by another", string(v.id()), "bob", nil},
		{"own, asked by nobody", string(v.id()), "", nil},
		{"own, asked by a longer name", string(v.id()), "anna", nil},
		{"removed", string(gone.id()), "ann", nil},
		{"guessed", string(newID()), "ann", nil},
		{"cut", string(v.id()[:21]), "ann", nil},
		{"too long", string(v.id()) + "A", "ann", nil},
		{"very long", strings.Repeat(string(v.id()), 1000), "ann", nil},
		{"other case", swapCase(string(v.id())), "ann", nil},
		{"empty", "", "ann", nil},
	} {
		if got, ok := r.Get([]byte(c.id), c.principal); got != c.want || ok != (c.want != nil) {
			t.Errorf("%s: got %v, %v", c.name, got, ok)
		}
	}
}

// swapCase exchanges upper and lower case letters. Of 22 random characters at
// least one is a letter, but for once in 10^17.
func swapCase(s string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			return c ^ 0x20
		}
		return c
	}, s)
}

func TestCreateSeesItsEntryBeforeAnybodyElse(t *testing.T) {
	r := New(Options[*thing]{})
	v, err := r.Add("ann", func(e *Entry) (*thing, error) {
		if _, ok := r.Get([]byte(e.ID()), "ann"); ok {
			t.Error("a value was found before it was made")
		}
		return newThing(e)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := r.Get(v.id(), "ann"); !ok || got != v {
		t.Error("a value was not found after Add")
	}
}

func TestMax(t *testing.T) {
	r := New(Options[*thing]{Max: 10})
	var stored, full atomic.Int32
	var adders sync.WaitGroup
	for range 40 {
		adders.Go(func() {
			switch _, err := r.Add("", newThing); {
			case err == nil:
				stored.Add(1)
			case errors.Is(err, ErrFull):
				full.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	adders.Wait()
	if stored.Load() != 10 || full.Load() != 30 || r.Len() != 10 {
		t.Errorf("%d stored, %d refused, Len %d", stored.Load(), full.Load(), r.Len())
	}
	called := false
	if _, err := r.Add("", func(e *Entry) (*thing, error) { called = true; return newThing(e) }); !errors.Is(err, ErrFull) || called {
		t.Errorf("one too many: error %v, create called %v", err, called)
	}
}

func TestFailedCreateGivesItsPlaceBack(t *testing.T) {
	r := New(Options[*thing]{Max: 1})
	wrong := errors.New("wrong")
	if v, err := r.Add("", func(e *Entry) (*thing, error) { return &thing{}, wrong }); !errors.Is(err, wrong) || v != nil {
		t.Errorf("got %v, %v", v, err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = r.Add("", func(*Entry) (*thing, error) { panic("in create") })
	}()
	if r.Len() != 0 {
		t.Fatalf("Len is %d after two failures", r.Len())
	}
	add(t, r, "")
}

func TestRemoveHasOneWinner(t *testing.T) {
	r := New(Options[*thing]{})
	v := add(t, r, "")
	var winners atomic.Int32
	var removers sync.WaitGroup
	for range 16 {
		removers.Go(func() {
			if r.Remove(v.entry) {
				winners.Add(1)
			}
		})
	}
	removers.Wait()
	if winners.Load() != 1 || r.Len() != 0 {
		t.Errorf("%d winners, Len %d", winners.Load(), r.Len())
	}
}

// TestRemoveOfAnotherEntry: an entry removes itself, and nothing that stands
// under the same id.
func TestRemoveOfAnotherEntry(t *testing.T) {
	r := New(Options[*thing]{})
	v := add(t, r, "")
	if r.Remove(&Entry{id: v.entry.id}) || r.Len() != 1 {
		t.Error("an entry removed another's value")
	}
}

func TestReleaseWithoutHold(t *testing.T) {
	v := add(t, New(Options[*thing]{}), "")
	v.entry.Hold()
	v.entry.Release()
	defer func() {
		if s, _ := recover().(string); !strings.HasPrefix(s, "BUG:") {
			t.Errorf("recovered %q", s)
		}
	}()
	v.entry.Release()
}

func TestClose(t *testing.T) {
	const n, bound = 1000, 8
	r := New(Options[*thing]{})
	all := make([]*thing, n)
	for i := range all {
		all[i] = add(t, r, "")
	}
	type key struct{}
	ctx := context.WithValue(context.Background(), key{}, "mine")
	var now, most atomic.Int32
	r.Close(ctx, bound, func(ctx context.Context, v *thing) {
		if ctx.Value(key{}) != "mine" {
			t.Error("end was given another context")
		}
		for n, m := now.Add(1), most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if _, ok := r.Get(v.id(), ""); ok || r.Remove(v.entry) {
			t.Error("a value that is being ended can still be found or removed")
		}
		v.ended.Add(1)
		now.Add(-1)
	})
	for _, v := range all {
		if v.ended.Load() != 1 {
			t.Fatalf("a value was ended %d times by the time that Close returned", v.ended.Load())
		}
	}
	if most.Load() > bound || r.Len() != 0 {
		t.Errorf("%d ended at once, Len %d", most.Load(), r.Len())
	}
	if _, err := r.Add("", newThing); !errors.Is(err, ErrClosed) {
		t.Errorf("Add after Close: %v", err)
	}
	r.Close(ctx, bound, func(context.Context, *thing) { t.Error("a second Close found something") })
}

func TestCloseNeedsABound(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a bound of 0 would end nothing for ever")
		}
	}()
	New(Options[*thing]{}).Close(context.Background(), 0, nil)
}

// TestCloseWaitsForAdd: a value that is being made when Close begins is ended
// by it.
func TestCloseWaitsForAdd(t *testing.T) {
	r := New(Options[*thing]{})
	making, goOn := make(chan struct{}), make(chan struct{})
	var late *thing
	var adder sync.WaitGroup
	adder.Go(func() {
		late, _ = r.Add("", func(e *Entry) (*thing, error) {
			close(making)
			<-goOn
			return newThing(e)
		})
	})
	<-making
	var ended []*thing
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		r.Close(context.Background(), 1, func(_ context.Context, v *thing) { ended = append(ended, v) })
	}()
	close(goOn)
	adder.Wait()
	<-closed
	if late == nil || len(ended) != 1 || ended[0] != late || r.Len() != 0 {
		t.Errorf("added %v, ended %v, Len %d", late, ended, r.Len())
	}
}

func TestShards(t *testing.T) {
	r := New(Options[*thing]{})
	for range 64_000 {
		add(t, r, "")
	}
	for i := range r.shards {
		if n := len(r.shards[i].slots); n < 700 || n > 1300 { // 1000, give or take nine deviations
			t.Errorf("shard %d has %d of 64,000 values", i, n)
		}
	}
	if size := unsafe.Sizeof(r.shards[0]); size != 128 {
		t.Errorf("a shard takes %d bytes, not its own pair of cache lines", size)
	}
}

func TestAllocations(t *testing.T) {
	r := New(Options[*thing]{Idle: 1 << 40, Lifetime: 1 << 40})
	v := add(t, r, "ann")
	id, guess := v.id(), []byte(newID())
	if n := testing.AllocsPerRun(1000, func() {
		r.Get(id, "ann")
		r.Get(id, "bob")
		r.Get(guess, "ann")
		v.entry.Hold()
		v.entry.Release()
	}); n != 0 {
		t.Errorf("looking up allocates %g times", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		w, _ := r.Add("ann", newThing)
		r.Remove(w.entry)
	}); n > 4 { // the random bits, the id, the slot, and the thing itself
		t.Errorf("adding allocates %g times", n)
	}
}

// TestHammer lets everything happen at once. Each value must end once: by
// Remove, by expiry, or by Close.
func TestHammer(t *testing.T) {
	const workers, rounds = 8, 2000
	var expired atomic.Int64
	r := New(Options[*thing]{
		Max: 500, Idle: 1, Lifetime: 1 << 40, // whatever is not held right now is idle
		OnExpire: func(v *thing, why Reason) { v.ended.Add(1); expired.Add(1) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	var sweeper, hammers sync.WaitGroup
	sweeper.Go(func() {
		for ctx.Err() == nil {
			r.sweep(&r.shards[rand.IntN(shardCount)])
		}
	})
	var mu sync.Mutex
	var all []*thing
	for range workers {
		hammers.Go(func() {
			var mine []*thing
			for range rounds {
				hammer(t, r, &mine)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	hammers.Wait()
	cancel()
	sweeper.Wait()
	r.Close(context.Background(), 4, func(_ context.Context, v *thing) { v.ended.Add(1) })
	for _, v := range all {
		if n := v.ended.Load(); n != 1 {
			t.Fatalf("a value ended %d times", n)
		}
	}
	if r.Len() != 0 {
		t.Errorf("Len is %d after the end", r.Len())
	}
	t.Logf("%d values, %d of them expired", len(all), expired.Load())
}

// hammer does one random thing, and remembers what it added in mine.
func hammer(t *testing.T, r *Registry[*thing], mine *[]*thing) {
	if len(*mine) == 0 || rand.IntN(3) == 0 {
		v, err := r.Add("ann", newThing)
		if err == nil {
			*mine = append(*mine, v)
		} else if !errors.Is(err, ErrFull) {
			t.Error(err)
		}
		return
	}
	v := (*mine)[rand.IntN(len(*mine))]
	switch rand.IntN(4) {
	case 0:
		if r.Remove(v.entry) {
			v.ended.Add(1)
		}
	case 1:
		v.entry.Hold()
		v.entry.Release()
	case 2:
		if n := r.Len(); n < 0 || n > 500 {
			t.Errorf("Len is %d", n)
		}
	default:
		if got, ok := r.Get(v.id(), "ann"); ok && got != v {
			t.Error("an id found another's value")
		}
	}
}
