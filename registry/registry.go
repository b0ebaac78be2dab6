// Package registry keeps what lives for a while under an id that nobody can
// guess: sessions first, parked calls later. It gives out the ids, binds each
// to the caller it was made for, and lets go of what has been idle or alive
// for too long.
//
// It knows neither HTTP nor the protocol, and imports nothing of ours.
package registry

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// shardCount is a power of two, so that a hash is masked to its shard.
const shardCount = 64

// ErrFull is returned by Add when the registry holds Options.Max values.
var ErrFull = errors.New("the registry is full")

// ErrClosed is returned by Add once Close has been called.
var ErrClosed = errors.New("the registry is closed")

// A Reason says why a value expired.
type Reason uint8

// The reasons.
const (
	Idle     Reason = iota // not held and not asked for during Options.Idle
	Lifetime               // older than Options.Lifetime
)

func (r Reason) String() string {
	if r == Idle {
		return "idle"
	}
	return "lifetime"
}

// Options says how much a registry holds, and for how long.
type Options[V any] struct {
	Max      int           // most values at once; 0: no limit
	Idle     time.Duration // a value that is not held ends after so long; 0: never
	Lifetime time.Duration // a value ends after so long, held or not; 0: never

	// Now is the clock; nil: time.Now.
	Now func() time.Time

	// OnExpire is called from Run, once for each value that expired, when the
	// value cannot be found any more. It holds up the sweep, so work that can
	// wait belongs elsewhere. nil: nothing is called.
	OnExpire func(v V, why Reason)
}

// A Registry maps ids to values of type V. Its methods may be called from any
// goroutine.
type Registry[V any] struct {
	options Options[V]
	seed    maphash.Seed
	clock   clock

	// adding is read-locked while a value is being made and stored, so that
	// Close leaves none behind.
	adding sync.RWMutex
	closed bool

	_     linePad
	count atomic.Int64 // moves with the maps, under the lock of the shard that changes
	_     linePad

	shards [shardCount]shard[V]
}

// A slot is an entry with its value: one allocation each.
type slot[V any] struct {
	Entry
	value V
}

// A shard has its own lock, and its own pair of cache lines: without the pad
// two neighbours' look-ups would take turns on one line. With so many shards
// RWMutex and Mutex measure alike; RWMutex lets look-ups go on while the
// sweeper walks the shard.
type shard[V any] struct {
	mu    sync.RWMutex
	slots map[key]*slot[V]
	_     [128 - 32]byte
}

// linePad keeps its neighbours on different cache lines: 128 bytes, because
// processors fetch lines of 64 in pairs, and some have lines of 128.
type linePad [128]byte

// New makes an empty registry.
func New[V any](o Options[V]) *Registry[V] {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Registry[V]{options: o, seed: maphash.MakeSeed(), clock: clock{now: o.Now, start: o.Now()}}
	for i := range r.shards {
		r.shards[i].slots = make(map[key]*slot[V])
	}
	return r
}

// Add makes a fresh id, calls create with the entry under it, and stores the
// value for principal. Nobody finds the value before create has returned.
// create may keep the entry, to use it once Add has returned; it must not wait
// for anything, because Close waits for it. Its error is returned as it is and
// nothing is stored. The other errors are ErrFull and ErrClosed; create has not
// been called then.
func (r *Registry[V]) Add(principal string, create func(e *Entry) (V, error)) (V, error) {
	var none V
	r.adding.RLock()
	defer r.adding.RUnlock()
	if r.closed {
		return none, ErrClosed
	}
	if !r.reserve() {
		return none, ErrFull
	}
	stored := false
	defer func() {
		if !stored { // an error, or a panic in create
			r.count.Add(-1)
		}
	}()

	s := &slot[V]{}
	s.open(&r.clock, principal)
	v, err := create(&s.Entry)
	if err != nil {
		return none, err
	}
	s.value = v
	k := s.id.key()
	h := r.shard(&k)
	h.mu.Lock()
	h.slots[k] = s
	h.mu.Unlock()
	stored = true
	return v, nil
}

// reserve takes one place, unless all are taken. A place counts from here on,
// also while its value is still being made: Max is never passed.
func (r *Registry[V]) reserve() bool {
	for {
		n := r.count.Load()
		if r.options.Max > 0 && n >= int64(r.options.Max) {
			return false
		}
		if r.count.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Get finds the live value with this id for this principal, and restarts its
// idle clock. Every other case, an id that is unknown, ended, expired though
// not swept yet, or another principal's, is one and the same false. It does
// not allocate and does not keep id.
//
// The principal is compared as it comes and not in constant time. It is no
// secret, and the comparison is reached only by who presents a live id of 128
// random bits: what its duration tells, they know already.
func (r *Registry[V]) Get(id []byte, principal string) (V, bool) {
	var none V
	if len(id) != len(key{}) {
		return none, false
	}
	k := key(id)
	h := r.shard(&k)
	now := r.clock.read()
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.slots[k]
	if s == nil || s.principal != principal {
		return none, false
	}
	if _, ended := r.expired(&s.Entry, now); ended {
		return none, false
	}
	// Stored under the shard's lock: the sweeper looks once more under the
	// write lock before it takes a value out.
	s.seen.Store(now)
	return s.value, true
}

// Remove takes the value of e out. It returns false when that has happened
// already: of all who try, one gets true, and that one closes the value.
func (r *Registry[V]) Remove(e *Entry) bool {
	k := e.id.key()
	h := r.shard(&k)
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.slots[k]; s == nil || &s.Entry != e {
		return false
	}
	r.drop(h, k)
	return true
}

// drop removes the value under k. The caller holds h's lock.
func (r *Registry[V]) drop(h *shard[V], k key) {
	delete(h.slots, k)
	r.count.Add(-1)
}

// Len is the number of values, without a walk. A value counts while it is
// being made, and until it is removed or swept.
func (r *Registry[V]) Len() int { return int(r.count.Load()) }

// Close refuses further values, takes out all there are, and calls end for
// each, for at most bound of them at once. It returns when every end has; ctx
// is only handed to them. It does not wait for an OnExpire under way: end Run
// first.
func (r *Registry[V]) Close(ctx context.Context, bound int, end func(context.Context, V)) {
	if bound < 1 {
		panic(fmt.Sprintf("BUG: Registry.Close with a bound of %d", bound))
	}
	r.adding.Lock()
	r.closed = true
	r.adding.Unlock()

	values := r.takeAll()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(bound, len(values)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(values)); i = next.Add(1) - 1 {
				end(ctx, values[i])
			}
		})
	}
	workers.Wait()
}

// Each calls do for each value there is, without a lock: one that is removed
// meanwhile may still come. What is added meanwhile may not.
func (r *Registry[V]) Each(do func(V)) {
	var values []V
	for i := range r.shards {
		h := &r.shards[i]
		values = values[:0]
		h.mu.RLock()
		for _, s := range h.slots {
			values = append(values, s.value)
		}
		h.mu.RUnlock()
		for _, v := range values {
			do(v)
		}
	}
}

// takeAll empties every shard.
func (r *Registry[V]) takeAll() []V {
	values := make([]V, 0, r.Len())
	for i := range r.shards {
		h := &r.shards[i]
		h.mu.Lock()
		for k, s := range h.slots {
			values = append(values, s.value)
			r.drop(h, k)
		}
		h.mu.Unlock()
	}
	return values
}

// shard is where k belongs. The hash is seeded: what is looked up is the
// client's choice, and it must not be able to aim at one shard.
func (r *Registry[V]) shard(k *key) *shard[V] {
	return &r.shards[maphash.Bytes(r.seed, k[:])%shardCount]
}
