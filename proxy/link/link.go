// Package link is one live connection to a backend in use: the calls in flight
// on it with their ids, and what the server says that belongs to no call. It
// knows who may have a link, and when one ends, through its Pool.
//
// Towards the server each call has a number of the link's own, as its id and
// as its progress token, and gets the client's back in what returns: calls
// cannot be mixed up, and ids that a server's JSON would bend (integers past
// 2^53) come back as they were.
//
// The package knows neither HTTP nor sessions.
package link

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// An Owner has the link: who leased it, for one session or for many. Its methods
// are called by the link's one reader and must not block.
type Owner interface {
	// Unasked hands over a message that names no call: a notification, or a
	// question. The owner ends msg; env is valid until Unasked returns.
	Unasked(l *Link, msg *wire.Buffer, env *wire.Envelope)
	// LinkClosed says that the connection has ended by itself; every call has
	// been answered before.
	LinkClosed(l *Link, err error)
}

// Options are shared by all links of a pool.
type Options struct {
	CallTimeout time.Duration // until a call is given up, restarted by progress
	MaxMessage  int           // bytes; an answer that was skipped with no more than these found no room
	Dropped     func(what string)
}

// cancelGrace is how long a server may still answer a call that its client has
// cancelled; most never do (basic/utilities/cancellation: it "SHOULD NOT send a
// response"), and then the client's request must end all the same.
const cancelGrace = 2 * time.Second

// A Link is one connection in use. It is the backend.Receiver of its
// connection.
type Link struct {
	options   *Options
	conn      backend.Conn
	forwarder backend.Forwarder // the connection, where it is one
	canceller backend.Canceller // likewise
	hearer    backend.Hearer    // likewise

	mu     sync.Mutex
	owner  Owner
	calls  map[uint64]*Call
	last   uint64
	ended  *refusal.Refusal // what calls get that come too late, nil while it lives
	timer  *time.Timer
	timing bool // the timer is set

	turned string          // what the server said that does not want the connection; the reader's
	heard  atomic.Bool     // the server has sent a message
	shared atomic.Bool     // see Share
	died   func(err error) // is told once that the connection has ended by itself
}

// New makes a link without a connection; Attach gives it one. died is called
// when the connection ends by itself, before the owner is told.
func New(o *Options, died func(err error)) *Link {
	return &Link{options: o, calls: make(map[uint64]*Call), died: died}
}

// Heard tells whether the server has ever sent a message.
func (l *Link) Heard() bool { return l.heard.Load() }

// Attach gives the link its connection, before anything else is called but
// what the connection itself calls.
func (l *Link) Attach(c backend.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = c
	l.forwarder, _ = c.(backend.Forwarder)
	l.canceller, _ = c.(backend.Canceller)
	l.hearer, _ = c.(backend.Hearer)
}

// Relates tells whether the connection says to which request of a modern
// revision belongs what it brings: so it is over HTTP, and nowhere else.
func (l *Link) Relates() bool { return l.canceller != nil }

// Hears is 0 while the server cannot say what belongs to no call; see
// backend.Hearer.
func (l *Link) Hears() uint64 {
	if l.hearer == nil {
		return 1
	}
	return l.hearer.Hears()
}

// Lease gives the link an owner. It is refused where the link has ended.
func (l *Link) Lease(o Owner) *refusal.Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.owner = o
	}
	return l.ended
}

// Share says that the link is not one session's own: those who call on it
// outlive it, and need only call again.
func (l *Link) Share() { l.shared.Store(true) }

// Call sends a request. msg holds the request with what the scan found in env;
// it is taken over in every case. Where Call fails the leg is not called.
func (l *Link) Call(c *Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	l.mu.Lock()
	if ended := l.ended; ended != nil {
		l.mu.Unlock()
		msg.Release()
		return ended
	}
	l.last++
	c.number = l.last
	c.link.Store(l)
	l.calls[c.number] = c
	if !c.Listen {
		c.deadline = time.Now().Add(l.options.CallTimeout)
		l.watch()
	}
	l.mu.Unlock()

	Rename(msg, env, c.number)
	refused := l.Send(msg)
	if refused != nil && l.take(c.number) == nil {
		return nil // the link's end came between, and its leg has the answer already
	}
	if why := c.left.Load(); why != nil && refused == nil {
		l.dropSent(c, why)
	}
	return refused
}

// dropSent drops a call that was given up while it was being sent. The server
// is told also where that has been done: it may have been before the request.
func (l *Link) dropSent(c *Call, why *refusal.Refusal) {
	waits := l.take(c.number) != nil
	if !c.Opens {
		l.cancelLate(c, unwanted)
	}
	if waits {
		c.refuse(why, metrics.Lost)
	}
}

// unwanted is why a server is told that a call is over that was given up.
const unwanted = "nobody waits for it any more"

