package lines

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// A Transport is what a Conn is made of: a connection of which either side can
// end what it sends and still hear the other. Close ends the sending direction;
// it may be called while a Read or a Write waits. A Write that fails with
// backend.ErrClosed is no news: Read will tell how the connection ended.
type Transport interface {
	io.ReadWriteCloser

	// Cut ends the connection, with every Read and Write that waits. It is
	// called from any goroutine, once or twice; heard is the error with which
	// Read has failed, nil where it has not yet.
	Cut(heard error)

	// Explain makes of the end what backend.Receiver's Closed gets.
	Explain(e End) error
}

// End is how a connection ended that its owner did not close.
type End struct {
	Err     error         // of the transport
	Sending bool          // a Write failed with it; else a Read
	After   time.Duration // since the connection was opened
}

// ConnOptions are those of a Conn's reader, and what its way out and its end
// may cost.
type ConnOptions struct {
	Options
	MaxQueue    int           // bytes of memory in messages that wait to be written
	StopTimeout time.Duration // between the end of the sending direction and the cut
}

// Conn is one connection over a Transport. Its goroutines are read (which is
// the last to end), the writer's while there is something to write, and stop
// while the connection is being ended.
type Conn struct {
	options   ConnOptions
	transport Transport
	receiver  backend.Receiver
	started   time.Time
	out       Writer

	mu     sync.Mutex
	ending bool // stop was called, or the server has ended the connection
	closed bool // the owner called Close
	how    End  // without After

	over      chan struct{} // nothing more is read
	hurry     chan struct{} // an owner waits no longer: cut
	hurryOnce sync.Once
	gone      chan struct{} // nothing is left

	work sync.WaitGroup // all goroutines but read
}

var _ backend.Conn = (*Conn)(nil)

// Start makes a connection of t, which it takes over: the Conn ends it. r may
// be called before Start returns.
func Start(t Transport, r backend.Receiver, o ConnOptions) *Conn {
	c := &Conn{
		options:   o,
		transport: t,
		receiver:  r,
		started:   time.Now(),
		over:      make(chan struct{}),
		hurry:     make(chan struct{}),
		gone:      make(chan struct{}),
	}
	c.out.Init(t, o.MaxQueue, &c.work, c.notTaken)
	go c.read()
	return c
}

// Send queues msg for the server; see backend.Conn.
func (c *Conn) Send(msg *wire.Buffer) error { return c.out.Send(msg) }

// Close ends the connection; see backend.Conn. What was sent before is still
// written, and what the server says before it ends its own direction is still
// read, if that comes in time.
func (c *Conn) Close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end(End{})
	select {
	case <-c.gone:
		return
	case <-ctx.Done():
		c.hurryOnce.Do(func() { close(c.hurry) })
	}
	<-c.gone
}

// notTaken ends a connection to which nothing can be written.
func (c *Conn) notTaken(err error) {
	if !errors.Is(err, backend.ErrClosed) {
		c.end(End{Err: err, Sending: true})
	}
}

// end makes the connection end, as how says if it is the first to say so.
func (c *Conn) end(how End) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return
	}
	c.ending = true
	c.how = how
	c.work.Go(c.stop)
}

// stop ends a connection that the server has not ended: what is queued is
// written, then the sending direction ends, and when the server has not ended
// its own within StopTimeout the connection is cut.
func (c *Conn) stop() {
	c.out.Finish()
	timer := time.NewTimer(c.options.StopTimeout)
	defer timer.Stop()
	select {
	case <-c.over:
	case <-timer.C:
		c.options.Log.Debug(c.options.Sender + " did not end a connection in time, so it was cut")
	case <-c.hurry:
	}
	c.transport.Cut(nil)
}

// read hands the server's messages to the receiver until the connection ends,
// takes everything down, and says how it ended. A server that has ended its own
// direction answers no more, so that is the end, too.
func (c *Conn) read() {
	err := NewReader(c.transport, c.receiver, c.options.Options).Run()
	close(c.over)
	c.mu.Lock()
	if !c.ending {
		c.ending = true
		c.how.Err = err
	}
	c.mu.Unlock()
	c.out.Close()
	c.transport.Cut(err)
	c.work.Wait()
	c.receiver.Closed(c.farewell())
	close(c.gone)
}

// farewell is how the connection ended, nil where its owner ended it.
func (c *Conn) farewell() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.how.After = time.Since(c.started)
	return c.transport.Explain(c.how)
}
