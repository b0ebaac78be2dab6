package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/lines"
	"sidegate/proxy/wire"
)

// duplex is a connection of which one direction can be ended by itself.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// half is the sending direction of a connection. It ends by itself: what the
// server still says is read.
type half struct{ duplex }

// Close ends the sending direction.
func (h half) Close() error { return h.CloseWrite() }

// conn is one connection. Its goroutines are read (which is the last to end),
// the writer's while there is something to write, and stop while the
// connection is being ended.
type conn struct {
	backend  *Backend
	receiver backend.Receiver
	log      *zap.Logger
	started  time.Time
	socket   duplex
	out      lines.Writer

	mu     sync.Mutex
	ending bool   // stop was called, or the server has ended the connection
	closed bool   // the owner called Close
	cause  string // why the gate ends it, completes "the tool server …"

	over      chan struct{} // nothing more is read
	hurry     chan struct{} // an owner waits no longer: cut
	hurryOnce sync.Once
	gone      chan struct{} // nothing is left

	work sync.WaitGroup // all goroutines but read
}

var _ backend.Conn = (*conn)(nil)

func start(b *Backend, s duplex, r backend.Receiver) *conn {
	c := &conn{
		backend:  b,
		receiver: r,
		log:      b.log,
		started:  time.Now(),
		socket:   s,
		over:     make(chan struct{}),
		hurry:    make(chan struct{}),
		gone:     make(chan struct{}),
	}
	c.out.Init(half{s}, b.config.MaxQueue, &c.work, func(err error) { c.end(how(err, "does not take what is sent to it")) })
	go c.read()
	return c
}

// Send queues msg for the server; see backend.Conn.
func (c *conn) Send(msg *wire.Buffer) error { return c.out.Send(msg) }

// Close ends the connection; see backend.Conn. What was sent before is still
// written, and what the server answers to it is still read, if it ends its own
// direction in time.
func (c *conn) Close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end("")
	select {
	case <-c.gone:
		return
	case <-ctx.Done():
		c.hurryOnce.Do(func() { close(c.hurry) })
	}
	<-c.gone
}

// end makes the connection end, for cause if it is the first to say so.
func (c *conn) end(cause string) {
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
// written, then the sending direction ends, which a server takes as the end of
// its input, and when it has not ended its own within StopTimeout the
// connection is cut.
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
	_ = c.socket.Close() // ends a read and a write that wait
}

// read hands the server's messages to the receiver until the connection ends,
// takes everything down, and says how it ended. A server that has ended its own
// direction answers no more, so that is the end, too.
func (c *conn) read() {
	config := &c.backend.config
	err := lines.NewReader(c.socket, c.receiver, lines.Options{
		MaxMessage: config.MaxMessage, Budget: config.Budget, Log: c.log, Sender: "the tool server",
	}).Run()
	close(c.over)
	c.mu.Lock()
	if !c.ending {
		c.ending = true
		c.cause = how(err, "broke the connection off")
	}
	c.mu.Unlock()
	c.out.Close()
	_ = c.socket.Close()
	c.work.Wait()
	c.receiver.Closed(c.farewell())
	close(c.gone)
}

// how words the end of a connection; otherwise is for what is not known better.
func how(err error, otherwise string) string {
	switch {
	case errors.Is(err, io.EOF):
		return "closed the connection"
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return "broke the connection off"
	case errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, os.ErrDeadlineExceeded):
		return "cannot be reached any more: its host does not answer"
	}
	return otherwise + fmt.Sprintf(" (%v)", err)
}

// farewell is how the connection ended, nil where its owner ended it.
func (c *conn) farewell() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	return &EndError{c.backend.String(), c.cause, time.Since(c.started)}
}

// EndError is what a Receiver's Closed gets when a connection ended that its
// owner did not close.
type EndError struct {
	Server string        // name of the backend
	How    string        // completes "the tool server …"
	After  time.Duration // since the connection was opened
}

// quick is how soon a server ends a connection that it did not want.
const quick = time.Second

// Error is for the operator: the reason is at the server's end.
func (e *EndError) Error() string {
	if e.After < quick {
		return e.Brief() + "; its own log says why: it may not have wanted the connection (sidegate shim: --allow-uid, --max-connections), or its process ended at once"
	}
	return e.Brief() + "; its own log says why"
}

// Brief is what a client may be told.
func (e *EndError) Brief() string {
	return fmt.Sprintf("the tool server %q %s, %.1fs after it was opened", e.Server, e.How, e.After.Seconds())
}
