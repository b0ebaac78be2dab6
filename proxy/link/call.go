package link

import (
	"strconv"
	"sync/atomic"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A Leg is a call's way back to its client. It is called by the connection's
// one reader, so no method may block; the messages handed over are the leg's
// own from there on.
type Leg interface {
	// Send hands over what came for the call before its answer: progress, and
	// what belongs to a modern call (notifications of a listen; over HTTP all
	// that came in its response).
	Send(msg *wire.Buffer)
	// Answer hands over the answer, once, under the client's own id, and says
	// how the call ended. Where it is the gate that ends the call, Answer comes
	// from elsewhere, and the reader may still be on its way into Send.
	Answer(msg *wire.Buffer, how metrics.Outcome)
	// Reply says, before the answer, in which HTTP response it comes. Where the
	// status is not 200 the answer says the same as a JSON-RPC error, for a
	// client that can no longer be told so. r is valid until Reply returns.
	Reply(r *backend.Reply)
}

// Ahead is what was said on the link and has not reached a call's client yet.
type Ahead interface {
	// Deliver hands it over, as the connection's one reader does with what comes
	// for the call: it may not block.
	Deliver()
}

// A Call is what a client asked once, until it is answered. Its maker sets the
// fields; they are not changed once the call was given to a link.
type Call struct {
	ID       []byte // the client's raw JSON id; a copy of the call's own
	Progress []byte // the client's raw progress token, nil without one; a copy likewise
	Leg      Leg
	Ahead    Ahead // goes before what Leg is handed; nil: there is nothing of the kind
	Opens    bool  // it is the initialize, which must not be cancelled (basic/utilities/cancellation)
	Modern   bool  // it stands alone: no session is lost with it
	Listen   bool  // it is a subscriptions/listen, which goes on until somebody ends it: no time-out applies

	// Way is a note for one desk that stands before others: which of them has
	// the call. Links do not look at it.
	Way atomic.Int32

	link      atomic.Pointer[Link]            // that it was given to, nil before
	left      atomic.Pointer[refusal.Refusal] // why nobody waits for it any more
	number    uint64                          // the call's id and progress token towards the server
	deadline  time.Time                       // when it is given up, zero for never; guarded by Link.mu
	cancelled bool                            // the client cancelled it; guarded by Link.mu
}

// Link is the link that the call was given to, nil before that.
func (c *Call) Link() *Link { return c.link.Load() }

// GiveUp says that nobody waits for the call any more. Where a link has it, it
// is dropped there; one that is given to a link later, or at this moment, is
// dropped then. It is answered with why, unless its answer came first.
func (c *Call) GiveUp(why *refusal.Refusal) {
	c.left.Store(why)
	if l := c.Link(); l != nil {
		l.Drop(c, why)
	}
}

// Refuse answers a call that has not reached a link: the client gets the
// refusal's own HTTP status, where it is still waiting for one.
func (c *Call) Refuse(r *refusal.Refusal) {
	reply := backend.Reply{Status: r.Status}
	if r.Retry > 0 {
		reply.Header = append(strconv.AppendInt([]byte("Retry-After: "), int64(r.RetrySeconds()), 10), "\r\n"...)
	}
	c.Leg.Reply(&reply)
	c.refuse(r, metrics.Lost)
}

// Cancelled answers a call that its client has cancelled and that has not
// reached a link.
func (c *Call) Cancelled() { c.refuse(refusal.Cancelled, metrics.Cancelled) }

// refuse answers a call with a refusal of the gate.
func (c *Call) refuse(r *refusal.Refusal, how metrics.Outcome) {
	msg := wire.Acquire(256 + len(c.ID) + len(r.Text))
	msg.B = r.AppendJSON(msg.B, c.ID)
	c.Leg.Answer(msg, how)
}
