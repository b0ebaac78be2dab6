package http

import (
	"bytes"
	"errors"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/mcp"
	"sidegate/proxy/wire"
)

const (
	// directSize is the size in bytes from which a message is written from its
	// own buffer: copying it behind the head costs more than a second piece.
	directSize = 16 << 10

	// keptScratch is how much of an exchange's own memory is kept.
	keptScratch = 64 << 10

	// cutPatience is how long a server that has stopped to read a request may
	// take to say why.
	cutPatience = time.Second
)

// errAborted is what an exchange ends with that nobody waits for any more.
var errAborted = errors.New("the exchange was broken off")

// exchange is a message with the request that carries it and the response. It
// is used again, with its memory.
type exchange struct {
	backend *Backend
	run     func() // do, made once, so that starting it allocates nothing
	begin   func() // likewise, on a host: see hosted.go
	goOn    func()
	env     wire.Envelope
	head    head
	body    body
	events  *wire.EventReader // nil until it is needed
	out     []byte            // the request, all but a large message

	conn      *conn
	turn      uint         // counts its uses
	msg       *wire.Buffer // nil once it is written
	header    []byte       // lines that go along
	size      int          // bytes of memory in msg
	id        []byte       // raw, of a request
	request   bool
	opens     bool      // it opens the session, or tells the transport
	settles   bool      // it is notifications/initialized
	repeats   bool      // it may be sent again when it is not known whether the server has it
	modern    bool      // it is of a modern revision and stands alone
	probes    bool      // it is server/discover, which a legacy server refuses in good order
	listens   bool      // it is subscriptions/listen, which has no end of its own
	next      *exchange // of the modern ones with the same hash; guarded by conn.mu
	fresh     bool      // it is sent again, on a new connection
	hosted    bool      // it is on a goroutine that may not wait for long
	headed    bool      // the response's head was read there
	headError error     // what came of reading it
	cancels   string    // the id of the call that it cancels

	written  bool // guarded by conn.mu, like what follows
	aborted  bool
	accepted bool // its answer will come on the stream of HTTP+SSE
	up       *upstream

	cut      bool // the server did not read the whole request
	answered bool
	resumes  int           // how often its stream was resumed since it brought something
	lastID   string        // of the last event
	retry    time.Duration // that the server has asked for, 0 where it has not
}

func newExchange(b *Backend) *exchange {
	x := &exchange{backend: b}
	x.run, x.begin, x.goOn = x.do, x.doBegin, x.doRest
	return x
}

// exchange is one to be used.
func (b *Backend) exchange(c *conn) *exchange {
	x, _ := b.exchanges.Get().(*exchange)
	x.conn = c
	return x
}

// free ends its use.
func (x *exchange) free() {
	x.msg.Release()
	if cap(x.out) > keptScratch {
		x.out = nil
	}
	if cap(x.head.buf) > keptScratch {
		x.head = head{}
	}
	*x = exchange{
		backend: x.backend, run: x.run, begin: x.begin, goOn: x.goOn, env: x.env, head: x.head, events: x.events, out: x.out[:0],
		turn: x.turn + 1, header: x.header[:0], id: x.id[:0],
	}
	x.head.status = 0
	x.env.Reset()
	x.backend.exchanges.Put(x)
}

// load gives it a message, which is taken over, and header lines. What is no
// valid message is sent like a notification.
func (x *exchange) load(msg *wire.Buffer, header []byte) {
	x.msg, x.size = msg, cap(msg.B)
	x.header = append(x.header, header...)
	x.modern = bytes.HasPrefix(header, modernLine)
	_ = x.env.Scan(msg.B)
	switch x.env.Kind {
	case wire.Request:
		x.request = true
		x.id = append(x.id, x.env.ID.Of(msg.B)...)
		x.repeats = repeatable(x.env.Method)
		if x.modern {
			x.probes = string(x.env.Method) == mcp.MethodDiscover
			x.listens = string(x.env.Method) == mcp.MethodListen
			// A retry of what asked its client is for the one who waits for it.
			x.repeats = x.repeats && x.env.InputResponses.Empty() && x.env.RequestState.Empty()
			break
		}
		x.opens = string(x.env.Method) == mcp.MethodInitialize
	case wire.Notification:
		if x.modern {
			break
		}
		x.settles = string(x.env.Method) == "notifications/initialized"
		if string(x.env.Method) == mcp.MethodCancelled {
			x.cancels = string(x.env.RequestID.Of(msg.B))
		}
	}
	x.env.Reset()
}

// abort breaks it off. conn.mu is held.
func (x *exchange) abort() {
	x.aborted = true
	if x.up != nil {
		x.up.breaks()
	}
}

// isAborted tells whether nobody waits for it any more.
func (x *exchange) isAborted() bool {
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	return x.aborted || x.conn.ctx.Err() != nil
}

// do sends the message and sees to the response.
func (x *exchange) do() {
	defer x.conn.done(x)
	if !x.request {
		c := x.conn
		soon := c.after(noteTimeout, x, func() { c.release(x); c.pump() })
		late := c.after(noteLimit, x, x.abort)
		defer soon.Stop()
		defer late.Stop()
	}
	if x.opens && x.backend.older.Load() && !x.openOld() && x.answered {
		return
	}
	x.finish(x.open())
}

// open sends the message to where messages go.
func (x *exchange) open() error {
	if x.request && x.isOld() {
		x.conn.await(x)
	}
	err := x.sendMessage()
	if !x.opens && !x.repeats { // which may have to be sent again
		x.drop()
	}
	x.conn.written(x)
	return err
}

