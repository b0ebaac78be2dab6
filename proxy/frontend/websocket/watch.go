package websocket

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"sidegate/proxy/refusal"
	"sidegate/proxy/stream"
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

// moment is how long a client that has just said something is waited for with a
// goroutine, since it may well go on.
const moment = 250 * time.Millisecond

// Watch serves what the client says.
func (c *conn) Watch(w stream.Watcher, late bool) (silence time.Duration, over bool) {
	c.watcher = w
	defer c.rest()
	err := error(nil)
	if late {
		err = c.overdue()
	}
	for quiet := false; err == nil; {
		if quiet, err = c.between(); quiet {
			return c.patience(time.Time{}), false
		}
		if err == nil {
			err = c.serve()
		}
	}
	c.leave(err)
	return 0, true
}

// serve serves one message.
func (c *conn) serve() error {
	msg, err := c.ws.Next()
	if err != nil {
		return err
	}
	msg.Header = c.forwarded
	c.take(msg)
	return nil
}

// between reads what stands before the next message, and tells whether nothing
// has come for a moment.
func (c *conn) between() (quiet bool, err error) {
	for {
		if err := c.ws.Between(len(c.ahead)); err != nil || c.ws.Buffered()+len(c.ahead) > 0 {
			return false, err
		}
		if c.ws.Pending() {
			c.watcher.Turn()
		}
		switch err := c.fill(moment); {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return true, nil
		default:
			return false, err
		}
	}
}

// overdue is called where a client has been silent for as long as it may. It is
// asked for a sign of life, once.
func (c *conn) overdue() error {
	switch {
	case !c.known(): // patience says what that means
		return nil
	case c.silent:
		return errDead
	}
	c.silent = true
	c.pinging.Store(true)
	c.watcher.Turn()
	return nil
}

// source is what the library reads from: the socket, with the connection's
// clock. A client that is silent is asked for a sign of life; the library hears
// of no time-out but the last.
type source conn

func (s *source) Read(p []byte) (int, error) {
	c := (*conn)(s)
	for len(c.ahead) == 0 {
		if c.ws.Pending() {
			c.watcher.Turn()
		}
		due := c.ws.Due()
		patience := c.patience(due)
		if patience <= 0 {
			return 0, ws.ErrLate
		}
		armed := time.Now()
		n, err := c.read(p, patience)
		switch {
		case n > 0 || err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case err == nil: // it is read ahead
		case !due.IsZero() || time.Since(armed) < patience:
			// late, which patience says; or woken by the writer
		default:
			if err := c.overdue(); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}

// read reads into p what is large, and ahead what is small.
func (c *conn) read(p []byte, d time.Duration) (int, error) {
	if len(p) < chunkSize {
		return 0, c.fill(d)
	}
	if !c.watcher.Arm(d) {
		return 0, errEnded
	}
	n, err := c.socket.Read(p)
	c.silent = c.silent && n == 0
	return n, err
}

// chunkSize is how much is read ahead: as many small messages as a client has
// sent at once are read at once.
const chunkSize = 4 << 10

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// fill reads ahead, when all that was is used.
func (c *conn) fill(d time.Duration) error {
	if !c.watcher.Arm(d) {
		return errEnded
	}
	if c.chunk == nil {
		c.chunk = chunks.Get().(*[chunkSize]byte)
	}
	n, err := c.socket.Read(c.chunk[:])
	if c.ahead = c.chunk[:n]; n > 0 {
		c.silent = false
		return nil
	}
	return err
}

// rest gives back what is not needed while nothing comes.
func (c *conn) rest() {
	if c.chunk != nil {
		chunks.Put(c.chunk)
		c.chunk, c.ahead = nil, nil
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
func (c *conn) leave(err error) {
	var said *ws.Closed
	var fault *ws.Fault
	switch {
	case errors.Is(err, errEnded):
		c.linger()
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
	c.watcher.Turn()
	var scrap [512]byte
	for left := partTime; left > 0; left = time.Until(end) {
		if !c.watcher.Arm(left) {
			return true
		}
		if c.leaving.CompareAndSwap(taken, askedOut) {
			c.watcher.Turn()
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
