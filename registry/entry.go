package registry

import (
	"crypto/rand"
	"encoding/base64"
	"sync/atomic"
	"time"
)

// An ID is 128 bits from crypto/rand in 22 characters of base64url. As the
// specification asks of a session id (2025-11-25, basic/transports, "Session
// Management"), it is visible ASCII and cannot be guessed.
type ID string

// A key is an ID as the maps hold it: in the map's own memory, so that a
// look-up need not follow a pointer to compare it.
type key [22]byte

func (id ID) key() key { return key([]byte(id)) }

func newID() ID {
	var bits [16]byte
	rand.Read(bits[:]) // never fails: it ends the program first
	var k key
	base64.RawURLEncoding.Encode(k[:], bits[:])
	return ID(k[:])
}

// An Entry is the registry's part of a value. The value's maker keeps it, to
// tell the registry when the value is in use.
type Entry struct {
	id        ID
	principal string
	clock     *clock
	born      time.Duration
	seen      atomicDuration // when it was last found or let go
	holds     atomic.Int32
}

// open fills a fresh entry in place: it must not be copied any more.
func (e *Entry) open(c *clock, principal string) {
	e.id = newID()
	e.principal = principal
	e.clock = c
	e.born = c.read()
	e.seen.Store(e.born)
}

// ID is the id under which the value is found.
func (e *Entry) ID() ID { return e.id }

// Principal is whom the value belongs to.
func (e *Entry) Principal() string { return e.principal }

// Hold says that the value is in use, a call in flight or an open stream: it
// is not idle until each Hold has its Release. Its lifetime runs on. Hold it
// right after Add or Get, which restart the idle clock: what has expired
// meanwhile may be gone already.
func (e *Entry) Hold() { e.holds.Add(1) }

// Release ends one Hold and restarts the idle clock.
func (e *Entry) Release() {
	// The clock first: between the two steps the sweeper must not see a value
	// that is neither held nor fresh.
	e.seen.Store(e.clock.read())
	if e.holds.Add(-1) < 0 {
		panic("BUG: registry.Entry released more often than held")
	}
}

// atomicDuration is a time.Duration for many goroutines.
type atomicDuration struct{ n atomic.Int64 }

func (d *atomicDuration) Load() time.Duration   { return time.Duration(d.n.Load()) }
func (d *atomicDuration) Store(t time.Duration) { d.n.Store(int64(t)) }

// A clock counts from the moment it was made: such a number can be kept in an
// atomic, and does not jump when somebody sets the time of day.
type clock struct {
	now   func() time.Time
	start time.Time
}

func (c *clock) read() time.Duration { return c.now().Sub(c.start) }
