package http

import (
	"context"
	"fmt"
	"time"
)

// Close ends the session; see backend.Conn. What was sent before is still sent
// and, for a while, answered.
func (c *conn) Close(ctx context.Context) {
	c.finish(nil)
	select {
	case <-c.gone:
	case <-ctx.Done():
		c.cancel()
		<-c.gone
	}
}

// fail ends the connection for a reason of the server's.
func (c *conn) fail(how string) {
	c.finish(&EndError{Server: c.backend.String(), How: how})
}

// finish lets no more be sent, and ends the connection, once.
func (c *conn) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return
	}
	c.finished = true
	c.pump() // it may be idle
	go c.wind(err)
}

// wind ends everything in its order. err is what Closed gets.
func (c *conn) wind(err error) {
	if err == nil {
		c.endListens()
		c.wait()
		c.sayGoodbye()
	}
	c.cancel()
	c.mu.Lock()
	for x := range c.running {
		x.abort()
	}
	for x := range c.streams {
		x.abort()
	}
	for _, x := range c.queue {
		x.free()
	}
	c.queue = nil
	c.mu.Unlock()
	c.work.Wait()
	c.receiver.closed(err)
	c.backend.pool.leave()
	close(c.gone)
}

// wait gives what was sent a while to be answered.
func (c *conn) wait() {
	timer := time.NewTimer(c.backend.config.StopTimeout)
	defer timer.Stop()
	select {
	case <-c.idle:
	case <-timer.C:
	case <-c.ctx.Done():
	}
}

// sayGoodbye ends the server's session. Servers may refuse that with 405; none
// is asked twice. (2025-11-25, basic/transports, "Session Management")
func (c *conn) sayGoodbye() {
	if !c.inSession() || c.ctx.Err() != nil {
		return
	}
	x := c.backend.exchange(c)
	c.enlist(x)
	timer := c.after(c.backend.config.StopTimeout, x, x.abort)
	hurry := context.AfterFunc(c.ctx, c.unlessOver(x, x.abort))
	if x.ask("DELETE", "") == nil {
		x.discard()
	}
	timer.Stop()
	hurry()
	c.done(x)
}

// EndError is what a Receiver's Closed gets when a session ended that its
// owner did not close.
type EndError struct {
	Server string // name of the backend
	How    string // completes "the tool server …"
}

// Error says what happened. It quotes nothing that the server said.
func (e *EndError) Error() string { return e.Brief() }

// Brief is what a client may be told.
func (e *EndError) Brief() string { return fmt.Sprintf("the tool server %q %s", e.Server, e.How) }
