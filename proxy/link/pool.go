package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/refusal"
)

// ErrNoLinks is what Take fails with, wrapped in a sentence for a person, when
// every link is taken.
var ErrNoLinks = errors.New("no link is free")

// errClosed is what Take fails with once the pool is closed.
var errClosed = errors.New("the gate is shutting down")

const (
	firstBackoff = 100 * time.Millisecond
	longBackoff  = 30 * time.Second
	crashLoop    = 5                // failures in a row that make the pool unready
	soundAge     = 10 * time.Second // a link that lives so long has started well
)

// PoolOptions never change.
type PoolOptions struct {
	Warm      int           // links kept started and unused
	MaxLinks  int           // links at once in whatever state; a place is free when nothing is left of its link
	Wait      time.Duration // for a free place, before Take fails
	Link      Options
	Restarted func() // counts a start that follows a failure
	Log       *zap.Logger
}

// state is what a member of the pool is doing.
type state uint8

const (
	starting state = iota
	warm
	active
	closing
	states
)

var stateNames = [states]string{"starting", "warm", "active", "closing"}

// A member is a link with what the pool knows of it.
type member struct {
	link  *Link
	state state
	born  time.Time
	dead  error // its connection has ended by itself
}

// A Pool starts links ahead of their use and bounds how many there are. A
// server that dies again and again is started less and less often, and makes
// the pool unready; a link that lives or answers makes up for all failures.
type Pool struct {
	backend backend.Backend
	options PoolOptions
	kick    chan struct{} // wakes Run

	hard     context.Context // done when links are to end at once
	hardStop context.CancelFunc
	living   sync.WaitGroup // one for each member

	mu       sync.Mutex
	members  map[*Link]*member
	warm     []*member // oldest first
	counts   [states]int
	waiters  []chan struct{}
	failures int       // in a row
	next     time.Time // not started before, after a failure
	last     error     // the last failure
	closed   bool
}

// NewPool makes a pool without links. Run keeps it warm.
func NewPool(b backend.Backend, o PoolOptions) *Pool {
	p := &Pool{backend: b, options: o, kick: make(chan struct{}, 1), members: make(map[*Link]*member)}
	p.hard, p.hardStop = context.WithCancel(context.Background())
	return p
}

// Run starts links ahead of their use until ctx is done.
func (p *Pool) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		p.refill(ctx)
		wait := time.NewTimer(p.pause())
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-p.kick:
		case <-wait.C:
		case <-tick.C:
			p.forgive()
		}
		wait.Stop()
	}
}

// refill starts links until enough are warm, a start fails, or it is too early
// after a failure.
func (p *Pool) refill(ctx context.Context) {
	for {
		p.mu.Lock()
		wanted := p.counts[warm]+p.counts[starting] < p.options.Warm && p.room() && !p.closed && !time.Now().Before(p.next)
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

// pause is how long Run has nothing to do, unless it is kicked.
func (p *Pool) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := time.Until(p.next); d > 0 {
		return d
	}
	return time.Minute
}

// forgive clears the failures when a warm link has lived for a while.
func (p *Pool) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.warm) > 0 && time.Since(p.warm[0].born) > soundAge {
		p.failures = 0
	}
}

// room tells whether one more link may be started. p.mu is held.
func (p *Pool) room() bool { return len(p.members) < p.options.MaxLinks }

// enter makes a member that is starting. p.mu is held.
func (p *Pool) enter() *member {
	if p.failures > 0 {
		p.options.Restarted()
	}
	m := &member{state: starting, born: time.Now()}
	m.link = New(&p.options.Link, func(err error) { p.died(m, err) })
	p.members[m.link] = m
	p.living.Add(1)
	p.counts[starting]++
	return m
}

// move changes a member's state. p.mu is held.
func (p *Pool) move(m *member, to state) {
	p.counts[m.state]--
	p.counts[to]++
	m.state = to
}

// start opens the connection of a member that is starting.
func (p *Pool) start(ctx context.Context, m *member, to state) error {
	conn, err := p.backend.Open(ctx, m.link)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed(err)
		p.leave(m)
		return err
	}
	m.link.Attach(conn)
	if p.closed {
		p.bury(m, refusal.Draining)
		return errClosed
	}
	if m.dead != nil {
		p.failed(m.dead)
		p.bury(m, refusal.Ended)
		return m.dead
	}
	p.move(m, to)
	if to == warm {
		p.warm = append(p.warm, m)
		p.wake()
	}
	return nil
}

