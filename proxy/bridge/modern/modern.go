// Package modern serves modern clients (2026-07-28) of a legacy server: it is a
// share.Desk over a share.Sharer's places, and to the sharer it is a number of
// sessions.
//
// A caller's calls share a place, which stays while it is in use; a call that
// may be asked something by its server, of a caller that nobody can tell from
// others, has a place to itself. A call whose server asks something is parked:
// the client gets the questions as the call's result, and with its retry brings
// the answers. (2026-07-28, basic/patterns/mrtr)
//
// The package knows places and messages. It may know neither streams nor HTTP,
// and starts no links itself.
package modern

import (
	"container/list"
	"context"
	"sync"
	"time"

	"sidegate/proxy/bridge/seal"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// Options never change.
type Options struct {
	Sharer      share.Sharer  // gives out the places; who made it runs it
	Everybody   bool          // its links are for everybody; else each caller has links of its own
	Linger      time.Duration // how long a place is kept that no call uses; 0: 1 min
	Keys        [][]byte      // seal.KeySize bytes each: the first seals requestState, all open it; none: one of the desk's own
	MaxParked   int           // calls at once that wait for their client's input; 0: 1000
	ParkTimeout time.Duration // for that input; 0: 5 min
	Residents   int           // places at once that callers share; 0: 1000
	Version     string        // of the gate
	Budget      wire.Budget   // of bytes in flight
	Dropped     func(what string)
}

// window is how long the gate waits for further questions once its server has
// asked one: several that are asked together travel together.
const window = 25 * time.Millisecond

// A Desk is where modern requests come in; see share.Desk.
type Desk struct {
	options Options
	sealer  *seal.Sealer

	// The lock guards all that changes here, and in seats, calls and listens. It
	// is never held while a method of theirs, of a place, a leg or an asker is
	// called.
	mu        sync.Mutex
	closed    bool
	clients   map[*link.Call]leaver // by the client's leg
	residents map[identity]*seat
	seats     map[*seat]struct{} // all that have not left
	sealed    map[[16]byte]*call // calls that have been parked, until they are over
	parked    *list.List         // of *call, those that wait for their client; the oldest first
	kinds     map[string]*kind   // by what clients say of themselves, as they spell it
	last      *about             // the server that was met last
}

// A leaver is what a client's leg leads to.
type leaver interface {
	// leave is called once, when the client has left. It answers the leg.
	leave(client *link.Call)
	// end is called once, when the desk ends. It answers the leg.
	end(client *link.Call)
}

// New makes a desk. Run has to be called.
func New(o Options) *Desk {
	if o.MaxParked == 0 {
		o.MaxParked = 1000
	}
	if o.ParkTimeout == 0 {
		o.ParkTimeout = 5 * time.Minute
	}
	if o.Linger == 0 {
		o.Linger = time.Minute
	}
	if o.Residents == 0 {
		o.Residents = 1000
	}
	return &Desk{
		options: o, sealer: seal.New(o.Keys),
		clients: make(map[*link.Call]leaver), residents: make(map[identity]*seat), seats: make(map[*seat]struct{}),
		sealed: make(map[[16]byte]*call), parked: list.New(), kinds: make(map[string]*kind),
	}
}

// Call implements share.Desk.
func (d *Desk) Call(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	who, refused := d.identify(from, msg, env)
	if refused == nil {
		switch method := string(env.Method); {
		case method == mcp.MethodDiscover:
			refused = d.discover(c, who, msg)
		case method == mcp.MethodListen:
			refused = d.listen(c, who, msg, env)
		case mayAsk(env.Method) && !env.RequestState.Empty():
			refused = d.retry(c, who, msg, env)
		default:
			return d.call(c, who, msg, env)
		}
	}
	msg.Release()
	return refused
}

// Leave implements share.Desk.
func (d *Desk) Leave(c *link.Call) {
	d.mu.Lock()
	l := d.clients[c]
	delete(d.clients, c)
	d.mu.Unlock()
	if l != nil {
		l.leave(c)
	}
}

// admit notes whom a client's leg leads to. d.mu is held.
func (d *Desk) admit(c *link.Call, l leaver) *refusal.Refusal {
	if d.closed {
		return refusal.Draining
	}
	d.clients[c] = l
	return nil
}

// detach takes a client's leg; who gets it answers it. d.mu is held.
func (d *Desk) detach(c *link.Call) bool {
	_, waits := d.clients[c]
	delete(d.clients, c)
	return waits
}

// Run implements share.Desk.
func (d *Desk) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			d.sweep(time.Now())
		case <-ctx.Done():
		}
	}
	d.close()
}

// close answers every call and leaves every place.
func (d *Desk) close() {
	d.mu.Lock()
	d.closed = true
	clients := d.clients
	d.clients = make(map[*link.Call]leaver)
	var parked []*call
	for e := d.parked.Front(); e != nil; e = e.Next() {
		parked = append(parked, e.Value.(*call))
	}
	d.mu.Unlock()
	for c, l := range clients {
		l.end(c)
	}
	for _, c := range parked {
		c.giveUp()
	}
	d.mu.Lock()
	var seats []*seat
	for s := range d.seats {
		seats = append(seats, s)
	}
	d.mu.Unlock()
	for _, s := range seats {
		s.leave(refusal.Draining)
	}
}

var _ share.Desk = (*Desk)(nil)
