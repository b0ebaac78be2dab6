// Package poll waits for many quiet connections at once, with one goroutine for
// all of them instead of one for each: what a goroutine costs while it waits,
// its stack above all, is most of what an idle connection takes.
//
// It knows descriptors, and neither what comes on them nor for how long anybody
// waits. It imports nothing of ours.
package poll

import "errors"

// ErrUnsupported is returned by New where the system has nothing to wait with.
// A goroutine for each connection does there.
var ErrUnsupported = errors.New("poll: not on this system")

// Watched is a connection's part in it. The zero value is one that was never
// watched. It must not be copied.
type Watched struct {
	// Ready is called, on a goroutine of its own, when there is something to
	// read: bytes, the client's end, or an error. It may be called once more
	// than was asked for, so it must be ready to find nothing. It is set before
	// the first Watch, and never changes.
	Ready func()

	descriptor int32
	turn       int32 // tells it from whoever had the descriptor before; 0: was never watched
}
