package http

import (
	"errors"
	"time"

	"sidegate/proxy/wire"
)

// lookTimeout is how long a server may take to respond to the look for HTTP+SSE.
const lookTimeout = 10 * time.Second

// openOld opens the stream of HTTP+SSE, on which all messages of the server's
// come, and learns from its first event where messages are sent. It tells
// whether the server has one. Where it does not let the client have it, the call
// is answered; where it names a place that may not be sent to, the call is
// answered and the connection has failed.
// (2024-11-05, basic/transports, "HTTP with SSE")
func (x *exchange) openOld() bool {
	c := x.conn
	if c.old.Load() != nil {
		return false
	}
	s := c.backend.exchange(c)
	c.enlist(s)
	late := c.after(lookTimeout, s, s.abort)
	err := s.ask("GET", "")
	late.Stop()
	if err != nil || s.head.status != 200 || !s.head.isType("text/event-stream") {
		if err == nil && (s.head.status == 401 || s.head.status == 403) {
			text, _ := s.readRefusal()
			x.replyAsItIs(&s.head, text)
			x.answered = true
		}
		s.leave(false)
		c.done(s)
		x.backend.older.Store(false)
		return false
	}
	events := s.eventReader()
	endpoint, err := s.firstEvent(events)
	if err != nil {
		s.endOld(events)
		x.backend.older.Store(false)
		return false
	}
	target, err := x.backend.origin.resolve(endpoint)
	if err != nil {
		s.endOld(events)
		how := "names an endpoint " + err.Error()
		x.lost("the tool server %s", how)
		x.answered = true
		c.fail(how)
		return false
	}
	post := appendPost(nil, target, x.backend.origin.host)
	c.post.Store(&post)
	c.old.Store(s)
	x.backend.older.Store(true)
	x.backend.newer.Store(false)
	go s.readOld(events)
	return true
}

// firstEvent waits for the event that names the endpoint. It may come behind
// others that are no messages.
func (x *exchange) firstEvent(events *wire.EventReader) (string, error) {
	_ = x.up.conn.SetReadDeadline(time.Now().Add(x.backend.config.ConnectTimeout))
	for {
		data, err := events.Next()
		if err != nil {
			return "", err
		}
		text := string(data.B)
		data.Release()
		switch string(events.Type()) {
		case "endpoint":
			return text, x.up.conn.SetReadDeadline(time.Time{})
		case "", "message":
			return "", errors.New("a message comes before the endpoint")
		}
	}
}

// readOld hands on what comes on the stream. Its end is the connection's.
func (x *exchange) readOld(events *wire.EventReader) {
	for {
		data, err := events.Next()
		var long *wire.TooLong
		switch {
		case err == nil:
			x.takeEvent(events.Type(), data)
		case errors.As(err, &long):
			x.tooLong(long)
		default:
			x.conn.fail("ended its event stream")
			x.endOld(events)
			return
		}
	}
}

func (x *exchange) endOld(events *wire.EventReader) {
	events.Reset(nil)
	x.leave(false)
	x.conn.done(x)
}

// takeOld sees to the response to a request whose answer comes on the stream.
// There are servers that give it here.
func (x *exchange) takeOld() {
	if x.head.status >= 300 {
		x.takeRefusal()
		return
	}
	if x.head.status == 200 && x.head.isType("application/json") && x.takeAtOnce() {
		return
	}
	x.discard()
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	x.accepted = true
}

// takeAtOnce hands on what the response to a POST holds, if it is the answer to
// the call, and tells whether the call is over.
func (x *exchange) takeAtOnce() bool {
	msg, err := x.readBody(x.backend.config.MaxMessage)
	if long, ok := errors.AsType[*wire.TooLong](err); ok {
		long.ID = x.id
		x.tooLong(long)
		return true
	}
	if err != nil {
		return false
	}
	err = x.env.Scan(msg.B)
	if err != nil || x.env.Kind != wire.Result && x.env.Kind != wire.Error || !x.owns(x.env.ID.Of(msg.B)) {
		x.env.Reset()
		msg.Release()
		return false
	}
	x.deliver(msg)
	return true
}