// Take leases a link that nobody has used: a warm one, else a new one, else,
// after a bounded wait, one whose place becomes free. The caller ends it with
// End.
func (p *Pool) Take(ctx context.Context) (*Link, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Wait)
	defer cancel()
	for {
		p.mu.Lock()
		if err := p.unable(); err != nil {
			p.mu.Unlock()
			return nil, err
		}
		if len(p.warm) > 0 {
			m := p.warm[0]
			p.warm = p.warm[1:]
			p.move(m, active)
			p.mu.Unlock()
			p.rouse()
			return m.link, nil
		}
		if p.room() {
			m := p.enter()
			p.mu.Unlock()
			if err := p.start(ctx, m, active); err != nil {
				return nil, err
			}
			return m.link, nil
		}
		freed := p.wait()
		p.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			p.unwait(freed)
			return nil, fmt.Errorf("%w: %d of %d are in use (--max-links) and none became free in %v (--link-wait); end a session, raise the limit, or lower --idle-timeout",
				ErrNoLinks, p.options.MaxLinks, p.options.MaxLinks, p.options.Wait)
		}
	}
}

// unable says why no link is given out at present. p.mu is held.
func (p *Pool) unable() error {
	if p.closed {
		return errClosed
	}
	if p.failures >= crashLoop && time.Now().Before(p.next) {
		return p.looping()
	}
	return nil
}

// looping says what is wrong with the server. p.mu is held.
func (p *Pool) looping() error {
	return fmt.Errorf("the tool server failed %d times in a row, and is tried again in %v; the last time: %w",
		p.failures, max(0, time.Until(p.next)).Round(100*time.Millisecond), p.last)
}

// Ready tells whether the server starts; the error says why it does not.
func (p *Pool) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures >= crashLoop {
		return p.looping()
	}
	return nil
}

// End ends a link that Take has given out, in the background. Calling it again
// does nothing.
func (p *Pool) End(l *Link, why *refusal.Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.members[l]
	if m == nil || m.state != active {
		return
	}
	if l.Heard() {
		p.failures = 0
	} else if m.dead != nil {
		p.failed(m.dead)
	}
	p.bury(m, why)
}

// died notes that a connection has ended by itself. The owner of an active
// link hears of it from the link and calls End.
func (p *Pool) died(m *member, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.dead = err
	if m.state != warm {
		return // start and End look at dead
	}
	for i, w := range p.warm {
		if w == m {
			p.warm = append(p.warm[:i:i], p.warm[i+1:]...)
			break
		}
	}
	if time.Since(m.born) > soundAge {
		p.failures = 0
	}
	p.failed(err)
	p.bury(m, refusal.Ended)
}

// failed counts a failure and sets when the next start may be. p.mu is held.
func (p *Pool) failed(err error) {
	p.failures++
	p.last = err
	pause := min(firstBackoff<<min(p.failures-1, 16), longBackoff)
	pause -= time.Duration(rand.Int64N(int64(pause / 4))) // many gates must not start in step
	p.next = time.Now().Add(pause)
	p.options.Log.Warn("the tool server failed", zap.Error(err), zap.Int("failures", p.failures), zap.Duration("next_start", pause))
	p.rouse()
}

// bury ends a member's connection in the background. p.mu is held.
func (p *Pool) bury(m *member, why *refusal.Refusal) {
	p.move(m, closing)
	go func() {
		m.link.End(p.hard, why)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.leave(m)
	}()
}

// leave frees a member's place. p.mu is held.
func (p *Pool) leave(m *member) {
	p.counts[m.state]--
	delete(p.members, m.link)
	p.living.Done()
	p.wake()
	p.rouse()
}

// Close ends all links, at once when ctx is done, and returns when nothing is
// left of them.
func (p *Pool) Close(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	p.warm = nil
	for _, m := range p.members {
		if m.state == warm || m.state == active {
			p.bury(m, refusal.Draining)
		}
	}
	for len(p.waiters) > 0 {
		p.wake()
	}
	p.mu.Unlock()
	stop := context.AfterFunc(ctx, p.hardStop)
	defer stop()
	p.living.Wait()
}

// rouse wakes Run.
func (p *Pool) rouse() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// wait queues for a place; the channel is closed when one may be free. p.mu is
// held.
func (p *Pool) wait() chan struct{} {
	freed := make(chan struct{})
	p.waiters = append(p.waiters, freed)
	return freed
}

// wake lets the first in the queue try again. p.mu is held.
func (p *Pool) wake() {
	if len(p.waiters) > 0 {
		close(p.waiters[0])
		p.waiters = p.waiters[1:]
	}
}

// unwait leaves the queue; a turn that came too late goes to the next.
func (p *Pool) unwait(freed chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.waiters {
		if w == freed {
			p.waiters = append(p.waiters[:i:i], p.waiters[i+1:]...)
			return
		}
	}
	p.wake()
}

// Counts reads the number of links in each state, by its name.
func (p *Pool) Counts() map[string]func() int {
	all := make(map[string]func() int, states)
	for s, name := range stateNames {
		all[name] = func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.counts[s]
		}
	}
	return all
}
