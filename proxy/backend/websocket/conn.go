package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/lines"
	"sidegate/proxy/wire"
	"sidegate/proxy/ws"
)

// conn is one connection. Its goroutines are read (which is the last to end),
// the writer's while there is something to write, and stop while the
// connection is being ended; and the peer's own.
type conn struct {
	backend  *Backend
	receiver backend.Receiver
	log      *zap.Logger
	started  time.Time
	peer     *ws.Peer
	out      lines.Writer

	mu     sync.Mutex
	ending bool  // stop was called, or the server has ended the connection
	closed bool  // the owner called Close
	cause  error // why it ends

	over      chan struct{} // nothing more is read
	hurry     chan struct{} // an owner waits no longer: cut
	hurryOnce sync.Once
	gone      chan struct{} // nothing is left

	work sync.WaitGroup // all goroutines but read
}

var _ backend.Conn = (*conn)(nil)

func start(b *Backend, peer *ws.Peer, r backend.Receiver) *conn {
	c := &conn{
		backend:  b,
		receiver: r,
		log:      b.log,
		started:  time.Now(),
		peer:     peer,
		over:     make(chan struct{}),
		hurry:    make(chan struct{}),
		gone:     make(chan struct{}),
	}
	c.out.Init(peer, b.config.MaxQueue, &c.work, c.notTaken)
	go c.read()
	return c
}

// Send queues msg for the server; see backend.Conn.
func (c *conn) Send(msg *wire.Buffer) error { return c.out.Send(msg) }

// Close ends the connection; see backend.Conn. What was sent before is still
// written, and what the server says before its own goodbye is still read, if
// that comes in time.
func (c *conn) Close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end(nil)
	select {
	case <-c.gone:
		return
	case <-ctx.Done():
		c.hurryOnce.Do(func() { close(c.hurry) })
	}
	<-c.gone
}

// notTaken ends a connection to which nothing can be written. After a goodbye
// that is no news: the reader knows whose it was.
func (c *conn) notTaken(err error) {
	if !errors.Is(err, ws.ErrGoodbye) {
		c.end(err)
	}
}

// end makes the connection end, for cause if it is the first to say so.
func (c *conn) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return
	}
	c.ending = true
	c.cause = cause
	c.work.Go(c.stop)
}

// stop ends a connection that the server has not ended: what is queued is
// written, then the goodbye, and when the server has not answered it within
// StopTimeout the connection is cut.
func (c *conn) stop() {
	c.out.Finish()
	timer := time.NewTimer(c.backend.config.StopTimeout)
	defer timer.Stop()
	select {
	case <-c.over:
	case <-timer.C:
		c.log.Debug("the tool server did not end a connection in time, so it was cut")
	case <-c.hurry:
	}
	c.peer.Abort() // ends a read and a write that wait
}

// read hands the server's messages to the receiver until the connection ends,
// takes everything down, and says how it ended.
func (c *conn) read() {
	config := &c.backend.config
	err := lines.NewReader(c.peer, uncut{c}, lines.Options{
		MaxMessage: config.MaxMessage, Budget: config.Budget, Log: c.log, Sender: "the tool server",
	}).Run()
	close(c.over)
	c.mu.Lock()
	if !c.ending {
		c.ending = true
		c.cause = err
	}
	c.mu.Unlock()
	c.out.Close()
	c.parting(err)
	c.peer.Abort()
	c.work.Wait()
	c.peer.Wait()
	c.receiver.Closed(c.farewell())
	close(c.gone)
}

// parting lets the last frame out: the answer to a goodbye, or what was wrong.
// It is short, and most often out by now.
func (c *conn) parting(err error) {
	var said *ws.Closed
	var fault *ws.Fault
	if errors.As(err, &said) || errors.As(err, &fault) {
		c.peer.Part(partingTime)
	}
}

// partingTime bounds the writing of the last frame.
const partingTime = time.Second

// uncut is the receiver that hears nothing of a message which the end of the
// connection has cut: it never was one.
type uncut struct{ *conn }

func (u uncut) Message(msg *wire.Buffer, env *wire.Envelope) { u.receiver.Message(msg, env) }
func (u uncut) TooLong(id []byte, size int64)                { u.receiver.TooLong(id, size) }

func (u uncut) Garbage(id []byte) {
	if !u.peer.Cut() {
		u.receiver.Garbage(id)
	}
}

// farewell is how the connection ended, nil where its owner ended it.
func (c *conn) farewell() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	how, words := how(c.cause)
	return &EndError{c.backend.String(), how, words, time.Since(c.started)}
}

// how words the end of a connection; words are the server's own.
func how(err error) (how, words string) {
	var said *ws.Closed
	var fault *ws.Fault
	switch {
	case errors.As(err, &said):
		return (&ws.Closed{Code: said.Code}).Error(), said.Reason
	case errors.As(err, &fault):
		return fault.Text, ""
	case errors.Is(err, ws.ErrDead):
		return "cannot be reached any more: it does not answer pings", ""
	case errors.Is(err, io.EOF):
		return "broke the connection off without a goodbye", ""
	}
	return fmt.Sprintf("broke the connection off (%v)", err), ""
}

// EndError is what a Receiver's Closed gets when a connection ended that its
// owner did not close.
type EndError struct {
	Server string        // name of the backend
	How    string        // completes "the tool server …"
	Words  string        // the reason in the server's goodbye
	After  time.Duration // since the connection was opened
}

// Error is for the operator.
func (e *EndError) Error() string {
	if e.Words == "" {
		return e.Brief() + "; its own log says why"
	}
	return fmt.Sprintf("%s; its reason: %q", e.Brief(), e.Words)
}

// Brief is what a client may be told.
func (e *EndError) Brief() string {
	return fmt.Sprintf("the tool server %q %s, %.1fs after it was opened", e.Server, e.How, e.After.Seconds())
}
