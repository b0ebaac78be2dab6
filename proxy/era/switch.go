package era

import (
	"context"
	"slices"
	"sync"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// Options never change.
type Options struct {
	Finder         *Finder
	Legacy         share.Sharer // legacy clients with a legacy or dual-era server
	LegacyOfModern share.Sharer // legacy clients with a modern server
	Modern         share.Desk   // modern clients with a modern or dual-era server
	ModernOfLegacy share.Desk   // modern clients with a legacy server
	Eager          bool         // ask the server right at the start
}

// A Switch leads each client to what serves its kind with the server that
// there is. It is the Sharer of legacy clients and the Desk of modern ones.
type Switch struct {
	options Options
	open    context.Context // done when the switch is closed
	close   context.CancelFunc
	work    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	parked map[*link.Call]context.CancelFunc // calls that wait for the era
}

// mostParked bounds the calls of modern clients that wait for the era: each
// has a goroutine.
const mostParked = 4096

// The values of link.Call.Way: where a call is.
const (
	fresh   = iota // not here yet
	parked         // it waits for the era
	handing        // it is being handed to a desk
	modern         // Options.Modern has it
	bridged        // Options.ModernOfLegacy has it
	left           // its client has left before a desk had it
)

// NewSwitch makes a switch.
func NewSwitch(o Options) *Switch {
	s := &Switch{options: o, parked: make(map[*link.Call]context.CancelFunc)}
	s.open, s.close = context.WithCancel(context.Background())
	return s
}

// begin runs f on a goroutine of the switch's, unless it is closed.
func (s *Switch) begin(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(f)
	return true
}

// Call implements share.Desk.
func (s *Switch) Call(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if known := s.options.Finder.Known(); known != nil {
		return s.hand(known, fresh, c, from, msg, env)
	}
	return s.park(c, from, msg)
}

// hand hands a call to the desk that serves it, unless its client has left.
func (s *Switch) hand(to *Server, was int32, c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	if !c.Way.CompareAndSwap(was, handing) {
		msg.Release()
		if was == fresh { // nobody has answered it yet
			c.Cancelled()
		}
		return nil
	}
	desk, way := s.options.ModernOfLegacy, int32(bridged)
	if to.Modern {
		desk, way = s.options.Modern, modern
	}
	if refused := desk.Call(c, from, msg, env); refused != nil {
		return refused
	}
	if !c.Way.CompareAndSwap(handing, way) { // the client left meanwhile
		desk.Leave(c)
	}
	return nil
}

// park lets a call wait for the era.
func (s *Switch) park(c *link.Call, from share.Caller, msg *wire.Buffer) *refusal.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		msg.Release()
		return refusal.Draining
	case len(s.parked) >= mostParked:
		msg.Release()
		return refusal.Start.With("the gate is still finding out what the tool server speaks, and too many calls wait for that; try again shortly")
	case !c.Way.CompareAndSwap(fresh, parked):
		msg.Release()
		s.work.Go(c.Cancelled)
		return nil
	}
	ctx, cancel := context.WithCancel(s.open)
	s.parked[c] = cancel
	s.work.Go(func() { s.wait(ctx, c, from, msg) })
	return nil
}

// wait waits for the era and hands a parked call on.
func (s *Switch) wait(ctx context.Context, c *link.Call, from share.Caller, msg *wire.Buffer) {
	to, failed := s.find(ctx, msg.Header)
	s.mu.Lock()
	s.parked[c]()
	delete(s.parked, c)
	s.mu.Unlock()
	if failed != nil {
		msg.Release()
		if c.Way.CompareAndSwap(parked, handing) {
			failed.Tell(c)
		}
		return
	}
	var env wire.Envelope
	if err := env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error()) // it has been scanned before
	}
	if refused := s.hand(to, parked, c, from, msg, &env); refused != nil {
		c.Refuse(refused)
	}
}

// find asks the finder for a client with such a header.
func (s *Switch) find(ctx context.Context, header []byte) (*Server, *link.Failure) {
	to, failed := s.options.Finder.Find(ctx, causes(header))
	if failed != nil && s.open.Err() != nil {
		failed = &link.Failure{Refused: refusal.Draining}
	}
	return to, failed
}

// Leave implements share.Desk.
func (s *Switch) Leave(c *link.Call) {
	for {
		way := c.Way.Load()
		switch way {
		case modern:
			s.options.Modern.Leave(c)
			return
		case bridged:
			s.options.ModernOfLegacy.Leave(c)
			return
		case left:
			return
		}
		if !c.Way.CompareAndSwap(way, left) {
			continue
		}
		if way == parked {
			s.mu.Lock()
			cancel := s.parked[c]
			s.mu.Unlock()
			if cancel != nil {
				cancel()
			}
			c.Cancelled()
		}
		return // one that is being handed over is left by who does that
	}
}

// Run runs what the switch leads to, and the first probe where it is eager.
func (s *Switch) Run(ctx context.Context) {
	o := s.options
	var running sync.WaitGroup
	running.Go(func() { o.Finder.Run(ctx) })
	var all []interface{ Run(context.Context) }
	for _, r := range []interface{ Run(context.Context) }{o.Legacy, o.LegacyOfModern, o.Modern, o.ModernOfLegacy} {
		if r != nil && !slices.Contains(all, r) {
			all = append(all, r)
			running.Go(func() { r.Run(ctx) })
		}
	}
	if o.Eager {
		s.begin(func() { o.Finder.Find(s.open, nil) }) // who asks next hears of a failure
	}
	<-ctx.Done()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close()
	s.work.Wait()
	running.Wait()
}
