package share

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// DirectOptions never change.
type DirectOptions struct {
	Shared  bool          // links are for everybody; else each caller has one of its own
	Links   int           // at most so many where Shared
	Works   time.Duration // how long a link is kept unused that has made a task, if that is longer than others are
	Asks    time.Duration // how long one is kept whose requestState nobody has brought back
	Dropped func(what string)
}

// A Direct is a Desk over links to a modern server: requests go out as they
// are, many side by side on a link, and no link is initialized.
//
// A call that wants log messages has a link to itself while it runs, where the
// server's notifications do not say which call they belong to: everywhere but
// over HTTP.
type Direct struct {
	options DirectOptions
	pool    Pool
	open    context.Context // done when the desk is closed
	close   context.CancelFunc
	work    sync.WaitGroup
	relates atomic.Bool // a link has shown that notifications name their calls

	mu      sync.Mutex
	closed  bool
	stands  map[owner]*stand
	adopted []*route                // that nobody has needed yet
	busy    []*route                // each of a call that has it to itself
	idle    []*route                // of calls that had them to themselves; the one used last is last
	handles handles                 // that links have given out
	queue   []*standby              // calls that wait for a link to themselves, oldest first
	waits   map[*link.Call]*standby // all calls that wait for a link
	taking  int                     // starts that wait for the pool
}

// A stand is the links that the calls of one caller share, or everybody's.
type stand struct {
	routes   []*route
	starting int
	waiting  []*standby // for the first link to be there
}

// A standby is a call for which there is no link yet. Whoever takes it out of
// Direct.waits sends it or answers it.
type standby struct {
	call   *link.Call
	msg    *wire.Buffer
	env    wire.Envelope
	key    owner
	ctx    context.Context // done when nobody waits any more, or a link was given; nil where many wait for one start
	cancel context.CancelFunc
	given  *route // a link that became free meanwhile
}

// NewDirect makes a desk without links.
func NewDirect(o DirectOptions, p Pool) *Direct {
	if !o.Shared {
		o.Links = 1
	}
	d := &Direct{options: o, pool: p, stands: make(map[owner]*stand), waits: make(map[*link.Call]*standby)}
	d.open, d.close = context.WithCancel(context.Background())
	return d
}

// NotTaken says to a client why the pool has no link for it.
func NotTaken(err error) *refusal.Refusal { return notTaken(err) }

// Call implements Desk.
func (d *Direct) Call(c *link.Call, from Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if !c.Modern {
		c.Modern = true
	}
	if listens := string(env.Method) == mcp.MethodListen; c.Listen != listens {
		c.Listen = listens
	}
	who := owner{principal: from.Principal, session: from.Session}
	if from.Session != "" {
		who.principal = ""
	}
	if aboutTask(env.Method) {
		if r := d.tasked(who, brought(msg.B, env)); r != nil {
			return r.send(c, msg, env)
		}
	} else if !env.LogLevel.Empty() && !d.relates.Load() {
		return d.alone(c, who, msg, env)
	}
	return d.share(c, d.shared(who), msg, env)
}

// tasked is the link that runs a task, also one that a call has to itself at
// present: what is asked about a task tells nothing that names no call. It is
// nil where the task is not known, or is another caller's.
func (d *Direct) tasked(who owner, task []byte) *route {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.handles.find(task)
	if r == nil {
		return nil
	}
	s := d.stands[d.shared(who)]
	shares := s != nil && slices.Contains(s.routes, r)
	if !shares && (r.key != who || !slices.Contains(d.idle, r) && !slices.Contains(d.busy, r)) {
		return nil
	}
	r.sending.Add(1)
	return r
}

// share sends a call on a link that others use as well, now or when there is
// one.
func (d *Direct) share(c *link.Call, key owner, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		msg.Release()
		return refusal.Draining
	}
	s := d.stands[key]
	if s == nil {
		s = &stand{}
		d.stands[key] = s
	}
	r := d.choose(s, d.handles.back(brought(msg.B, env)))
	if r == nil {
		w := &standby{call: c, msg: msg, env: places(env), key: key}
		d.waits[c] = w
		s.waiting = append(s.waiting, w)
	}
	d.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.send(c, msg, env)
}

