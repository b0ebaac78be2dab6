package stream

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// crewSize is how many connections are written to at the same moment, by
	// writers that need not wait: more would only take turns on the processors,
	// each with a stack of its own.
	crewSize = 4
	// crowd is how many connections may wait for a writer before the crew takes
	// its time: what a server says to all is not to hold up the calls of a few.
	crowd = 256
	// stint is after how many connections a writer rests then, for restFactor
	// times as long as they took it, and at least for leastRest. On a busy machine
	// they take it longer, so it leaves to others more than it takes.
	stint      = 8
	restFactor = 4
	leastRest  = 2 * time.Millisecond
	mostRest   = 50 * time.Millisecond // it may have taken long for no reason of the machine's load
)

// A Crew writes to the connections of main streams that have something to be
// written, a few at a time and the others in the order in which they came. Who would have to wait
// for a client leaves the crew, and goes on outside. The zero value is ready.
type Crew struct {
	crowded atomic.Bool // crowd of them wait, or more

	mu      sync.Mutex
	working int
	waiting []*Conn
	hurried bool
}

// Hurry says that nobody rests from here on: the gate ends, and all that is left
// to do for it is to write.
func (w *Crew) Hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hurried = true
	w.count()
}

// count notes whether there is a crowd. The lock is held.
func (w *Crew) count() { w.crowded.Store(len(w.waiting) >= crowd && !w.hurried) }

// take has c written to. It does not block. A nil crew has no bounds.
func (w *Crew) take(c *Conn) {
	if w == nil {
		go c.writeAlone()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.working == crewSize {
		w.waiting = append(w.waiting, c)
		w.count()
		return
	}
	w.working++
	go w.work(c)
}

// writeAlone writes until there is nothing left to write.
func (c *Conn) writeAlone() {
	for c.writeSome(nil) {
		continue
	}
}

// A turn is a writer's place in the crew.
type turn struct {
	crew *Crew
	left bool
}

// leave gives the place to another, before its writer waits for a client.
func (t *turn) leave() {
	if t == nil || t.left {
		return
	}
	t.left = true
	if next := t.crew.next(nil); next != nil {
		go t.crew.work(next)
	}
}

// work is a writer of the crew, which begins with c.
func (w *Crew) work(c *Conn) {
	t := &turn{crew: w}
	began := time.Now()
	for n := 1; c != nil; n++ {
		again := c.writeSome(t)
		switch {
		case t.left && again:
			w.take(c)
			return
		case t.left:
			return
		case !again:
			c = nil
		}
		if n%stint == 0 {
			w.rest(time.Since(began))
			began = time.Now()
		}
		c = w.next(c)
	}
}

// rest lets a writer rest after d of work, where there is a crowd.
func (w *Crew) rest(d time.Duration) {
	if w.crowded.Load() {
		time.Sleep(min(max(restFactor*d, leastRest), mostRest))
	}
}

// hasten has c written to before the crowd that it waits with, if it does. It
// holds an answer, for which somebody waits. The outbox's lock is held.
func (w *Crew) hasten(c *Conn) {
	if w == nil || !c.writing || !w.crowded.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.waiting, c); i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
		w.count()
		go c.writeAlone()
	}
}

// next is the connection that a writer goes on with, nil where there is none: then
// its place is free. again comes after all others; nil: there is nothing left to
// write to it.
func (w *Crew) next(again *Conn) *Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		if w.waiting = nil; again == nil {
			w.working--
		}
		return again
	}
	if again != nil {
		w.waiting = append(w.waiting, again)
	}
	next := w.waiting[0]
	w.waiting[0] = nil
	w.waiting = w.waiting[1:]
	w.count()
	return next
}
