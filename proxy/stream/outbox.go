// Package stream owns the client connections that stay open: event streams,
// and answers that take long. Short answers never come here; the HTTP server
// writes them.
//
// An Outbox is what is on its way to one session's client: its streams, the
// messages that wait in them, and those that were written but may be asked for
// again. Everything in it is bounded, and whatever it is handed it takes
// without blocking: one slow client delays nobody.
//
// The package knows messages as bytes. It may not look into them, and it knows
// neither sessions nor links.
package stream

import (
	"sync"
	"time"

	"sidegate/proxy/refusal"
)

// Budget counts bytes across all outboxes; limits.Bytes is one.
type Budget interface {
	TryAcquire(n int64) bool
	Release(n int64)
}

// Options are shared by all outboxes of a frontend and never change.
type Options struct {
	ReplayEvents int           // events that an outbox keeps
	ReplayBytes  int           // bytes that an outbox keeps, and that a connection may be behind by
	Replay       Budget        // the bytes that all outboxes together keep
	KeepAlive    time.Duration // between comments on a stream that is silent
	WriteTimeout time.Duration // for each piece of pieceSize bytes
	Retry        time.Duration // what a client is told to wait before it resumes
	Crew         *Crew         // writes for all outboxes of a gate; nil: for each connection a goroutine of its own

	Dropped func(what string) // counts a message or connection that was given up
	Opened  func()            // an event stream got a connection
	Closed  func()            // an event stream lost its connection
}

// A Holder is told when its client has an open event stream and when it no
// longer has, so that it is not taken for idle. The calls are made under the
// outbox's lock.
type Holder interface {
	Hold()
	Release()
}

// An Outbox holds the streams towards one client.
type Outbox struct {
	options *Options
	holder  Holder

	mu      sync.Mutex
	main    *Stream            // the GET stream, made when it is first needed
	single  bool               // it has one stream alone, and no GET stream
	streams map[uint32]*Stream // POST streams that are, or were, event streams
	last    uint32             // the number given out last
	priming bool               // the client's revision knows the priming event
	closed  bool               // who is away cannot come back
	why     *refusal.Refusal   // and why
	brief   bool               // nothing is kept for who comes back
	left    func()             // of a single stream: its client left before the stream was over

	replay replay
}

// NewOutbox makes an empty outbox.
func NewOutbox(o *Options, h Holder) *Outbox {
	return &Outbox{options: o, holder: h}
}

// SetPriming says whether event streams start with an event that carries an id
// and no data (2025-11-25, basic/transports: "prime the client to reconnect").
// Clients of older revisions take empty data for a broken message.
func (b *Outbox) SetPriming(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.priming = on
}

// SetBrief says that the client cannot come back for what it has missed, so
// that nothing is kept for it (2024-11-05, basic/transports, "HTTP with SSE").
func (b *Outbox) SetBrief() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.brief = true
}

// Main is the stream for what the server says unasked, and of a client that
// has one connection for everything also for the answers. It is not over before
// the outbox is closed.
func (b *Outbox) Main() *Stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mainStream()
}

// mainStream is Main. The lock is held.
func (b *Outbox) mainStream() *Stream {
	if b.main == nil {
		b.main = newStream(b, events, 1)
		if b.closed {
			b.main.pending = 0
		}
	}
	return b.main
}

// HasMain tells whether the GET stream has a connection.
func (b *Outbox) HasMain() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.main != nil && b.main.conn != nil
}

// Open makes the stream of a POST with the given number of requests in it.
func (b *Outbox) Open(requests int) *Stream {
	s := newStream(b, undecided, requests)
	s.awaited = true
	return s
}

// OpenEvents makes the stream of a POST whose answer is an event stream in any
// case.
func (b *Outbox) OpenEvents(requests int) *Stream {
	s := b.Open(requests)
	b.mu.Lock()
	defer b.mu.Unlock()
	s.toEvents()
	return s
}

// Close ends the GET stream and drops what is kept for clients that are away.
// POST streams that have a connection, or are about to get their first, still
// get the answers they were opened for and end with the last of them: whoever
// closes an outbox sees to it that every call is answered, before or after. why
// is what a client is told that can be told.
func (b *Outbox) Close(why *refusal.Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed, b.why = true, why
	if b.main != nil {
		b.main.pending = 0
		b.main.wind()
	}
	for _, s := range b.streams {
		s.wind()
	}
}

// wind ends a stream of a closed outbox.
func (s *Stream) wind() {
	switch {
	case s.conn != nil:
		s.kick()
	case !s.awaited:
		s.written = s.next() // nobody is to come back for it: it is not lost
		s.forget(s.next())
	}
}

// enlist gives a stream its number.
func (b *Outbox) enlist(s *Stream) {
	if b.streams == nil {
		b.streams = make(map[uint32]*Stream)
	}
	b.last++
	s.number = b.last
	b.streams[s.number] = s
}

// retire forgets a stream that has nothing left to give.
func (b *Outbox) retire(s *Stream) {
	if s != b.main && s.over() && s.conn == nil && len(s.held) == 0 {
		delete(b.streams, s.number)
	}
}
