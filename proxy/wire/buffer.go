package wire

import (
	"math/bits"
	"sync"
)

// Buffers come in six classes, a factor of four apart. What is larger than the
// largest is a giant: made to measure and left to the garbage collector, so
// that one 16 MiB result does not stay pinned for the life of the process.
const (
	minClassBits = 10 // 1 KiB
	classStep    = 2  // log2 of the factor between two classes
	classes      = 6  // 1K 4K 16K 64K 256K 1M
	maxClass     = 1 << (minClassBits + classStep*(classes-1))
)

var pools [classes]sync.Pool

// Budget bounds the bytes that are held at a time. Its methods may be called
// from any goroutine and never wait.
type Budget interface {
	TryAcquire(n int64) bool
	Release(n int64)
}

// Buffer is a pooled byte slice with one owner at a time; the owner ends it
// with Release or hands it on. B may be appended to and cut short, but must
// not be replaced by memory from elsewhere: Release gives B's memory to the
// next owner.
type Buffer struct {
	B []byte

	// Header is what stood in the HTTP request that the message came in, as
	// header lines, where the server is to see it; nil where the message came in
	// none. It is not kept with the memory, and not counted.
	Header []byte

	// Host may do what is needed to get the message's answer; nil where nobody
	// lends itself. It is not kept with the memory either.
	Host *Host

	budget  Budget // that was charged, nil where none was
	charged int64  // bytes to give back to budget
	live    bool   // between Acquire and Release
}

// Acquire returns a buffer with len(B) == 0 and cap(B) >= size bytes.
func Acquire(size int) *Buffer {
	c := classFor(size)
	if c == classes {
		return &Buffer{B: make([]byte, 0, size), live: true}
	}
	b, _ := pools[c].Get().(*Buffer)
	if b == nil {
		b = &Buffer{B: make([]byte, 0, classSize(c))}
	}
	b.live = true
	return b
}

// Release gives the buffer's charge back to its budget and its memory to the
// pool. Neither the buffer nor B may be used afterwards. A nil buffer is fine;
// releasing a buffer twice panics, as long as nobody else has acquired it.
func (b *Buffer) Release() {
	if b == nil {
		return
	}
	if !b.live {
		panic("BUG: wire.Buffer released twice")
	}
	if b.charged > 0 {
		b.budget.Release(b.charged)
	}
	b.B = b.B[:0]
	b.Header = nil
	b.Host = nil
	b.budget = nil
	b.charged = 0
	b.live = false
	if c := classHeld(cap(b.B)); c >= 0 {
		pools[c].Put(b)
	}
}

// Charge takes n more bytes from budget and gives them back on Release. false:
// the budget is full and nothing was charged. A nil budget always has room. A
// buffer is charged to one budget only.
func (b *Buffer) Charge(budget Budget, n int64) bool {
	if budget == nil || n <= 0 {
		return true
	}
	if b.budget != nil && b.budget != budget {
		panic("BUG: wire.Buffer charged to two budgets")
	}
	if !budget.TryAcquire(n) {
		return false
	}
	b.budget = budget
	b.charged += n
	return true
}

// Grow makes room for n more bytes after len(B) and keeps the contents; slices
// of B taken before are then no longer valid. Up to 1 MiB the capacity goes by
// size classes; above it is exact, so a caller that appends without an end in
// sight asks for as much as it already has.
func (b *Buffer) Grow(n int) {
	if cap(b.B)-len(b.B) >= n {
		return
	}
	bigger := Acquire(len(b.B) + n)
	bigger.B = append(bigger.B, b.B...)
	b.B, bigger.B = bigger.B, b.B
	bigger.Release()
}

// classSize is the capacity in bytes of class c.
func classSize(c int) int { return 1 << (minClassBits + classStep*c) }

// classFor is the smallest class that holds size bytes, classes for a giant.
func classFor(size int) int {
	if size > maxClass {
		return classes
	}
	if size <= 1<<minClassBits {
		return 0
	}
	return (bits.Len(uint(size-1)) - minClassBits + classStep - 1) / classStep
}

// classHeld is the largest class whose promise memory of this capacity keeps,
// -1 for memory that the pool does not want. append may have grown B to any
// capacity; what is past the largest class by more than rounding is a giant.
func classHeld(capacity int) int {
	if capacity < 1<<minClassBits || capacity > maxClass {
		return -1
	}
	return (bits.Len(uint(capacity)) - 1 - minClassBits) / classStep
}
