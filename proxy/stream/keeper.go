package stream

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/poll"
)

// use is what a connection is held for.
type use uint8

const (
	answering use = iota
	idle          // between two requests
)

// KeeperOptions never change.
type KeeperOptions struct {
	WriteTimeout time.Duration
	Idle         time.Duration // a connection may wait so long for its next request
	Again        func(*Socket) // takes a connection back that can serve another request
	Leaving      *atomic.Bool  // the gate ends: answers that begin close their connection; nil: never
}

// A Keeper takes connections out of the HTTP server, keeps them while the gate
// owns them, and gives them back. There is one for all frontends of a gate, so
// that its end can wait for all of them.
type Keeper struct {
	options KeeperOptions
	held    atomic.Int64 // calls on their way to an answer or a connection, and connections that are held

	mu      sync.Mutex
	sockets map[*Socket]use
	closing bool         // connections are not kept between two requests
	cutting bool         // nor while an answer is on its way
	poller  *poll.Poller // made with the first connection; nil where the system has none
}

// NewKeeper makes a keeper that holds nothing.
func NewKeeper(o KeeperOptions) *Keeper {
	return &Keeper{options: o, sockets: make(map[*Socket]use)}
}

// Begin says that a call is on its way to an answer that Wait is to wait for.
// Whoever calls it calls Done once the answer is written, or held.
func (k *Keeper) Begin() { k.held.Add(1) }

// Done ends what Begin began.
func (k *Keeper) Done() { k.held.Add(-1) }

// An Opening is how an answer begins.
type Opening struct {
	From   uint64 // number of the first event to write; 0: whatever was not sent yet
	Head   string // further header lines, each ended by CRLF; copied
	OnlyOK string // likewise, where the status is 200; copied
	First  string // events that an event stream begins with, before any message; copied
}

// Hold takes the request's connection out of the HTTP server and gives it to
// st.
func (k *Keeper) Hold(ctx *fasthttp.RequestCtx, st *Stream, o Opening) {
	wants := Request{
		Head:   strings.Clone(o.Head),
		OnlyOK: strings.Clone(o.OnlyOK),
		First:  strings.Clone(o.First),
		HTTP11: ctx.Request.Header.IsHTTP11(),
		Keep:   !ctx.Request.Header.ConnectionClose(),

		Leaving: k.options.Leaving,
	}
	k.take(ctx, st.Abandon, func(socket *Socket) {
		k.own(NewConn(socket, wants, k.options.WriteTimeout), st, o.From)
	})
}

// Upgrade takes the request's connection out of the HTTP server for another
// protocol. own is called on a goroutine of its own, without a response having
// been written. It calls done once, then or later, and the connection is closed.
// Where the connection does not come own is called with nil.
func (k *Keeper) Upgrade(ctx *fasthttp.RequestCtx, own func(s *Socket, done func())) {
	k.take(ctx, func() { own(nil, func() {}) }, func(socket *Socket) {
		done := func() {
			k.forget(socket)
			_ = socket.Close()
			k.held.Add(-1)
		}
		if k.note(socket, answering) {
			own(socket, done)
		} else {
			own(nil, done)
		}
	})
}

// take takes the connection out of the HTTP server and hands it to own; lost is
// called where it does not come.
func (k *Keeper) take(ctx *fasthttp.RequestCtx, lost func(), own func(*Socket)) {
	k.held.Add(1)
	missed := k.missed(lost)
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(hijacked net.Conn) {
		socket, err := takeBack(hijacked)
		inTime := missed.Stop()
		if inTime && err == nil {
			socket.watchWith(k.watch())
			go own(socket) // and no longer: the server keeps the request's memory until this returns
			return
		}
		_ = socket.Close()
		if inTime {
			lost()
			k.held.Add(-1)
		}
	})
}

// missed gives up when the server has not handed the connection over in
// time. It does not where it cannot write what it owes to requests before this
// one, and it does not say so.
func (k *Keeper) missed(lost func()) *time.Timer {
	return time.AfterFunc(k.options.WriteTimeout+time.Second, func() {
		lost()
		k.held.Add(-1)
	})
}

// own holds a connection until its answer is over, and gives it back to the
// HTTP server if it can serve another request.
func (k *Keeper) own(c *Conn, st *Stream, from uint64) {
	socket := c.Socket()
	k.note(socket, answering)
	st.Hold(c, from, func(reusable bool) {
		switch {
		case !reusable || !k.note(socket, idle):
			k.free(socket, false)
		case socket.Unread():
			k.free(socket, true)
		default: // the HTTP server would take it for a new one, of which a request is due soon
			socket.Ready(k.options.Idle, func(err error) { k.free(socket, err == nil) })
		}
	})
}

// free lets go of a connection that was held.
func (k *Keeper) free(socket *Socket, again bool) {
	k.forget(socket)
	k.held.Add(-1)
	if again {
		k.options.Again(socket)
		return
	}
	_ = socket.Close()
}

// watch is the poller that all connections wait by.
func (k *Keeper) watch() *poll.Poller {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.poller == nil && !k.cutting {
		k.poller, _ = poll.New() // without one each has a goroutine
	}
	return k.poller
}

// note says what a connection is held for. Where it should not be held any
// more, note closes it and returns false.
func (k *Keeper) note(s *Socket, u use) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sockets[s] = u
	if k.cutting || k.closing && u == idle {
		_ = s.Close()
		return false
	}
	return true
}

func (k *Keeper) forget(s *Socket) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sockets, s)
}

// Wait closes the connections that are idle, and waits until no other is held
// and no call is about to get one. When ctx is done it closes those that are.
func (k *Keeper) Wait(ctx context.Context) {
	k.end(&k.closing)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for k.held.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	for k.end(&k.cutting) > 0 {
		<-tick.C // an owner whose connection is closed lets go of it at once
	}
	if p := k.watch(); p != nil {
		_ = p.Close() // there is nothing left in it
	}
}

// end notes what is not to be held any more, closes what is, and returns how
// many connections are left.
func (k *Keeper) end(what *bool) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	*what = true
	for s, u := range k.sockets {
		if k.cutting || u == idle {
			_ = s.Close()
		}
	}
	return len(k.sockets)
}
