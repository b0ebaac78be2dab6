package http

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// conn is one session with the server. Every message is an exchange, which has
// a goroutine of its own from when it may be sent to when its response is
// over; listen and the stream of HTTP+SSE have one each. What waits to be sent
// has none. Messages of a modern revision belong to no session: they pass by
// all that is kept here for it (modern.go).
type conn struct {
	backend  *Backend
	receiver *caller

	ctx    context.Context // done when everything is to end at once
	cancel context.CancelFunc
	work   sync.WaitGroup // all goroutines but wind
	gone   chan struct{}  // nothing is left

	lines atomic.Pointer[[]byte]   // the headers of the session: its id and revision
	grant atomic.Pointer[[]byte]   // the Authorization line that the client sent last; nil: none
	post  atomic.Pointer[[]byte]   // how a POST begins
	old   atomic.Pointer[exchange] // the stream of HTTP+SSE, nil with Streamable HTTP
	hears atomic.Uint64            // see Hears

	mu        sync.Mutex
	queue     []*exchange
	queued    int                    // bytes of memory in the messages not yet taken by the server
	running   map[*exchange]struct{} // messages
	streams   map[*exchange]struct{} // and what carries none of the client's
	unwritten int                    // requests among the running that are not written yet
	awaited   map[string]struct{}    // ids of the requests whose answers come on the stream of HTTP+SSE
	called    bool                   // a request was sent
	opening   string                 // the id of the request that opens the session, until it is answered
	ordered   *exchange              // the notification or response that all else waits for
	finished  bool                   // no more may be sent
	idle      chan struct{}
	listening bool
	session   string
	revision  string
	modern    modern
}

var (
	_ backend.Conn      = (*conn)(nil)
	_ backend.Forwarder = (*conn)(nil)
	_ backend.Canceller = (*conn)(nil)
	_ backend.Hearer    = (*conn)(nil)
)

func newConn(b *Backend, r backend.Receiver) *conn {
	c := &conn{backend: b, receiver: newCaller(r), running: map[*exchange]struct{}{}, streams: map[*exchange]struct{}{}, gone: make(chan struct{}), idle: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.post.Store(&b.post)
	c.lines.Store(&[]byte{})
	b.pool.enter()
	return c
}

// Send queues msg for the server; see backend.Conn. What comes without a
// client's header lines the gate says by itself, for the client: the server lets
// it in by what it lets the client in by, if at all.
func (c *conn) Send(msg *wire.Buffer) error {
	if grant := c.grant.Load(); grant != nil {
		return c.SendWith(msg, *grant)
	}
	return c.SendWith(msg, nil)
}

// SendWith is Send with header lines; see backend.Forwarder.
func (c *conn) SendWith(msg *wire.Buffer, header []byte) error {
	x := c.backend.exchange(c)
	x.load(msg, header)
	if x.modern {
		return c.sendModern(x)
	}
	if x.opens || c.grant.Load() != nil {
		c.remember(header)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.finished:
		x.free()
		return backend.ErrClosed
	case c.queued > 0 && c.queued+x.size > c.backend.config.MaxQueue, len(c.running)-c.modern.running()+len(c.queue)+len(c.awaited) >= maxCalls:
		x.free()
		return backend.ErrFull
	}
	c.queued += x.size
	if len(c.queue) == 0 && c.may(x) {
		c.start(x)
		return nil
	}
	c.queue = append(c.queue, x)
	return nil
}

// remember notes what the client is let in with: the server wants to see it as
// well with what the gate asks by itself for the client. It is called only where
// the client itself has opened the session: one that many share is nobody's, and
// what one of them is let in with is for its own messages.
func (c *conn) remember(header []byte) {
	line := authorization(header)
	if line == nil {
		return
	}
	if last := c.grant.Load(); last == nil || !bytes.Equal(*last, line) {
		grant := bytes.Clone(line)
		c.grant.Store(&grant)
	}
}

// may tells whether x may be sent now. Requests go out side by side. A
// notification or response goes when all before it are written, and what comes
// after it waits until the server has accepted it: on connections of their own
// messages may overtake each other. Everything waits for the answer to
// initialize, or to whatever tells which transport the server has. c.mu is held.
func (c *conn) may(x *exchange) bool {
	return c.opening == "" && c.ordered == nil && (x.request || c.unwritten == 0)
}

// start sends x. c.mu is held.
func (c *conn) start(x *exchange) {
	c.running[x] = struct{}{}
	if x.request {
		c.unwritten++
		x.opens = x.opens || !c.called && !c.backend.newer.Load()
		c.called = true
	} else {
		c.ordered = x
	}
	if x.opens {
		c.opening = string(x.id)
	}
	c.work.Add(1)
	x.launch()
}

// pump sends what may be sent. c.mu is held.
func (c *conn) pump() {
	n := 0
	for n < len(c.queue) && c.may(c.queue[n]) {
		c.start(c.queue[n])
		n++
	}
	if n > 0 {
		c.queue = slices.Delete(c.queue, 0, n)
	}
	if c.finished && len(c.queue) == 0 && len(c.running) == 0 && len(c.awaited) == 0 {
		select {
		case <-c.idle:
		default:
			close(c.idle)
		}
	}
}

// written takes a request off those that are not written.
func (c *conn) written(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrote(x)
	c.pump()
}

// wrote is written; c.mu is held.
func (c *conn) wrote(x *exchange) {
	if x.request && !x.written {
		x.written = true
		c.queued -= x.size
		if !x.modern {
			c.unwritten--
		}
	}
}

// release ends what waits for x. c.mu is held.
func (c *conn) release(x *exchange) {
	if x.opens && !x.accepted {
		c.opening = ""
	}
	if c.ordered == x {
		c.ordered = nil
	}
}

// done ends an exchange.
func (c *conn) done(x *exchange) {
	c.mu.Lock()
	delete(c.running, x)
	delete(c.streams, x)
	c.wrote(x)
	if !x.request {
		c.queued -= x.size
	}
	if x.modern {
		c.modern.remove(x)
	}
	if x.request && !x.modern && !x.accepted && c.awaited != nil {
		delete(c.awaited, string(x.id))
	}
	c.release(x)
	c.pump()
	c.mu.Unlock()
	x.free()
	c.work.Done()
}

// opened notes the session's id, which the response to initialize brings.
func (c *conn) opened(session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(session, "")
}

// note notes what goes along with every request from now on. Empty is what is
// not known. c.mu is held.
func (c *conn) note(session, revision string) {
	if session != "" {
		c.session = session
	}
	if revision != "" {
		c.revision = revision
	}
	lines := appendSession(nil, c.session, c.revision)
	c.lines.Store(&lines)
}

// inSession tells whether the server has given the session an id.
func (c *conn) inSession() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session != ""
}

