// Package limits counts: bytes in flight, slots in use, and how often a key may
// have something. It knows numbers and keys; what they stand for, and what is
// answered when one is reached, is the caller's. It imports nothing of ours.
package limits

import (
	"fmt"
	"sync/atomic"
)

// Bytes is a budget of bytes in flight, for many goroutines. It never blocks:
// who gets none has to do without.
type Bytes struct {
	limit int64
	used  atomic.Int64
}

// NewBytes makes a budget of limit bytes; 0: no limit, they are only counted.
func NewBytes(limit int64) *Bytes {
	if limit < 0 {
		panic(fmt.Sprintf("BUG: a limit of %d", limit))
	}
	return &Bytes{limit: limit}
}

// TryAcquire takes n bytes, all of them or none. It never takes more than there
// are, not for a moment, so a large n that fails does not fail others.
func (b *Bytes) TryAcquire(n int64) bool {
	if n < 0 {
		panic(fmt.Sprintf("BUG: acquiring %d", n))
	}
	for {
		used := b.used.Load()
		if b.limit > 0 && n > b.limit-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Release gives n bytes back.
func (b *Bytes) Release(n int64) {
	if n < 0 {
		panic(fmt.Sprintf("BUG: releasing %d", n))
	}
	if left := b.used.Add(-n); left < 0 {
		panic(fmt.Sprintf("BUG: %d released, %d more than acquired", n, -left))
	}
}

// InUse is how many bytes are acquired now.
func (b *Bytes) InUse() int64 { return b.used.Load() }

// Limit is how many there are; 0: no limit.
func (b *Bytes) Limit() int64 { return b.limit }

// Slots is a number of places, such as for connections or for calls in a
// session: Bytes of which one is taken at a time.
type Slots struct{ places Bytes }

// NewSlots makes limit places; 0: no limit, they are only counted.
func NewSlots(limit int) *Slots {
	if limit < 0 {
		panic(fmt.Sprintf("BUG: a limit of %d", limit))
	}
	return &Slots{places: Bytes{limit: int64(limit)}}
}

// TryAcquire takes one place, if one is free.
func (s *Slots) TryAcquire() bool { return s.places.TryAcquire(1) }

// Release gives one place back.
func (s *Slots) Release() { s.places.Release(1) }

// InUse is how many places are taken now.
func (s *Slots) InUse() int { return int(s.places.InUse()) }

// Limit is how many there are; 0: no limit.
func (s *Slots) Limit() int { return int(s.places.limit) }
