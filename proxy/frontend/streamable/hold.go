package streamable

import (
	"context"
	"net"
	"strings"
	"time"

	"sidegate/proxy/stream"
)

// use is what a connection is held for.
type use uint8

const (
	answering use = iota
	idle          // between two requests
)

// hold takes the connection out of the HTTP server and gives it to st.
func (f *Frontend) hold(r *Request, st *stream.Stream, from uint64, head string) {
	wants := stream.Request{
		Head:   strings.Clone(head),
		HTTP11: r.HTTP.Request.Header.IsHTTP11(),
		Keep:   !r.HTTP.Request.Header.ConnectionClose(),
	}
	f.held.Add(1)
	missed := f.missed(st)
	r.HTTP.HijackSetNoResponse(true)
	r.HTTP.Hijack(func(hijacked net.Conn) {
		c, err := stream.NewConn(hijacked, wants, f.options.WriteTimeout)
		switch {
		case !missed.Stop():
			c.Close()
		case err != nil:
			st.Abandon()
			f.held.Add(-1)
		default:
			go f.own(c, st, from) // and no longer: the server keeps the request's memory until this returns
		}
	})
}

// missed gives st up when the server has not handed the connection over in
// time. It does not where it cannot write what it owes to requests before this
// one, and it does not say so.
func (f *Frontend) missed(st *stream.Stream) *time.Timer {
	return time.AfterFunc(f.options.WriteTimeout+time.Second, func() {
		st.Abandon()
		f.held.Add(-1)
	})
}

// own holds a connection until its answer is over, and gives it back to the
// HTTP server if it can serve another request.
func (f *Frontend) own(c *stream.Conn, st *stream.Stream, from uint64) {
	socket := c.Socket()
	f.note(socket, answering)
	again := st.Hold(c, from) && f.note(socket, idle) && socket.Await(f.options.Idle) == nil
	f.forget(socket)
	f.held.Add(-1)
	if again {
		f.options.Again(socket)
		return
	}
	c.Close()
}

// note says what a connection is held for. Where it should not be held any
// more, note closes it and returns false.
func (f *Frontend) note(s *stream.Socket, u use) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sockets[s] = u
	if f.cutting || f.closing && u == idle {
		_ = s.Close()
		return false
	}
	return true
}

func (f *Frontend) forget(s *stream.Socket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sockets, s)
}

// Wait closes the connections that are idle, and waits until no other is held
// and no call is about to get one. When ctx is done it closes those that are.
func (f *Frontend) Wait(ctx context.Context) {
	f.end(&f.closing)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for f.held.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	for f.end(&f.cutting) > 0 {
		<-tick.C // an owner whose connection is closed lets go of it at once
	}
}

// end notes what is not to be held any more, closes what is, and returns how
// many connections are left.
func (f *Frontend) end(what *bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	*what = true
	for s, u := range f.sockets {
		if f.cutting || u == idle {
			_ = s.Close()
		}
	}
	return len(f.sockets)
}