// answered is told that the answer to a call has come which opens the session,
// or which did not come in the call's own response. It tells whether it is the
// one that everything waits for, until proceed.
func (c *conn) answered(id []byte, revision string) (opening bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.awaited, string(id))
	if opening = c.opening != "" && c.opening == string(id); opening {
		c.note("", revision)
	}
	c.pump()
	return opening
}

// proceed lets everything go on that waits for the session to be open.
func (c *conn) proceed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opening = ""
	c.pump()
}

// await notes that the answer to x will come on another stream than its own.
func (c *conn) await(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.awaited == nil {
		c.awaited = map[string]struct{}{}
	}
	c.awaited[string(x.id)] = struct{}{}
}

// taken is told that the server has taken a notification. After
// notifications/initialized it may say something unasked.
func (c *conn) taken(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(x)
	if x.settles && !c.listening && !c.finished && c.old.Load() == nil {
		c.listening = true
		c.work.Go(c.listen)
	}
	c.pump()
}

// forget breaks off a call that was cancelled, if the server does not end it
// soon: nobody waits for its answer.
func (c *conn) forget(id string) {
	time.AfterFunc(cancelGrace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.awaited, id)
		c.pump()
		for x := range c.running {
			if x.request && !x.modern && string(x.id) == id {
				x.abort()
			}
		}
	})
}

// enlist makes x one of the streams, for the end to find it.
func (c *conn) enlist(x *exchange) {
	c.work.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[x] = struct{}{}
	x.aborted = c.ctx.Err() != nil
}

// after does something about x in a while, with c.mu held, unless x is over.
func (c *conn) after(d time.Duration, x *exchange, do func()) *time.Timer {
	return time.AfterFunc(d, c.unlessOver(x, do))
}

// unlessOver wraps do, which is called with c.mu held, and not once x is over.
func (c *conn) unlessOver(x *exchange, do func()) func() {
	turn := x.turn
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, runs := c.running[x]
		_, streams := c.streams[x]
		if (runs || streams) && x.turn == turn {
			do()
		}
	}
}
