// Package share decides which link a session's calls use: one of its own
// (isolation "session"), one for all sessions of a caller ("principal"), or a
// few for everybody ("shared").
//
// Where links are shared, the gate initializes them, once for each kind of
// client; a call that may be asked something back has a link to itself while it
// runs, because a server's question does not say which call it belongs to.
//
// The package knows links, and sessions by the interface Client. It may know
// neither streams nor HTTP.
package share

import (
	"context"
	"errors"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A Client is a session as its place sees it. The methods are called by a
// link's one reader among others and must not block.
type Client interface {
	// Unasked hands over what the server says and what is no answer and no
	// progress: a question, or a notification. from takes the answer to a
	// question. on is the call that it belongs to, nil where it names none. The
	// client ends msg; env is valid until Unasked returns.
	Unasked(from Asker, on *link.Call, msg *wire.Buffer, env *wire.Envelope)
	// Settle says that the client has to do with an asker no more. Questions that
	// came from it and are still open are no longer the client's: they are
	// returned, and the caller answers them.
	Settle(from Asker) []Open
	// Lost says that the link has ended without which the session cannot go on.
	// Every call on it was answered.
	Lost()
}

// An Open is a question that its client has not answered.
type Open struct {
	ID    []byte // as the server has spelt it
	Roots bool   // it is roots/list, which says nothing about whom it was for
}

// Unable is a Client of modern clients: they can be asked something as the result
// of a call alone, and their calls end where the server asks for what the client
// has not declared.
type Unable interface {
	// Unable says that on this link, where one call is in flight, the server has
	// asked for something that needs the capability. The call may be another
	// client's.
	Unable(on *link.Link, capability string)
}

// An Asker takes the answers to questions that came from it; *link.Link is one.
type Asker interface {
	// Send takes msg over in every case.
	Send(msg *wire.Buffer) *refusal.Refusal
}

// A Caller is who a modern request is from.
type Caller struct {
	Principal string // "" where callers have no names
	Session   string // the legacy session that the request is made for; "" for a modern client's own
	HTTP      bool   // the request came with headers of its own, which are to be checked against its body
}

// A Desk takes modern requests, each of which stands alone (2026-07-28, basic,
// "Statelessness"). Its methods may be called from any goroutine.
type Desk interface {
	// Call sends a request, now or as soon as there is a link for it. It takes
	// msg over; env is what the scan found in it, valid until Call returns. Where
	// Call fails c has no answer, in every other case its leg gets one, whatever
	// happens. The answer and what comes before it are modern.
	Call(c *link.Call, from Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal
	// Leave says that nobody waits for a call any more: its client has left, or
	// has cancelled it. The call is over for the server, too. The leg gets an
	// answer that nobody reads. After the answer Leave does nothing.
	Leave(c *link.Call)
	// Run does what the desk has to do by itself, until ctx is done; every call
	// is answered then.
	Run(ctx context.Context)
}

// A Place is a session's way to the tool server. Its methods may be called
// from any goroutine.
type Place interface {
	// Open takes the client's initialize, which c answers later: with the
	// server's result, or with why there is none. It takes msg over and is
	// called once, before all else.
	Open(c *link.Call, msg *wire.Buffer, env *wire.Envelope)
	// Call sends a request, now or as soon as there is a link for it. It takes
	// msg over. Where it fails the call has no answer, in every other case c gets
	// one.
	Call(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal
	// Cancel passes on the client's notifications/cancelled for a call in flight.
	// It takes msg over.
	Cancel(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal
	// Tell passes on any other notification. It takes msg over.
	Tell(msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal
	// Leave ends the place. calls are those in flight; each is answered with why.
	Leave(calls []*link.Call, why *refusal.Refusal)
}

// A Sharer gives out places.
type Sharer interface {
	// Join makes a place for a session with this unguessable id, of this caller.
	Join(c Client, principal, id string) Place
	// Run ends links that nobody uses, until ctx is done; then no place waits for
	// a link any more.
	Run(ctx context.Context)
}

// Pool gives out links; link.Pool is one.
type Pool interface {
	// Take leases a link that nobody has used, waiting for one as long as the
	// pool's own bound or ctx allows.
	Take(ctx context.Context) (*link.Link, error)
	// End ends a link that Take has given out, in the background, and frees
	// its place when nothing is left of it. Calling it again does nothing.
	End(l *link.Link, why *refusal.Refusal)
	// Full tells whether Take would have to wait.
	Full() bool
}

// notTaken says why there is no link.
func notTaken(err error) *refusal.Refusal {
	switch {
	case errors.Is(err, link.ErrNoLinks):
		return refusal.Links.With("%v", err)
	case errors.Is(err, link.ErrClosed):
		return refusal.Draining
	}
	return refusal.Start // err is for the operator, and in the log already
}

// places is the part of an envelope that outlives the call of a method: where
// in the message its parts stand. The texts are the caller's.
func places(env *wire.Envelope) wire.Envelope {
	return wire.Envelope{Kind: env.Kind, ID: env.ID, ProgressToken: env.ProgressToken, RequestID: env.RequestID}
}
