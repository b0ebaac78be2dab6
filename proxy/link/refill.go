package link

import (
	"context"
	"time"
)

// rest is how long no warm link was taken when those that were are replaced. A
// start takes the processors from the link that was just taken, which is to
// answer now. Who opens a session says something more within this time, too.
const rest = 10 * time.Millisecond

// Run starts links ahead of their use until ctx is done.
func (p *Pool) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	looked := time.Time{}
	for {
		if time.Since(looked) >= lookEvery {
			p.look(ctx)
			looked = time.Now()
		}
		p.refill(ctx)
		wait := time.NewTimer(p.pause())
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-p.kick:
		case <-p.quiet.C:
		case <-wait.C:
		case <-tick.C:
			p.mu.Lock()
			p.forgive()
			p.mu.Unlock()
		}
		wait.Stop()
	}
}

// refill starts links until enough are warm, a start fails, or it is too early
// after a failure or after a link was taken.
func (p *Pool) refill(ctx context.Context) {
	for {
		p.mu.Lock()
		wanted := p.counts[warm]+p.counts[starting] < p.spare() && p.room() && p.open.Err() == nil && !p.early() && !p.busy()
		if !wanted {
			p.mu.Unlock()
			return
		}
		m := p.enter()
		p.mu.Unlock()
		if p.start(ctx, m, warm) != nil {
			return
		}
	}
}

// busy tells whether sessions are beginning, for which a start would be in the
// way, while enough links are warm for those that come next. p.mu is held.
func (p *Pool) busy() bool {
	return time.Since(p.taken) < rest && p.counts[warm] >= p.spare()/2
}

// replace sees to it that Run replaces a warm link that was taken. p.mu is held.
func (p *Pool) replace() {
	p.taken = time.Now()
	p.quiet.Reset(rest)
	if !p.busy() {
		p.rouse()
	}
}

// pause is how long Run has nothing to do, unless it is woken.
func (p *Pool) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.early() {
		return time.Until(p.next)
	}
	return time.Minute
}
