package http

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/wire"
)

// openOld opens the stream of HTTP+SSE, on which all messages of the server's
// come, and learns from its first event where messages are sent. It tells
// whether the server has one; where it does, and names a place that may not be
// sent to, the connection has failed. Where it does not let the client have it,
// the call is answered.
// (2024-11-05, basic/transports, "HTTP with SSE")
func (x *exchange) openOld() bool {
	c := x.conn
	if c.old.Load() != nil {
		return false
	}
	s := c.backend.exchange(c)
	c.enlist(s)
	if err := s.ask("GET", ""); err != nil || s.head.status != 200 || !s.head.isType("text/event-stream") {
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
		x.backend.warn("the tool server names an endpoint that is not used", zap.Error(err))
		c.fail("names an endpoint for its messages that is not used: " + err.Error())
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

// firstEvent waits for the event that names the endpoint.
func (x *exchange) firstEvent(events *wire.EventReader) (string, error) {
	_ = x.up.conn.SetReadDeadline(time.Now().Add(x.backend.config.ConnectTimeout))
	data, err := events.Next()
	if err != nil {
		return "", err
	}
	defer data.Release()
	if string(events.Type()) != "endpoint" {
		return "", errors.New("the first event is of another type")
	}
	return string(data.B), x.up.conn.SetReadDeadline(time.Time{})
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
func (x *exchange) takeOld() {
	if x.head.status >= 300 {
		x.takeRefusal()
		return
	}
	x.discard()
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	x.accepted = true
}
