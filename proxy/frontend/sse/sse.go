// Package sse is the HTTP+SSE frontend of revision 2024-11-05: a GET opens the
// event stream on which everything comes back, and its first event names the
// endpoint to which messages are POSTed.
//
// What comes here has passed the guard. The package turns the wire form into
// messages of a session and back, and decides nothing about who may do what.
// It may not import guard or another frontend.
package sse

import (
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

const defaultInitialize = 30 * time.Second

// Options never change.
type Options struct {
	Keeper       *stream.Keeper // of all connections that the gate owns
	WriteTimeout time.Duration  // of a stream, for each piece
	PublicURL    *url.URL       // where clients find the gate, which may be below a path; nil: not told
	Budget       wire.Budget    // of bytes in flight, for the copies of a batch's elements
	// Initialize is how long a stream is held for a client that does not send
	// initialize. Default 30 s.
	Initialize time.Duration
	// Check is the guard's second part, for the elements of a batch.
	Check func(msg []byte, env *wire.Envelope) *refusal.Refusal
	// Refused counts a refusal inside of a batch.
	Refused func(*refusal.Refusal)
}

// A Frontend serves requests.
type Frontend struct{ options Options }

// New makes a frontend.
func New(o Options) *Frontend {
	if o.Initialize <= 0 {
		o.Initialize = defaultInitialize
	}
	return &Frontend{options: o}
}

// A Request is an HTTP request that has passed the guard.
type Request struct {
	HTTP      *fasthttp.RequestCtx
	Sessions  *session.Manager
	Principal string
	Head      string // header lines that every answer carries, each ended by CRLF
	Below     string // the path that the endpoint is below, as the gate serves it: "" or "/servers/NAME"

	// Of a POST: the body, taken over by Post, and what the scan found in it.
	Body *wire.Buffer
	Env  *wire.Envelope
}

// Get opens a session, and its stream with it. The session lasts as long as the
// stream's connection: this revision knows no way to come back to it.
// (2024-11-05, basic/transports, "HTTP with SSE")
func (f *Frontend) Get(r *Request) *refusal.Refusal {
	s, refused := r.Sessions.Open(r.Principal, session.SSE)
	if refused != nil {
		return refused
	}
	s.Outbox().SetBrief()
	wants := stream.Request{
		Head:   strings.Clone(r.Head),
		First:  "event: endpoint\ndata: " + f.endpoint(r, s.ID()) + "\n\n",
		HTTP11: r.HTTP.Request.Header.IsHTTP11(),
	}
	sessions := r.Sessions // r is the caller's, and is used again
	f.options.Keeper.Upgrade(r.HTTP, func(socket *stream.Socket, done func()) {
		ended := func() {
			sessions.End(s, refusal.SessionEnd)
			done()
		}
		if socket == nil {
			ended()
			return
		}
		f.hold(sessions, s, stream.NewConn(socket, wants, f.options.WriteTimeout), ended)
	})
	return nil
}

// hold is the life of a session's one connection, after which it calls ended:
// the client has left, is too slow, has been told that the session is over, or
// does not say what it wants.
func (f *Frontend) hold(sessions *session.Manager, s *session.Session, c *stream.Conn, ended func()) {
	o := &f.options
	late := time.AfterFunc(o.Initialize, func() {
		if !s.Opened() {
			sessions.End(s, refusal.Uninitialized.With("no initialize has come within %v", o.Initialize))
		}
	})
	s.Outbox().Main().Hold(c, 0, func(bool) {
		late.Stop()
		ended()
	})
}

// Post takes one message or a batch, which is answered on the session's stream.
// Where it returns a refusal nothing has been answered, and nothing will be.
func (f *Frontend) Post(r *Request) *refusal.Refusal {
	s, refused := r.session()
	if refused != nil {
		r.Body.Release()
		return refused
	}
	if refused := f.pass(r, s); refused != nil {
		return refused
	}
	r.HTTP.SetStatusCode(fasthttp.StatusAccepted)
	r.HTTP.SetContentType("text/plain; charset=utf-8")
	r.HTTP.SetBodyString("Accepted")
	return nil
}

// sessionID is the query parameter that the endpoint carries.
const sessionID = "sessionId"

// session finds the session that the endpoint names. A name that stands twice
// is refused, as two readers could take the one or the other.
func (r *Request) session() (*session.Session, *refusal.Refusal) {
	names := r.HTTP.QueryArgs().PeekMulti(sessionID)
	switch len(names) {
	case 0:
		return nil, refusal.NoSession.With("POST to the URL that the event endpoint gave; it ends with ?%s=…, and GET /sse opens a session", sessionID)
	case 1:
		return r.Sessions.Find(names[0], r.Principal, session.SSE)
	}
	return nil, refusal.BadHTTP.With("the query parameter %s stands more than once", sessionID)
}

// pass hands the body over to the session.
func (f *Frontend) pass(r *Request, s *session.Session) *refusal.Refusal {
	main := s.Outbox().Main()
	if r.Env.Kind == wire.Batch {
		return f.batch(r, s)
	}
	if r.Env.HasNewline {
		wire.Flatten(r.Body.B)
	}
	switch {
	case r.Env.Kind != wire.Request:
		return s.Tell(r.Body, r.Env)
	case string(r.Env.Method) == mcp.MethodInitialize:
		return s.Initialize(main, r.Body, r.Env)
	}
	return s.Call(main, r.Body, r.Env)
}

// batch hands over the elements of an array.
func (f *Frontend) batch(r *Request, s *session.Session) *refusal.Refusal {
	defer r.Body.Release()
	b, refused := s.Batch(r.Body, session.BatchRules{Budget: f.options.Budget, Check: f.options.Check, Refused: f.options.Refused})
	if refused != nil {
		return refused
	}
	return b.Serve(s.Outbox().Main())
}
