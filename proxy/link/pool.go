package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/refusal"
)

// ErrNoLinks is what Take fails with, wrapped in a sentence for a person, when
// every link is taken.
var ErrNoLinks = errors.New("no link is free")

// ErrClosed is what Take fails with once the pool is closed.
var ErrClosed = errors.New("the gate is shutting down")

// startTimeout bounds the opening of a connection. It is no wait for the
// server to become able to answer.
const startTimeout = 30 * time.Second

// PoolOptions never change.
type PoolOptions struct {
	Warm      int           // links kept started and unused
	MaxLinks  int           // links at once in whatever state; a place is free when nothing is left of its link
	Wait      time.Duration // for a free place, before Take fails; 0: it fails at once
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

	open     context.Context // done when the pool is closed
	openStop context.CancelFunc
	hard     context.Context // done when links are to end at once
	hardStop context.CancelFunc
	living   sync.WaitGroup // one for each member

	mu      sync.Mutex
	members map[*Link]*member
	warm    []*member // oldest first
	counts  [states]int
	waiters []chan struct{}
	sure    time.Time   // when the server has kept a connection that was only tried
	taken   time.Time   // when a warm link was taken last
	quiet   *time.Timer // wakes Run when none was taken for a while
	health
}

// NewPool makes a pool without links. Run keeps it warm.
func NewPool(b backend.Backend, o PoolOptions) *Pool {
	p := &Pool{backend: b, options: o, kick: make(chan struct{}, 1), members: make(map[*Link]*member), quiet: time.NewTimer(rest)}
	p.open, p.openStop = context.WithCancel(context.Background())
	p.hard, p.hardStop = context.WithCancel(context.Background())
	return p
}

// room tells whether one more link may be started. p.mu is held.
func (p *Pool) room() bool { return len(p.members) < p.options.MaxLinks }

// enter makes a member that is starting. p.mu is held.
func (p *Pool) enter() *member {
	if p.failures > 0 {
		p.options.Restarted()
		p.delay() // the next one has to wait for what becomes of this
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

// start opens the connection of a member that is starting. Where its caller
// gives up, that is no failure of the server's.
func (p *Pool) start(ctx context.Context, m *member, to state) error {
	conn, err := p.connect(ctx, m.link)
	opened := err == nil
	p.mu.Lock()
	defer p.mu.Unlock()
	if opened {
		m.link.Attach(conn)
		err = m.dead
	}
	closed := p.open.Err() != nil
	if err == nil && !closed {
		p.started(m, to)
		return nil
	}
	if closed {
		err = ErrClosed
	} else if ctx.Err() == nil {
		p.failed(err)
	}
	if opened {
		p.bury(m, refusal.Ended)
	} else {
		p.leave(m)
	}
	return err
}

// started puts a member to use. p.mu is held.
func (p *Pool) started(m *member, to state) {
	p.move(m, to)
	if to == warm {
		p.warm = append(p.warm, m)
		p.wake()
	}
}

// connect opens a connection, unless that takes too long or the pool is closed.
func (p *Pool) connect(ctx context.Context, l *Link) (backend.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	defer context.AfterFunc(p.open, cancel)()
	return p.backend.Open(ctx, l)
}

// Take leases a link that nobody has used: a warm one, else a new one, else,
// after a bounded wait, one whose place becomes free. ctx bounds the wait and
// the start. The caller ends the link with End.
func (p *Pool) Take(ctx context.Context) (*Link, error) {
	bounded, cancel := context.WithTimeout(ctx, p.options.Wait)
	defer cancel()
	for woken := false; ; woken = true {
		found, err := p.choose(woken)
		switch {
		case err != nil:
			return nil, err
		case found.ready != nil:
			return found.ready, nil
		case found.fresh != nil:
			if err := p.start(ctx, found.fresh, active); err != nil {
				return nil, err
			}
			return found.fresh.link, nil
		}
		select {
		case <-found.freed:
		case <-bounded.Done():
			p.unwait(found.freed)
			return nil, fmt.Errorf("%w: %d of %d are in use (--max-links) and none became free in %v (--link-wait); try again later, end a session, or have the limit raised",
				ErrNoLinks, p.options.MaxLinks, p.options.MaxLinks, p.options.Wait)
		}
	}
}

// A choice is one of three: a link that was warm, a member that is to be
// started, or a place in the queue.
type choice struct {
	ready *Link
	fresh *member
	freed chan struct{}
}

// choose finds what there is for Take. Who comes does not overtake those who
// wait; who was woken for nothing, because Run was quicker, is first again.
func (p *Pool) choose(woken bool) (choice, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open.Err() != nil {
		return choice{}, ErrClosed
	}
	if len(p.waiters) > 0 && !woken {
		return choice{freed: p.wait(len(p.waiters))}, nil
	}
	if l := p.oldest(); l != nil {
		return choice{ready: l}, nil
	}
	if err := p.looping(); err != nil {
		if woken {
			p.wake() // its turn passes on
		}
		return choice{}, err
	}
	if p.room() {
		return choice{fresh: p.enter()}, nil
	}
	return choice{freed: p.wait(0)}, nil
}

// TakeWarm is Take where a link is warm that nobody else waits for, else nil.
func (p *Pool) TakeWarm() *Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open.Err() != nil || len(p.waiters) > 0 {
		return nil
	}
	return p.oldest()
}

// oldest takes the link that has been warm for longest, nil if none is. p.mu is
// held.
func (p *Pool) oldest() *Link {
	if len(p.warm) == 0 {
		return nil
	}
	m := p.warm[0]
	p.warm = slices.Delete(p.warm, 0, 1)
	p.move(m, active)
	p.replace()
	return m.link
}

// Full tells whether Take would have to wait for a place.
func (p *Pool) Full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.warm) == 0 && !p.room()
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
	p.forgive()
	if m.dead != nil && !l.Heard() {
		p.failed(m.dead)
	}
	p.bury(m, why)
}

// died notes that a connection has ended by itself. A member that is starting
// is looked after by start; the owner of an active one hears of it from the
// link and calls End.
func (p *Pool) died(m *member, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.dead = err
	switch {
	case m.state == warm:
		p.forgive()
		p.failed(err)
		i := slices.Index(p.warm, m)
		p.warm = slices.Delete(p.warm, i, i+1)
		p.bury(m, refusal.Ended)
	case m.state == active && m.link.Heard():
		p.options.Log.Warn("a tool server ended in use", zap.Error(err))
	}
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
// left of them. Calling it again hurries the first call.
func (p *Pool) Close(ctx context.Context) {
	p.mu.Lock()
	p.openStop()
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
