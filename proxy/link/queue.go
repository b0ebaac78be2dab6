package link

import "slices"

// The queue of those who wait in Take for a place. Each is woken once, when a
// place or a warm link may be there, and then takes it, queues again, or
// passes its turn on: a place is never free while somebody sleeps.

// wait queues for a place, with so many ahead; the channel is closed when one
// may be there. p.mu is held.
func (p *Pool) wait(ahead int) chan struct{} {
	freed := make(chan struct{})
	p.waiters = slices.Insert(p.waiters, ahead, freed)
	return freed
}

// wake lets the first in the queue try again. p.mu is held.
func (p *Pool) wake() {
	if len(p.waiters) > 0 {
		close(p.waiters[0])
		p.waiters = slices.Delete(p.waiters, 0, 1)
	}
}

// unwait leaves the queue; a turn that came too late goes to the next.
func (p *Pool) unwait(freed chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiters, freed); i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
		return
	}
	p.wake()
}
