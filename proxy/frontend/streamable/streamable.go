// Package streamable is the Streamable HTTP frontend. For clients of the legacy
// revisions POST brings messages, GET opens the stream for what the server says
// unasked or resumes any other, DELETE ends the session. For modern clients
// there is POST alone, and each request stands alone.
//
// What comes here has passed the guard. The package turns the wire form into
// messages of a session and back, and decides nothing about who may do what.
// It may not import guard or another frontend.
package streamable

import (
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/session"
	"sidegate/proxy/stateless"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

const (
	// patience is how long the HTTP server's goroutine waits for an answer.
	// After that the connection is taken out of the server, which could not
	// tell that a client has left, and costs more memory while it waits.
	patience = 50 * time.Millisecond
	// shortAnswer is up to how many bytes an answer goes out through the HTTP
	// server, which copies it; a larger one is written without a copy, piece by
	// piece, so that it may be read slowly.
	shortAnswer = 64 << 10
)

// Options never change.
type Options struct {
	Keeper *stream.Keeper  // of all connections that the gate owns
	Single *stream.Options // of the streams of modern requests
	Budget wire.Budget     // of bytes in flight, for the copies of a batch's elements
	// Check is the guard's second part, for the elements of a batch.
	Check func(msg []byte, env *wire.Envelope) *refusal.Refusal
	// Refused counts a refusal inside of a batch.
	Refused func(*refusal.Refusal)
}

// A Frontend serves requests.
type Frontend struct{ options Options }

// New makes a frontend.
func New(o Options) *Frontend { return &Frontend{options: o} }

// A Request is an HTTP request that has passed the guard.
type Request struct {
	HTTP      *fasthttp.RequestCtx
	Sessions  *session.Manager // of the legacy clients
	Calls     *stateless.Calls // of the modern ones
	Principal string
	Head      string // header lines that every answer carries, each ended by CRLF

	// Of a POST: the body, taken over by Post, and what the scan found in it.
	Body *wire.Buffer
	Env  *wire.Envelope
}

func (r *Request) header(name string) []byte { return r.HTTP.Request.Header.Peek(name) }

// session finds the session that the request names.
func (r *Request) session() (*session.Session, *refusal.Refusal) {
	return r.Sessions.Find(r.header(mcp.HeaderSessionID), r.Principal, session.Streamable)
}

// Post serves one message or a batch. Where it returns a refusal nothing has
// been answered yet.
func (f *Frontend) Post(r *Request) *refusal.Refusal {
	if len(r.header(mcp.HeaderSessionID)) == 0 && r.Env.Kind == wire.Request && string(r.Env.Method) == mcp.MethodInitialize {
		return f.initialize(r)
	}
	s, refused := r.session()
	if refused != nil {
		r.Body.Release()
		return refused
	}
	switch r.Env.Kind {
	case wire.Batch:
		return f.batch(r, s)
	case wire.Request:
		return f.call(r, s)
	}
	if refused := s.Tell(flat(r.Body, r.Env), r.Env); refused != nil {
		return refused
	}
	r.HTTP.SetStatusCode(fasthttp.StatusAccepted)
	return nil
}

// flat makes a message fit on one line.
func flat(msg *wire.Buffer, env *wire.Envelope) *wire.Buffer {
	if env.HasNewline {
		wire.Flatten(msg.B)
	}
	return msg
}

// initialize opens a session. Its id stands in the head of either form of
// answer (2025-11-25, basic/transports, "Session Management").
func (f *Frontend) initialize(r *Request) *refusal.Refusal {
	s, refused := r.Sessions.Open(r.Principal, session.Streamable)
	if refused != nil {
		r.Body.Release()
		return refused
	}
	f.options.Keeper.Begin()
	defer f.options.Keeper.Done()
	st := s.Outbox().Open(1)
	defer st.Host().Serve() // in any case: others may wait for what it took
	r.Body.Host = st.Host()
	refused = s.Initialize(st, flat(r.Body, r.Env), r.Env)
	st.Host().Serve()
	if refused != nil {
		r.Sessions.End(s, refused)
		return refused
	}
	f.answer(r, st, mcp.HeaderSessionID+": "+s.ID()+"\r\n")
	return nil
}

// call serves one request of a session.
func (f *Frontend) call(r *Request, s *session.Session) *refusal.Refusal {
	f.options.Keeper.Begin()
	defer f.options.Keeper.Done()
	st := s.Outbox().Open(1)
	defer st.Host().Serve() // in any case: others may wait for what it took
	r.Body.Host = st.Host()
	refused := s.Call(st, flat(r.Body, r.Env), r.Env)
	st.Host().Serve()
	if refused != nil {
		return refused
	}
	f.answer(r, st, "")
	return nil
}

// answer answers with what comes back on st: at once where that is the answer
// and comes soon, else over a connection that the gate owns. onlyOK are header
// lines of an answer with status 200.
func (f *Frontend) answer(r *Request, st *stream.Stream, onlyOK string) {
	answer, form := st.Wait(patience, shortAnswer)
	if answer == nil {
		f.options.Keeper.Hold(r.HTTP, st, stream.Opening{Head: r.Head, OnlyOK: onlyOK})
		return
	}
	h := &r.HTTP.Response.Header
	h.SetContentType("application/json")
	if form.Body != nil {
		h.SetContentType(form.Type)
	}
	r.HTTP.SetStatusCode(form.Status)
	setLines(h, form.Head)
	if form.Status == fasthttp.StatusOK {
		setLines(h, onlyOK)
	}
	r.HTTP.SetBody(answer.B) // a copy: the HTTP server writes it after we have returned
	answer.Release()
}

// setLines adds header lines, each ended by CRLF.
func setLines(h *fasthttp.ResponseHeader, lines string) {
	for line := range strings.SplitSeq(lines, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			h.Add(name, strings.TrimSpace(value))
		}
	}
}

// Get opens the session's GET stream, or resumes the stream that Last-Event-ID
// names.
func (f *Frontend) Get(r *Request) *refusal.Refusal {
	s, refused := r.session()
	if refused != nil {
		return refused
	}
	st, from := s.Outbox().Main(), uint64(0)
	if last := r.header(mcp.HeaderLastEventID); len(last) > 0 {
		if st, from, refused = s.Outbox().Find(last); refused != nil {
			return refused
		}
	}
	r.last()
	f.options.Keeper.Hold(r.HTTP, st, stream.Opening{From: from, Head: r.Head})
	return nil
}

// last makes the request the last one on its connection, for a stream without an
// end of its own. That ends where the gate or the session does, and what its
// client asks next is for another gate: on the same connection it would come
// back to the one that has just said goodbye.
func (r *Request) last() { r.HTTP.Request.Header.SetConnectionClose() }

// Delete ends the session.
func (f *Frontend) Delete(r *Request) *refusal.Refusal {
	s, refused := r.session()
	if refused != nil {
		return refused
	}
	r.Sessions.End(s, refusal.SessionEnd)
	r.HTTP.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}
