package websocket

import (
	"errors"
	"io"
	"os"
	"time"

	"sidegate/proxy/refusal"
	"sidegate/proxy/ws"
)

const (
	// partTime bounds how long the last frame may take to be written once the
	// client has said goodbye, or broken a rule.
	partTime = 5 * time.Second
	// lingerTime bounds how long the client's own goodbye is waited for after
	// the gate's.
	lingerTime = 2 * time.Second
)

var (
	errEnded = errors.New("the gate has said goodbye")
	errDead  = errors.New("the client does not answer pings")
)

// longAgo is a deadline that ends a pending read.
var longAgo = time.Unix(1, 0)

// Watch serves what the client says until it has left.
func (c *conn) Watch(arm func(time.Duration) bool, turn func()) error {
	c.arm, c.turn = arm, turn
	for {
		msg, err := c.ws.Next()
		if err != nil {
			return c.leave(err)
		}
		msg.Header = c.forwarded
		c.take(msg)
	}
}

// source is what the library reads from: the socket, with the connection's
// clock. A client that is silent is asked for a sign of life; the library hears
// of no time-out but the last.
type source conn

func (s *source) Read(p []byte) (int, error) {
	c := (*conn)(s)
	for {
		if c.ws.Pending() {
			c.turn()
		}
		due := c.ws.Due()
		patience := c.patience(due)
		if patience <= 0 {
			return 0, ws.ErrLate
		}
		if !c.arm(patience) {
			return 0, errEnded
		}
		armed := time.Now()
		n, err := c.socket.Read(p)
		switch {
		case n > 0 || !errors.Is(err, os.ErrDeadlineExceeded):
			c.silent = false
			return n, err
		case !due.IsZero() || !c.known() || time.Since(armed) < patience:
			// late, which patience says; or woken by the writer
		case c.silent:
			return 0, errDead
		default:
			c.silent = true
			c.pinging.Store(true)
			c.turn()
		}
	}
}

// known tells whether the client has said what it is here for: it has opened a
// session, or made a call that needs none.
func (c *conn) known() bool { return c.opened || c.modern.spoken }

// patience is how long the next bytes are waited for, not positive where the
// message that is due at due is late. Who has not opened the session after a
// while loses it, however lively the connection is; how that ends the connection
// is read like the end of any other.
func (c *conn) patience(due time.Time) time.Duration {
	ping := c.frontend.options.Ping
	if !due.IsZero() {
		return time.Until(due)
	}
	if c.known() || c.expired {
		return ping
	}
	left := time.Until(c.started.Add(ping))
	if left > 0 {
		return left
	}
	c.expired = true
	c.sessions.End(c.session, refusal.Uninitialized.With("no initialize has come within %v", ping))
	return ping
}

// leave ends the connection in good order, as far as its client lets it. err is
// why nothing more is read.
func (c *conn) leave(err error) error {
	var said *ws.Closed
	var fault *ws.Fault
	switch {
	case errors.Is(err, errEnded):
		c.linger()
		return nil
	case errors.As(err, &said):
		if means(said.Code) {
			c.sessions.End(c.session, refusal.SessionEnd)
		}
		c.part()
	case errors.As(err, &fault):
		c.frontend.options.Refused(row(fault.Code))
		if c.part() {
			c.linger()
		}
	}
	return err
}

// means tells whether a client that says goodbye with code is done with its
// session, and not only with the connection.
func means(code int) bool {
	return code == ws.CodeNormal || code == ws.CodeGoingAway || code == ws.CodeNone
}

// row is what a connection that ends with code is counted as.
func row(code int) *refusal.Refusal {
	switch code {
	case ws.CodeTooBig:
		return refusal.Size
	case ws.CodePolicy:
		return refusal.SlowBody
	case ws.CodeTryLater:
		return refusal.Budget
	}
	return refusal.Frames
}

// What has become of the last frame, which the library has composed on the
// reader's goroutine.
const (
	staying  int32 = iota
	asked          // the writer is to take it
	taken          // the writer is writing it
	askedOut       // and is to say when it is done
	out            // it is written
)

// composed notes, on the writer's goroutine, that the writer has its next turn,
// so that what it took before is written.
func (c *conn) composed() {
	if c.leaving.CompareAndSwap(asked, taken) || c.leaving.CompareAndSwap(askedOut, out) {
		_ = c.socket.SetReadDeadline(longAgo) // wakes the reader
	}
}

// part waits until the last frame is written, and tells whether it is. What the
// client still sends is read and dropped: nobody would understand it, and where
// it stays unread the system may drop the last frame instead.
func (c *conn) part() bool {
	end := time.Now().Add(partTime)
	c.leaving.Store(asked)
	c.turn()
	var scrap [512]byte
	for left := partTime; left > 0; left = time.Until(end) {
		if !c.arm(left) {
			return true
		}
		if c.leaving.CompareAndSwap(taken, askedOut) {
			c.turn()
			continue
		}
		if c.leaving.Load() == out {
			return true
		}
		switch _, err := c.socket.Conn.Read(scrap[:]); {
		case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, io.EOF):
			time.Sleep(time.Millisecond) // it may still read
		default:
			return false
		}
	}
	return false
}

// linger waits for the client to close its end, which it does when it has read
// the goodbye. (RFC 6455, section 7.1.1)
func (c *conn) linger() {
	half, ok := c.socket.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.socket.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c.socket.Conn, int64(2*c.frontend.options.MaxMessage)))
}
