package stream

import (
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/wire"
)

// mode is the form that an answer takes.
type mode uint8

const (
	undecided mode = iota // nothing has been written: the answer may still be one JSON object
	whole                 // one JSON object
	events                // an event stream
	lost                  // its client left before it could learn an event id, so nobody can come back for it
)

// A Stream is one sequence of messages to a client: the answer to a POST, or
// what the server says unasked, to a GET. It outlives its connections: while
// it has none, messages wait in it, and a client can come back for them.
// The outbox's lock guards all fields.
type Stream struct {
	box    *Outbox
	number uint32 // names the stream in event ids; 0 is the GET stream
	mode   mode
	conn   *Conn // the connection it is written to, nil without one

	// Events count from 1. Those from first on are held; those before kept are
	// on the outbox's account of what can be replayed, the others are in
	// flight; those before written have been written whole at least once.
	held    []*wire.Buffer
	first   uint64
	kept    uint64
	written uint64

	awaited  bool         // its first connection is on the way
	inFlight int          // bytes of the events from kept on
	pending  int          // answers still to come; 0 ends the stream. The GET stream waits for one that is its outbox's end
	answer   *wire.Buffer // the answer of an undecided stream or of a whole one
	reply    *Reply       // the form of that answer, nil for the usual one
	lines    string       // of a head with status 200, each ended by CRLF

	waiter *waiter   // who waits for something to write, nil if nobody
	host   wire.Host // the goroutine that is going to wait; guarded by itself
}

// Host is the goroutine that calls Wait, which serves it before.
func (s *Stream) Host() *wire.Host { return &s.host }

func newStream(b *Outbox, m mode, pending int) *Stream {
	return &Stream{box: b, mode: m, first: 1, kept: 1, written: 1, pending: pending}
}

// next is the number that the next event will get.
func (s *Stream) next() uint64 { return s.first + uint64(len(s.held)) }

// over tells whether the stream has got all that it was opened for.
func (s *Stream) over() bool { return s.pending == 0 }

// gone tells whether nobody reads the stream or can come back for it.
func (s *Stream) gone() bool {
	return s.mode == lost || (s.box.closed || s.box.single) && s.conn == nil && !s.awaited
}

// Left tells whether the stream's client is not there at present.
func (s *Stream) Left() bool {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	return s.conn == nil && !s.awaited
}

// Send adds a message that is not an answer, which turns an undecided stream
// into an event stream. It takes msg over and never blocks. A stream that is
// over, or whose client is gone for good, takes nothing any more: then Send
// returns false, and msg stays the caller's.
func (s *Stream) Send(msg *wire.Buffer) bool {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if s.over() || s.gone() {
		return false
	}
	s.push(msg)
	return true
}

// Answer adds an answer; the last one expected ends the stream, unless it is
// the main one. It takes msg over and never blocks.
func (s *Stream) Answer(msg *wire.Buffer) {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.add(msg)
}

// SetHead adds lines to the response's head, each ended by CRLF, if nothing has
// come on the stream so far. They are for status 200.
func (s *Stream) SetHead(lines string) {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if s.mode == undecided {
		s.lines += lines
	}
}

// A Reply is an answer that says more than a JSON-RPC message under status 200
// can.
type Reply struct {
	Status int
	Type   string // of Body
	Head   string // header lines, each ended by CRLF
	Body   []byte // nil: the message
}

// usual is the form of an answer that is a JSON-RPC message.
var usual = &Reply{Status: fasthttp.StatusOK}

// Reply adds an answer in the form of r, if it is the one answer of a stream on
// which nothing has come so far; in every other case msg is the answer, which
// says the same. It takes msg over and never blocks; r is kept.
func (s *Stream) Reply(r *Reply, msg *wire.Buffer) {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if s.mode == undecided && s.pending == 1 {
		s.reply = r
		if r.Body != nil {
			msg.Release()
			msg = wire.Acquire(len(r.Body))
			msg.B = append(msg.B, r.Body...)
		}
	}
	s.add(msg)
}

func (s *Stream) add(msg *wire.Buffer) {
	if s != s.box.main {
		s.pending--
	}
	if s.mode == undecided && s.pending == 0 {
		s.answer = msg
		s.kick()
		return
	}
	s.push(msg)
	if s.conn != nil && s == s.box.main {
		s.box.options.Crew.hasten(s.conn)
	}
}

// push adds an event.
func (s *Stream) push(msg *wire.Buffer) {
	if s.gone() {
		s.box.options.Dropped("undelivered")
		msg.Release()
		return
	}
	s.toEvents()
	s.cutIfBehind()
	msg = msg.Fit() // it may be held for long
	s.held = append(s.held, msg)
	s.inFlight += len(msg.B)
	if s.conn == nil && !s.awaited {
		s.keep(s.next())
	}
	s.kick()
}

// toEvents makes an undecided stream an event stream, which has a number.
func (s *Stream) toEvents() {
	if s.mode == undecided {
		s.mode = events
		s.box.enlist(s)
	}
}

// leastBehind is what a connection may be behind by in any case, in bytes: a
// burst is no sign of a slow reader, however little is kept for replay.
const leastBehind = 256 << 10

// cutIfBehind is the policy for slow readers: a connection that is behind by
// as much as a session may keep is cut, and its client can resume. One message
// may be larger than that; only what stands before the next one counts.
func (s *Stream) cutIfBehind() {
	o := s.box.options
	if s.conn == nil || s.conn.broken {
		return
	}
	if s.inFlight > max(o.ReplayBytes, leastBehind) {
		o.Dropped("slow_reader")
		s.conn.sever()
	}
}

// kick starts a writer where there is a connection without one, or tells the
// handler that waits.
func (s *Stream) kick() {
	if s.conn != nil {
		s.conn.kick()
		return
	}
	if s.waiter != nil {
		s.waiter.wake()
	}
}

// Wait waits for the answer of a stream that was opened by a POST, at most d.
// It returns the answer, with its form, if it is the first thing that came and has at most limit bytes; the caller releases it,
// and the stream is over. In every other case it returns nil, and the stream
// needs a connection: Hold.
func (s *Stream) Wait(d time.Duration, limit int) (*wire.Buffer, *Reply) {
	s.await(d)
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if s.answer == nil || s.mode != undecided || len(s.answer.B) > limit {
		return nil, nil
	}
	answer := s.answer
	s.answer, s.mode, s.awaited = nil, whole, false
	return answer, s.form()
}

// form is the form of an answer that is not an event.
func (s *Stream) form() *Reply {
	switch {
	case s.reply != nil:
		return s.reply
	case s.lines != "":
		return &Reply{Status: fasthttp.StatusOK, Head: s.lines}
	}
	return usual
}

// await returns when there is something to write, or after d.
func (s *Stream) await(d time.Duration) {
	s.box.mu.Lock()
	if s.answer != nil || s.mode != undecided {
		s.box.mu.Unlock()
		return
	}
	w := waiters.Get().(*waiter)
	s.waiter = w
	s.box.mu.Unlock()
	w.wait(d)
	s.box.mu.Lock()
	s.waiter = nil // nobody wakes it from here on
	s.box.mu.Unlock()
	w.reset()
	waiters.Put(w)
}

// Abandon says that the connection for which Wait asked does not come. A stream
// that has had one stays as it is: its client can come back.
func (s *Stream) Abandon() {
	s.box.mu.Lock()
	if s.awaited {
		s.lose()
	}
	left := s.abandoned()
	s.box.mu.Unlock()
	if left != nil {
		left()
	}
}