// choose finds the stand's link that has the fewest calls in flight, for a call
// that follows, and starts one where there is none, or all are in use and there
// may be more. Where the call goes on with what the link knows has given out, it
// is that one. d.mu is held.
func (d *Direct) choose(s *stand, knows *route) *route {
	if knows != nil && slices.Contains(s.routes, knows) {
		knows.sending.Add(1)
		knows.since = time.Now()
		return knows
	}
	if len(s.routes) == 0 && len(d.adopted) > 0 {
		s.routes = append(s.routes, d.adopted[0])
		d.adopted = slices.Delete(d.adopted, 0, 1)
	}
	var best *route
	fewest := 0
	for _, r := range s.routes {
		if n := r.load(); best == nil || n < fewest {
			best, fewest = r, n
		}
	}
	switch {
	case best == nil && s.starting > 0:
	case best == nil, fewest > 0 && s.starting == 0 && len(s.routes) < d.options.Links && !d.pool.Full():
		s.starting++
		d.work.Go(func() { d.start(s) })
	}
	if best != nil {
		best.sending.Add(1)
		best.since = time.Now()
	}
	return best
}

// start starts a link for a stand, and sends what waits for it. Where there is
// no link the calls are told why, unless another one can take them.
func (d *Direct) start(s *stand) {
	d.makeRoom()
	r, refused := d.take(d.open)
	d.mu.Lock()
	s.starting--
	if r != nil && (r.dead || d.closed) {
		d.end(r, refusal.Draining)
		r, refused = nil, refusal.Start
	}
	if r != nil {
		s.routes = append(s.routes, r)
	}
	if d.closed {
		refused = refusal.Draining
	}
	waiting := s.waiting
	s.waiting = nil
	to := make([]*route, len(waiting))
	for i, w := range waiting {
		delete(d.waits, w.call)
		if len(s.routes) > 0 {
			to[i] = d.choose(s, nil)
		}
	}
	d.mu.Unlock()
	for i, w := range waiting {
		w.settle(to[i], refused)
	}
}

// take takes a link out of the pool and becomes its owner.
func (d *Direct) take(ctx context.Context) (*route, *refusal.Refusal) {
	d.mu.Lock()
	d.taking++
	d.mu.Unlock()
	l, err := d.pool.Take(ctx)
	d.mu.Lock()
	d.taking--
	d.mu.Unlock()
	if err != nil {
		return nil, notTaken(err)
	}
	return d.own(l)
}

// own becomes the owner of a link.
func (d *Direct) own(l *link.Link) (*route, *refusal.Refusal) {
	r := &route{desk: d, link: l, since: time.Now()}
	l.Share()
	if l.Lease(r) != nil {
		d.pool.End(l, refusal.Ended)
		return nil, refusal.Start
	}
	if l.Relates() {
		d.relates.Store(true)
	}
	return r, nil
}

// Adopt takes over a link that somebody else has taken out of the pool, and
// that has served no client: the first call that needs one uses it.
func (d *Direct) Adopt(l *link.Link) {
	r, _ := d.own(l)
	if r == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case r.dead:
	case d.closed:
		d.end(r, refusal.Draining)
	default:
		d.adopted = append(d.adopted, r)
	}
}

// Leave implements Desk.
func (d *Direct) Leave(c *link.Call) {
	d.mu.Lock()
	w := d.waits[c]
	if w != nil {
		d.drop(w)
	}
	d.mu.Unlock()
	if w == nil {
		c.GiveUp(refusal.Cancelled)
		return
	}
	w.msg.Release()
	c.Cancelled()
}

// drop takes a call out of those that wait. d.mu is held; the caller answers
// it and releases its message.
func (d *Direct) drop(w *standby) {
	delete(d.waits, w.call)
	if w.cancel != nil {
		w.cancel()
		return
	}
	s := d.stands[w.key]
	if i := slices.Index(s.waiting, w); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
}

// settle sends a call that has waited, or tells it why there is no link.
func (w *standby) settle(r *route, refused *refusal.Refusal) {
	if r == nil {
		w.msg.Release()
	} else {
		_ = w.env.Scan(w.msg.B) // it has passed before, and only places were kept
		refused = r.send(w.call, w.msg, &w.env)
	}
	if refused != nil {
		w.call.Refuse(refused)
	}
}

// Run ends links that nobody uses; see Desk.
func (d *Direct) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			d.sweep(time.Now())
		case <-ctx.Done():
		}
	}
	d.shut()
	d.work.Wait()
}
