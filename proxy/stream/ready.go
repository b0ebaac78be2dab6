package stream

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidegate/proxy/poll"
)

// firstRead is how much is read at once of what comes on a connection from
// which hardly anything is expected.
const firstRead = 512

// Ready calls then once, on a goroutine of its own: with nil when bytes have come,
// which are unread then; with os.ErrDeadlineExceeded after d, or when Nudge ends
// the wait; in every other case with why nothing more is going to come. Until
// then the connection has no reader, and where it is watched no goroutine.
func (s *Socket) Ready(d time.Duration, then func(error)) {
	if s.quiet == nil || !s.quiet.await(d, then) {
		s.block(d, then)
	}
}

// block is Ready with a goroutine.
func (s *Socket) block(d time.Duration, then func(error)) {
	err := s.SetReadDeadline(time.Now().Add(d))
	go func() {
		if err == nil {
			err = s.readMore()
		}
		then(err)
	}()
}

// Unread tells whether there are bytes that were read too far.
func (s *Socket) Unread() bool { return len(s.unread) > 0 }

// readMore waits for bytes, and adds them to what is unread.
func (s *Socket) readMore() error {
	var chunk [firstRead]byte
	n, err := s.Conn.Read(chunk[:])
	s.unread = append(s.unread, chunk[:n]...)
	if n > 0 {
		return nil
	}
	return err
}

// Nudge ends a read that is pending, or a wait. The next read needs a new
// deadline.
func (s *Socket) Nudge() {
	_ = s.SetReadDeadline(longAgo) // a closed socket wakes its owner as well
	s.quiet.fire(os.ErrDeadlineExceeded)
}

// watchWith has the socket wait by p, nil for nothing, from here on. Only the
// present reader may call it.
func (s *Socket) watchWith(p *poll.Poller) {
	if p == nil || s.quiet != nil {
		return
	}
	c, ok := s.Conn.(quick)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return // it is closed, as whoever reads from it finds
	}
	q := &quiet{socket: s, poller: p, conn: c, raw: raw}
	q.watched.Ready = q.readable
	s.quiet = q
}

// quiet is what a socket needs to wait without a goroutine. The methods of a nil
// quiet do nothing.
type quiet struct {
	socket  *Socket
	poller  *poll.Poller
	conn    quick
	raw     syscall.RawConn // of conn
	watched poll.Watched

	mu     sync.Mutex
	then   func(error) // nil: nobody waits
	due    time.Time   // when the wait is over
	timer  *time.Timer // made with the first wait
	closed bool
}

// await is Ready; false: the system has no room to watch another connection.
func (q *quiet) await(d time.Duration, then func(error)) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_ = q.socket.SetReadDeadline(time.Time{}) // fails where the read will
	q.then, q.due = then, time.Now().Add(d)
	if q.timer == nil {
		q.timer = time.AfterFunc(d, q.late)
	} else {
		q.timer.Reset(d)
	}
	if q.closed {
		go q.give()(net.ErrClosed)
	} else if q.poller.Watch(q.raw, &q.watched) != nil {
		q.give()
		return false
	}
	return true
}

// fire ends the wait, if there is one.
func (q *quiet) fire(err error) {
	if q == nil {
		return
	}
	if then := q.take(); then != nil {
		go then(err) // whoever fires may hold a lock
	}
}

// take takes the wait away: of all who end it one gets it.
func (q *quiet) take() func(error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.give()
}

// give is take with q.mu held.
func (q *quiet) give() func(error) {
	then := q.then
	if q.then = nil; then != nil {
		q.timer.Stop()
	}
	return then
}

// late is the timer. One that could not be stopped in time may come during the
// next wait.
func (q *quiet) late() {
	q.mu.Lock()
	early := time.Until(q.due) > 0
	q.mu.Unlock()
	if !early {
		q.fire(os.ErrDeadlineExceeded)
	}
}

// readable is called where there is something to read; it may be gone.
func (q *quiet) readable() {
	if then, err := q.came(); then != nil {
		then(err)
	}
}

// came reads what has come, and takes the wait away; where nothing has, the wait
// goes on. It does so under one lock: who ends the wait meanwhile has to find
// it.
func (q *quiet) came() (then func(error), err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.then == nil {
		return nil, nil
	}
	n, err := q.read()
	if n == 0 && errors.Is(err, unix.EAGAIN) {
		if err = q.poller.Watch(q.raw, &q.watched); err == nil {
			return nil, nil
		}
	}
	return q.give(), err
}

// read reads what is there, without waiting for it.
func (q *quiet) read() (n int, err error) {
	chunk := make([]byte, firstRead)
	n, err = q.conn.ReadNow(chunk)
	q.socket.unread = append(q.socket.unread, chunk[:n]...)
	return n, err
}

// writeNow writes as much of b as the system takes at once, and returns how much
// that was. What is wrong shows when the rest is written.
func (s *Socket) writeNow(b []byte) (n int) {
	if s.quiet == nil {
		return 0
	}
	return s.quiet.conn.WriteTold(b)
}

// close ends the wait with the connection.
func (q *quiet) close() {
	if q == nil {
		return
	}
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poller.Forget(&q.watched)
	q.fire(net.ErrClosed)
}
