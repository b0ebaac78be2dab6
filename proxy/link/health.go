package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
)

const (
	firstBackoff = 100 * time.Millisecond
	longBackoff  = 30 * time.Second
	crashLoop    = 5                // failures in a row that make the pool unready
	soundAge     = 10 * time.Second // a link that lives so long has started well
)

// health is what a pool knows of how its server starts, guarded by its lock.
type health struct {
	failures int       // in a row
	since    time.Time // of the last failure
	last     error     // the last failure
	away     error     // what the last look at the server came to, for one that can be looked at
	next     time.Time // no start ahead of use before; in a crash loop no start at all
}

// early tells whether it is too early for a start ahead of use. p.mu is held.
func (p *Pool) early() bool { return time.Now().Before(p.next) }

// spare is how many links there should be ahead of use. While the server fails
// there is at least one: without it nobody would see that it works again,
// since an unready gate gets no sessions. p.mu is held.
func (p *Pool) spare() int {
	if p.failures >= crashLoop {
		return max(1, p.options.Warm)
	}
	return p.options.Warm
}

// failed counts a failure. p.mu is held.
func (p *Pool) failed(err error) {
	p.failures++
	p.since, p.last = time.Now(), err
	pause := p.delay()
	p.options.Log.Warn("the tool server failed", zap.Error(err), zap.Int("failures", p.failures), zap.Duration("next_start", pause))
	p.rouse()
}

// delay puts the next start off, and returns by how much. p.mu is held.
func (p *Pool) delay() time.Duration {
	pause := min(firstBackoff<<min(p.failures-1, 16), longBackoff)
	pause -= rand.N(pause / 4) // many gates must not start in step
	p.next = time.Now().Add(pause)
	return pause
}

// forgive forgets the failures once a link that was started after them shows
// that the server works: it has lived for a while, or answered its owner. p.mu
// is held.
func (p *Pool) forgive() {
	if p.failures == 0 {
		return
	}
	for _, m := range p.members {
		if m.sound() && !m.born.Before(p.since) {
			p.health = health{away: p.away}
			p.rouse()
			return
		}
	}
}

// sound tells whether a member has started well.
func (m *member) sound() bool {
	switch m.state {
	case warm:
		return time.Since(m.born) >= soundAge
	case active:
		return time.Since(m.born) >= soundAge || m.link.Heard()
	}
	return false
}

// looping says what is wrong with a server that fails again and again, unless
// it is time for another try. p.mu is held.
func (p *Pool) looping() error {
	p.forgive()
	if p.failures < crashLoop || !p.early() {
		return nil
	}
	return p.problem()
}

// look asks a server that can be asked whether it is there: one that nobody
// uses would else be taken for a sound one long after its end.
func (p *Pool) look(ctx context.Context) {
	checker, ok := p.backend.(backend.Checker)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := checker.Check(ctx)
	if errors.Is(err, backend.ErrUnsure) {
		err = p.makeSure(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ctx.Err() != nil && p.open.Err() != nil:
	case err != nil && p.away == nil:
		p.options.Log.Warn("the tool server is not there", zap.Error(err))
	case err == nil && p.away != nil:
		p.options.Log.Info("the tool server is there again")
		p.health = health{away: p.away}
		p.rouse()
	}
	p.away = err
}

// makeSure connects to a server that can only be known by that, unless there is
// a link that the server has kept. It does not connect often where that works,
// since each time may cost the server a process, nor beside a link that is still
// to show whether the server keeps it: there may be no place for two.
func (p *Pool) makeSure(ctx context.Context) error {
	p.mu.Lock()
	age, live := p.age()
	away := p.away
	soon := away == nil && p.failures == 0 && time.Since(p.sure) < sureFor
	p.mu.Unlock()
	switch {
	case live && age >= takes || soon:
		return nil
	case live:
		return away
	}
	err := p.try(ctx)
	if err == nil {
		p.mu.Lock()
		p.sure = time.Now()
		p.mu.Unlock()
	}
	return err
}

// age is how long ago the oldest link that lives was begun. p.mu is held.
func (p *Pool) age() (age time.Duration, live bool) {
	for _, m := range p.members {
		if m.dead == nil && (m.state == active || m.state == warm) {
			age, live = max(age, time.Since(m.born)), true
		}
	}
	return age, live
}

const (
	sureFor     = 20 * time.Second // of a server that kept a connection
	lookEvery   = 5 * time.Second
	lookTimeout = 2 * time.Second
)

// Ready tells whether the server starts; the error says why it does not.
func (p *Pool) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away != nil {
		return p.away
	}
	p.forgive()
	if p.failures < crashLoop {
		return nil
	}
	return p.problem()
}

// problem puts a crash loop into words. p.mu is held.
func (p *Pool) problem() error {
	return fmt.Errorf("the tool server failed %d times in a row, and is tried again in %v; the last time: %w",
		p.failures, max(0, time.Until(p.next)).Round(100*time.Millisecond), p.last)
}