// Rename gives a request a number as its id and, where it has one, as its
// progress token.
func Rename(msg *wire.Buffer, env *wire.Envelope, number uint64) {
	var digits [20]byte
	name := strconv.AppendUint(digits[:0], number, 10)
	first, second := env.ID, env.ProgressToken
	if second.Start < first.Start {
		first, second = second, first
	}
	msg.Splice(second, name)
	if !first.Empty() {
		msg.Splice(first, name)
	}
}

// take takes a call out of those in flight; whoever gets it answers it.
func (l *Link) take(number uint64) *Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.calls[number]
	delete(l.calls, number)
	return c
}

// Send sends a message that is no request: a notification, or the answer to a
// question. It takes msg over in every case.
func (l *Link) Send(msg *wire.Buffer) *refusal.Refusal {
	err := l.send(msg)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, backend.ErrFull):
		return refusal.Busy
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return l.ended
	}
	return refusal.Ended // the conn knows of its end before the link does
}

// send gives msg to the connection, with what came with it where the
// connection has a use for that. Nothing came with what the gate says by itself.
func (l *Link) send(msg *wire.Buffer) error {
	if l.forwarder != nil && msg.Header != nil {
		return l.forwarder.SendWith(msg, msg.Header)
	}
	return l.conn.Send(msg)
}

// Drop gives up a call that its client no longer waits for, and tells the
// server. It is answered with why, unless its answer came first.
func (l *Link) Drop(c *Call, why *refusal.Refusal) {
	if l.take(c.number) == nil {
		return
	}
	if !c.cancelled && !c.Opens {
		l.cancelLate(c, unwanted)
	}
	c.refuse(why, metrics.Lost)
}

// Cancel passes on a client's notifications/cancelled for a call in flight: in
// msg the call's id stands at env.RequestID. It takes msg over in every case.
// Only the first that the server gets counts: a client cannot put off the
// call's end with more of them. Where the call's response is broken off instead,
// no answer can come, and the call is over at once.
func (l *Link) Cancel(c *Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	l.mu.Lock()
	number, late := c.number, l.calls[c.number] != c || c.cancelled
	l.mu.Unlock()
	if late {
		l.options.Dropped("late_cancel")
		msg.Release()
		return nil
	}
	if l.breakOff(number) {
		msg.Release()
		if l.take(number) != nil {
			c.refuse(refusal.Cancelled, metrics.Cancelled)
		}
		return nil
	}
	msg.Splice(env.RequestID, strconv.AppendUint(nil, number, 10))
	refused := l.Send(msg)
	if refused == nil {
		l.cancelled(c)
	}
	return refused
}

// cancelled gives the server a last while to answer a call that its client has
// cancelled.
func (l *Link) cancelled(c *Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[c.number] != c || c.cancelled {
		return // answered, or given up, which read the field without the lock
	}
	c.cancelled = true
	if end := time.Now().Add(cancelGrace); c.deadline.IsZero() || end.Before(c.deadline) {
		c.deadline = end
	}
	l.watch()
}

// Extend puts off until when a call in flight is given up: it waits for its
// client's input, and not for its server. The zero time goes back to the usual
// time-out, from now on. One that is cancelled, or that listens, stays as it is.
func (l *Link) Extend(c *Call, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[c.number] != c || c.cancelled || c.Listen {
		return
	}
	if until.IsZero() {
		until = time.Now().Add(l.options.CallTimeout)
	}
	c.deadline = until
}

// InFlight is the number of calls that wait for their answer.
func (l *Link) InFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls)
}

// Ended tells whether the link takes no more calls. Its owner may hear of that
// later: its calls are answered first.
func (l *Link) Ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended != nil
}

// End answers all calls in flight with why and ends the connection in good
// order, or at once when ctx is done. It returns when nothing is left of it.
func (l *Link) End(ctx context.Context, why *refusal.Refusal) {
	l.shut(why)
	l.conn.Close(ctx)
}

// Abort answers all calls in flight with why; none can be made any more. The
// connection is left to End.
func (l *Link) Abort(why *refusal.Refusal) { l.shut(why) }

// shut ends the link's use and answers its calls. It returns the owner to tell,
// nil if the link was shut before or has none.
func (l *Link) shut(why *refusal.Refusal) Owner {
	l.mu.Lock()
	if l.ended != nil {
		l.mu.Unlock()
		return nil
	}
	l.ended = why
	calls, owner := l.calls, l.owner
	l.calls, l.owner = nil, nil
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	for _, c := range calls {
		c.refuse(why, metrics.Lost)
	}
	return owner
}

var pong = []byte(`{"jsonrpc":"2.0","id":,"result":{}}`)

// ping answers a server's ping: that the connection lives is the gate's to say.
func (l *Link) ping(msg *wire.Buffer, env *wire.Envelope) {
	answer := wire.Acquire(len(pong) + env.ID.End - env.ID.Start)
	answer.B = wire.AppendSplice(answer.B, pong, wire.Span{Start: 22, End: 22}, env.ID.Of(msg.B))
	msg.Release()
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn == nil { // it pings before its connection is handed over
		answer.Release()
		return
	}
	_ = conn.Send(answer) // a server that does not read gets no pong
}

var _ backend.Receiver = (*Link)(nil)
