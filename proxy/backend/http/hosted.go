package http

import (
	"bytes"
	"errors"
	"time"

	"sidegate/proxy/wire"
)

// errElsewhere says that a request is to be sent by a goroutine of its own.
var errElsewhere = errors.New("not on a host")

// launch runs x, on the goroutine on which its message came if that lends
// itself and x is of the usual kind: a short request, over a connection that is
// there. conn.mu is held.
func (x *exchange) launch() {
	if host := x.msg.Host; host != nil && x.request && !x.opens && !x.listens && len(x.msg.B) < directSize && host.Take(x.begin) {
		return
	}
	go x.run()
}

// doBegin is do on a host: it sends the request, and where the response comes
// at once and is short and whole, it sees to that, too. For all else there is a
// goroutine of x's own.
func (x *exchange) doBegin() {
	if x.isOld() || !x.takeIdle() {
		go x.run()
		return
	}
	x.hosted = true
	err := x.sendMessage()
	x.hosted = false
	if errors.Is(err, errElsewhere) {
		go x.run()
		return
	}
	if !x.repeats {
		x.drop()
	}
	x.conn.written(x)
	if err == nil && !x.comesAtOnce() {
		go x.goOn()
		return
	}
	defer x.conn.done(x)
	x.finish(err)
}

// doRest is the rest of do, after doBegin.
func (x *exchange) doRest() {
	defer x.conn.done(x)
	x.finish(nil)
}

// takeIdle takes a connection out of the pool; false where there is none.
func (x *exchange) takeIdle() bool {
	u := x.backend.pool.good()
	return u != nil && x.attach(u)
}

var (
	headEnd = []byte("\r\n\r\n")
	final   = []byte("HTTP/1.1 2")
)

// comesAtOnce waits for the response as long as a host may, and reads its head
// if it has come whole. It is false where the rest has to be waited for.
func (x *exchange) comesAtOnce() bool {
	if x.cut { // it is no more than looked for a word of the server's
		return false
	}
	u := x.up
	_ = u.conn.SetReadDeadline(time.Now().Add(wire.HostPatience))
	_, err := u.r.Peek(1)
	_ = u.conn.SetReadDeadline(time.Time{})
	if err != nil {
		return false // who goes on meets the same end
	}
	have, _ := u.r.Peek(u.r.Buffered())
	end := bytes.Index(have, headEnd)
	if end < 0 || !bytes.HasPrefix(have, final) {
		return false
	}
	x.headed, x.headError = true, x.head.read(u.r)
	return x.headError != nil || x.head.length >= 0 && !x.head.chunked && x.head.length <= int64(u.r.Buffered())
}
