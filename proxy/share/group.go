package share

import (
	"context"
	"slices"
	"sync"
	"time"

	"sidegate/proxy/cache"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// Options of a group never change.
type Options struct {
	Principal bool        // each caller has links of its own; else they are for everybody
	Links     int         // shared links for each kind of client; 1 where each caller has its own
	Warm      int         // links that are kept initialized though nobody uses them
	Version   string      // of the gate, which is the client of these links
	Budget    wire.Budget // of bytes in flight, for the copies of what many get
	Dropped   func(what string)
	Cache     *cache.Store // for lists of servers that say when they change; nil: none are kept
}

const (
	// linger is how long a link is kept that nobody uses.
	linger = 30 * time.Second
	// firstAnswer bounds how long a server may take to answer the initialize of
	// the gate: npx and uvx fetch what they start.
	firstAnswer = 2 * time.Minute
	// attendance is how long a question waits for a call whose client could be
	// asked, and a call for a server that is told a log level.
	attendance = 5 * time.Second
	// soundAge is how long a shared link must have lived to be replaced at once;
	// one that died sooner is started again by the next call.
	soundAge = 10 * time.Second
)

// A Group shares the links of one backend. It is the isolations "principal" and
// "shared".
type Group struct {
	options Options
	pool    Pool
	open    context.Context // done when the group is closed
	close   context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	kinds   map[key]*kind
	members map[*member]struct{}
	idle    []*tenant // free for a lease; the one used last is last
	queue   []*wait   // calls that wait for a lease, oldest first
	taking  int       // starts that wait for the pool
}

// NewGroup makes a group without links.
func NewGroup(o Options, p Pool) *Group {
	if o.Principal {
		o.Links = 1
	}
	g := &Group{options: o, pool: p, kinds: make(map[key]*kind), members: make(map[*member]struct{})}
	g.open, g.close = context.WithCancel(context.Background())
	return g
}

// Run ends links that nobody uses; see Sharer.
func (g *Group) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			g.sweep(time.Now())
		case <-ctx.Done():
		}
	}
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	if g.options.Cache != nil {
		g.options.Cache.Close()
	}
	g.close()
	g.work.Wait()
}

// begin runs f on a goroutine of the group's, unless it is closed.
func (g *Group) begin(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.work.Go(f)
	return true
}

// sweep ends the links that nobody has used for a while, but for as many as
// are to be kept warm. Those that only one session or caller may have are not
// worth keeping.
func (g *Group) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	kept := 0
	g.eachUnused(func(t *tenant) {
		if t.told == (owner{}) && kept < g.options.Warm {
			kept++
		} else if now.Sub(t.since) > linger {
			g.end(t, refusal.SessionEnd)
		}
	})
	for k, kd := range g.kinds {
		if kd.members == 0 && !slices.ContainsFunc(kd.slots, (*slot).used) {
			delete(g.kinds, k)
		}
	}
}

// eachUnused visits the links that nobody uses, the one used last first. g.mu
// is held.
func (g *Group) eachUnused(visit func(*tenant)) {
	unused := slices.Clone(g.idle)
	for _, kd := range g.kinds {
		for _, s := range kd.slots {
			if s.tenant != nil && len(s.members) == 0 && s.tenant.call == nil {
				unused = append(unused, s.tenant)
			}
		}
	}
	slices.SortFunc(unused, func(a, b *tenant) int { return b.since.Compare(a.since) })
	for _, t := range unused {
		visit(t)
	}
}

// makeRoom ends the link that has been unused for longest, if the pool has no
// place for another one.
func (g *Group) makeRoom() {
	if !g.pool.Full() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var oldest *tenant
	g.eachUnused(func(t *tenant) { oldest = t })
	if oldest != nil {
		g.end(oldest, refusal.Links)
	}
}

// end ends a link that nobody uses any more. g.mu is held.
func (g *Group) end(t *tenant, why *refusal.Refusal) {
	t.dead = true
	if i := slices.Index(g.idle, t); i >= 0 {
		g.idle = slices.Delete(g.idle, i, i+1)
	}
	if t.slot != nil && t.slot.tenant == t {
		t.slot.vacate()
	}
	t.forget()
	if g.options.Cache != nil {
		g.options.Cache.Forget(t.space)
	}
	g.pool.End(t.link, why)
}