// finish sees to the response, if err does not say that there is none.
func (x *exchange) finish(err error) {
	if err == nil {
		if err = x.receive("POST"); x.repeats && x.again(err) {
			if err = x.sendMessage(); err == nil {
				err = x.receive("POST")
			}
		}
	}
	if !x.opens {
		x.drop()
	}
	if err != nil {
		x.broken(err)
		return
	}
	switch {
	case !x.request:
		x.takeNote()
	case x.isOld():
		x.takeOld()
	case x.head.status < 300:
		x.takeAnswer()
	default:
		x.takeRefusal()
	}
	x.detach()
}

// isOld tells whether its answer comes on the stream of HTTP+SSE.
func (x *exchange) isOld() bool { return !x.modern && x.conn.old.Load() != nil }

// drop releases the message.
func (x *exchange) drop() {
	x.msg.Release()
	x.msg = nil
}

// sendMessage writes the POST.
func (x *exchange) sendMessage() error {
	if x.modern {
		x.out = append(x.out[:0], x.backend.post...)
	} else {
		x.out = append(x.out[:0], *x.conn.post.Load()...)
		x.out = append(x.out, *x.conn.lines.Load()...)
	}
	x.out = append(append(x.out, x.header...), x.backend.via...)
	x.out = appendLength(x.out, len(x.msg.B))
	if len(x.msg.B) < directSize {
		x.out = append(x.out, x.msg.B...)
		return x.send(nil)
	}
	return x.send(x.msg.B)
}

// ask sends a request without a body to the endpoint, and reads the response's
// head.
func (x *exchange) ask(method, lastID string) error {
	o := &x.backend.origin
	x.out = appendRequest(x.out[:0], method, o.target, o.host)
	if method == "GET" {
		x.out = append(x.out, "Accept: text/event-stream\r\nCache-Control: no-store\r\n"...)
	}
	x.out = append(x.out, *x.conn.lines.Load()...)
	if grant := x.conn.grant.Load(); grant != nil {
		x.out = append(x.out, *grant...)
	}
	if lastID != "" {
		x.out = append(append(append(x.out, "Last-Event-ID: "...), lastID...), "\r\n"...)
	}
	x.out = append(append(x.out, x.backend.via...), "\r\n"...)
	if err := x.send(nil); err != nil {
		return err
	}
	err := x.receive(method)
	if !x.again(err) {
		return err
	}
	if err := x.send(nil); err != nil {
		return err
	}
	return x.receive(method)
}

// send writes the request, out and then rest. A connection of the pool that
// takes nothing of it has been closed, and is left for another.
func (x *exchange) send(rest []byte) error {
	get := x.backend.pool.get
	if x.fresh {
		get, x.fresh = x.backend.pool.fresh, false
	}
	x.head.buf = x.head.buf[:0]
	for {
		if x.up == nil { // on a host it has one already
			u, err := get(x.conn.ctx)
			if err != nil {
				return &unreachable{err}
			}
			if !x.attach(u) {
				return errAborted
			}
		}
		u := x.up
		n, err := u.write(x.out, rest)
		switch {
		case err == nil:
			return nil
		case n == 0 && u.reused && !x.isAborted():
			x.leave(false)
			if x.hosted {
				return errElsewhere
			}
			continue
		case n == 0:
			return err
		}
		x.cut = true // it may have said why, as servers do of a body that is too large
		_ = u.conn.SetReadDeadline(time.Now().Add(cutPatience))
		return nil
	}
}

// receive reads the response's head, unless that has been done.
func (x *exchange) receive(method string) error {
	if !x.headed {
		x.headError = x.head.read(x.up.r)
	}
	x.headed = false
	if x.headError != nil {
		return x.headError
	}
	if b := x.backend; !b.heard.Load() {
		b.heard.Store(true)
	}
	if x.head.encoded {
		return misframed("it is compressed, which was not asked for")
	}
	x.body.start(x.up.r, &x.head, method)
	return nil
}

// attach gives it a connection, unless it was broken off.
func (x *exchange) attach(u *upstream) bool {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.aborted {
		u.close()
		return false
	}
	x.up = u
	return true
}

// detach gives the connection back, if the response was read to its end.
func (x *exchange) detach() { x.leave(x.body.over && !x.head.closes && !x.cut) }

// leave gives the connection back to the pool, or closes it. Without one it
// does nothing.
func (x *exchange) leave(good bool) {
	c := x.conn
	c.mu.Lock()
	u := x.up
	x.up = nil
	good = good && !x.aborted
	c.mu.Unlock()
	switch {
	case u == nil:
	case good:
		u.idle = x.head.idle()
		x.backend.pool.put(u)
	default:
		u.close()
	}
}

// discard reads the rest of a body that nobody wants, if it is short, and gives
// the connection back.
func (x *exchange) discard() {
	if !x.body.open && !x.head.isType("text/event-stream") {
		var scrap [512]byte
		for range 8 {
			if _, err := x.body.Read(scrap[:]); err != nil || x.body.over {
				break
			}
		}
	}
	x.detach()
}

// takeNote sees to the response to what is no request.
func (x *exchange) takeNote() {
	c := x.conn
	switch {
	case x.head.status < 300:
		x.discard()
		c.taken(x)
		if x.cancels != "" {
			c.forget(x.cancels)
		}
	case x.head.status == 404 && x.inSession():
		c.fail(sessionGone)
	default:
		x.backend.warn("the tool server refused a notification or an answer; it goes on without it", zap.Int("status", x.head.status))
		x.discard()
	}
}

// owns tells whether id is the request's.
func (x *exchange) owns(id []byte) bool { return x.request && bytes.Equal(x.id, id) }
