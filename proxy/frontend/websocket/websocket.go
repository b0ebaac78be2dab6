// Package websocket is the WebSocket frontend: a GET upgrades its connection,
// and from there on every text frame is a message, either way, in sessions of
// every legacy revision. Modern requests need no session and may come on the
// same connection: they are spoken as on stdio, without headers. (2025-11-25,
// basic/transports, "Custom Transports"; 2026-07-28, basic/transports/stdio;
// RFC 6455)
//
// The answer to the handshake carries Mcp-Session-Id. A client that has lost its
// connection names the session in the next handshake, and in Last-Event-ID the
// number of messages it has received so far: what it missed is sent again.
//
// What comes here has passed the guard. The package turns the wire form into
// messages of a session and back, and decides nothing about who may do what.
// It may not import guard or another frontend.
package websocket

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
	"sidegate/proxy/stateless"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
	"sidegate/proxy/ws"
)

// The defaults of Options.
const (
	defaultPing     = 30 * time.Second
	defaultComplete = 30 * time.Second
)

// Options never change.
type Options struct {
	Keeper       *stream.Keeper // of all connections that the gate owns
	WriteTimeout time.Duration  // of a connection, for each piece
	Budget       wire.Budget    // of bytes in flight
	MaxMessage   int            // bytes
	Compress     bool           // permessage-deflate, for clients that ask for it; the work is done under a session's lock

	// Ping is the silence after which a client is asked for a sign of life;
	// without one for as long again its connection is cut. Default 30 s.
	Ping time.Duration
	// Complete is how long a message may take from its first frame to its last,
	// granted anew for each MiB of it. Default 30 s.
	Complete time.Duration

	// Check is the guard's second part, which every message passes.
	Check func(msg []byte, env *wire.Envelope) *refusal.Refusal
	// Modern tells whether a message is of a modern client, and what is wrong
	// with it.
	Modern func(msg []byte, env *wire.Envelope) (modern bool, refused *refusal.Refusal)
	// Rate counts a message for its sender, as the door has counted the request.
	Rate func(principal string, address netip.Addr) *refusal.Refusal
	// Refused counts the refusal of a message, or of a connection for what came
	// on it.
	Refused func(*refusal.Refusal)
}

// A Frontend serves requests.
type Frontend struct{ options Options }

// New makes a frontend.
func New(o Options) *Frontend {
	if o.Ping <= 0 {
		o.Ping = defaultPing
	}
	if o.Complete <= 0 {
		o.Complete = defaultComplete
	}
	return &Frontend{options: o}
}

// A Request is an HTTP request that has passed the guard.
type Request struct {
	HTTP      *fasthttp.RequestCtx
	Sessions  *session.Manager
	Calls     *stateless.Calls
	MaxCalls  int // modern calls in flight of the connection
	Principal string
	Address   netip.Addr // the client's, for its rate
	Head      string     // header lines that every answer carries, each ended by CRLF
	Forwarded []byte     // header lines that the tool server is to see with each message; kept
}

// Get upgrades the connection, for a new session or for one that the request
// names. What it refuses is refused before the upgrade, and answered by status;
// header fields that belong to the answer are set.
func (f *Frontend) Get(r *Request) *refusal.Refusal {
	h, refused := handshake(r.HTTP)
	if refused != nil {
		return refused
	}
	c := &conn{
		frontend: f, sessions: r.Sessions, modern: modern{calls: r.Calls, most: r.MaxCalls}, principal: r.Principal, address: r.Address, forwarded: r.Forwarded,
		opened: len(r.header(mcp.HeaderSessionID)) > 0,
	}
	var from uint64
	if c.session, from, refused = r.session(c.opened); refused != nil {
		return refused
	}
	h.Head = r.Head + mcp.HeaderSessionID + ": " + c.session.ID() + "\r\n"
	f.options.Keeper.Upgrade(r.HTTP, func(socket *stream.Socket, done func()) { c.own(socket, h, from, done) })
	return nil
}

func (r *Request) header(name string) []byte { return r.HTTP.Request.Header.Peek(name) }

// session is the one that the request names, with the number of the first
// message that it wants; or a new one. 0 is whatever was not sent so far.
func (r *Request) session(named bool) (s *session.Session, from uint64, refused *refusal.Refusal) {
	last := r.header(mcp.HeaderLastEventID)
	if !named {
		if len(last) > 0 {
			return nil, 0, refusal.NoSession.With("Last-Event-ID is for a session that Mcp-Session-Id names")
		}
		s, refused = r.Sessions.Open(r.Principal, session.WebSocket)
		return s, 0, refused
	}
	s, refused = r.Sessions.Find(r.header(mcp.HeaderSessionID), r.Principal, session.WebSocket)
	if refused != nil || len(last) == 0 {
		return s, 0, refused
	}
	count, err := strconv.ParseUint(string(last), 10, 63)
	if err != nil {
		return nil, 0, refusal.LastEventID.With("Last-Event-ID is the number of messages received so far on this session's connections")
	}
	from, refused = s.Outbox().After(count)
	return s, from, refused
}

// own is the life of one connection, after which it calls done.
func (c *conn) own(socket *stream.Socket, h ws.Handshake, from uint64, done func()) {
	o := &c.frontend.options
	c.socket, c.started = socket, time.Now()
	ended := func(bool) {
		c.modern.leave()
		if !c.opened { // there is nothing to come back to
			c.sessions.End(c.session, refusal.SessionEnd)
		}
		done()
	}
	if socket == nil || c.accept(h) != nil {
		ended(false)
		return
	}
	c.session.Outbox().Main().Hold(stream.NewFramed(socket, c, o.WriteTimeout), from, ended)
}

// accept answers the handshake.
func (c *conn) accept(h ws.Handshake) error {
	o := &c.frontend.options
	lib, head, err := ws.Accept((*source)(c), h, ws.Options{
		MaxMessage: o.MaxMessage, Budget: o.Budget, Complete: o.Complete, Compress: o.Compress,
	})
	if err != nil {
		return err
	}
	c.ws = lib
	if err := c.socket.SetWriteDeadline(time.Now().Add(o.WriteTimeout)); err != nil {
		return err
	}
	if _, err = c.socket.Write(head); err != nil {
		return err
	}
	return c.socket.SetWriteDeadline(time.Time{})
}
