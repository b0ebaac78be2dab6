package http

import (
	"errors"
	"time"

	"sidegate/proxy/wire"
)

const (
	maxResumes   = 5 // in a row that bring nothing
	defaultRetry = time.Second
	maxRetry     = 60 * time.Second
	longBackoff  = 30 * time.Second
	soundStream  = 10 * time.Second // a stream that lives so long has started well
)

// takeEvents reads the event stream in which the answer comes. Where the server
// closes it before, and has said where it was, it is asked to go on.
// (2025-11-25, basic/transports, "Resumability and Redelivery")
func (x *exchange) takeEvents() {
	for {
		err := x.readEvents()
		if x.answered || x.isAborted() {
			return
		}
		if bad, ok := errors.AsType[misframed](err); ok {
			x.refuse(502, bad.Error())
			return
		}
		if x.lastID == "" || x.modern { // 2026-07-28 has no resumption
			x.lost("the tool server ended its event stream before it answered the call")
			return
		}
		if !x.resume() {
			if !x.isAborted() {
				x.lost("the tool server ended its event stream before it answered the call, and did not go on with it when asked")
			}
			return
		}
	}
}

// readEvents hands on the messages of an event stream until it ends, and gives
// its connection back. It returns why the stream ended.
func (x *exchange) readEvents() error {
	events := x.eventReader()
	limited := false
	var end error
	for end == nil {
		data, err := events.Next()
		if id := events.ID(); len(id) > 0 && string(id) != x.lastID {
			x.lastID = eventIDOf(id)
			x.resumes = 0
		}
		if err == nil {
			x.resumes = 0
			x.takeEvent(events.Type(), data)
		} else if long, ok := errors.AsType[*wire.TooLong](err); ok {
			x.tooLong(long)
		} else {
			end = err
		}
		if x.answered && !limited { // the server should end it now
			limited = true
			_ = x.up.conn.SetReadDeadline(time.Now().Add(afterAnswer))
		}
	}
	if retry := events.Retry(); retry > 0 {
		x.retry = retry
	}
	events.Reset(nil)
	if limited && x.body.over {
		_ = x.up.conn.SetReadDeadline(time.Time{})
	}
	x.detach()
	return end
}

// eventReader is the exchange's own, set to the body.
func (x *exchange) eventReader() *wire.EventReader {
	if x.events == nil {
		x.events = wire.NewEventReader(nil, x.backend.config.MaxMessage, x.backend.config.Budget)
	}
	x.events.Reset(&x.body)
	return x.events
}

// takeEvent hands on an event's message. Events of other types are none.
func (x *exchange) takeEvent(kind []byte, data *wire.Buffer) {
	if len(kind) > 0 && string(kind) != "message" {
		data.Release()
		return
	}
	x.take(data)
}

// resume asks the server to go on with a stream, after the pause that it wants.
// It tells whether it does.
func (x *exchange) resume() bool {
	for ; x.resumes < maxResumes; x.resumes++ {
		if !x.conn.sleep(x.pause()) || x.isAborted() {
			return false
		}
		err := x.ask("GET", x.lastID)
		switch {
		case err != nil:
			x.leave(false)
		case x.head.status == 200 && x.head.isType("text/event-stream"):
			x.resumes++
			return true
		default:
			x.discard()
			if x.goneBy() || !x.mayRecover() {
				return false
			}
		}
	}
	return false
}

// pause is how long the server wants to be left alone.
func (x *exchange) pause() time.Duration {
	if x.retry <= 0 {
		return defaultRetry
	}
	return min(x.retry, maxRetry)
}

// goneBy ends the connection where the response says that the session is gone.
func (x *exchange) goneBy() bool {
	if x.head.status != 404 || !x.conn.inSession() {
		return false
	}
	x.conn.fail(sessionGone)
	return true
}

// mayRecover tells whether the response's status is one that may pass.
func (x *exchange) mayRecover() bool {
	return x.head.status >= 500 && x.head.status != 501 || x.head.status == 429 || x.head.status == 409
}

// sleep waits, and tells whether it was to the end.
func (c *conn) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// Hears tells whether there is a stream for what belongs to no call; see
// backend.Hearer. That of HTTP+SSE lasts as long as the connection.
func (c *conn) Hears() uint64 {
	if c.old.Load() != nil {
		return 1
	}
	return c.hears.Load()
}

// listen holds the stream on which the server says what belongs to no call, as
// long as the connection lives and the server has such a stream.
// (2025-11-25, basic/transports, "Listening for Messages from the Server")
func (c *conn) listen() {
	x := c.backend.exchange(c)
	c.enlist(x)
	defer c.done(x)
	streams := uint64(0)
	for tries := 0; c.ctx.Err() == nil; tries++ {
		begun := time.Now()
		err := x.ask("GET", x.lastID)
		switch {
		case err != nil:
			x.leave(false)
		case x.head.status == 200 && x.head.isType("text/event-stream"):
			streams++
			c.hears.Store(streams)
			_ = x.readEvents()
			c.hears.Store(0)
			if x.retry > 0 || time.Since(begun) > soundStream {
				tries = 0
			}
		default:
			x.discard()
			if x.goneBy() {
				return
			}
			if !x.mayRecover() && x.lastID == "" {
				return // it has none
			}
			x.lastID = ""
		}
		if !c.sleep(min(x.pause()<<min(tries, 10), longBackoff)) {
			return
		}
	}
}
