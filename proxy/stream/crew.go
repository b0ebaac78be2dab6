package stream

import (
	"sync"
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
)

// A Crew writes to the connections of main streams that have something to be
// written, a few at a time and the others in the order in which they came. Who would have to wait
// for a client leaves the crew, and goes on outside. The zero value is ready.
type Crew struct {
	mu      sync.Mutex
	working int
	waiting []*Conn
}

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
	w.mu.Lock()
	crowded := len(w.waiting) >= crowd
	w.mu.Unlock()
	if crowded {
		time.Sleep(max(restFactor*d, leastRest))
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
	return next
}
