package stream

import "time"

// Hold attaches c to the stream and owns it until the stream is over, another
// connection takes the stream over, or the client leaves. Then it calls ended,
// on any goroutine: the connection can serve another request, or is closed. from
// is the number of the first event that the client wants, 0 for whatever it has
// not been sent.
func (s *Stream) Hold(c *Conn, from uint64, ended func(reusable bool)) {
	c.ended = ended
	s.attach(c, from)
	if c.frames != nil {
		c.going = c.framesCame
		c.watchFrames(false)
		return
	}
	c.going = c.woken
	c.await()
}

// part ends c's part in its stream, after err.
func (c *Conn) part(err error) {
	reusable, left := c.stream.let(c, err)
	if left != nil {
		left()
	}
	c.ended(reusable)
}

// let lets go of c, after err. It tells whether the connection can serve another
// request, and returns what the client's leaving calls for.
func (s *Stream) let(c *Conn, err error) (reusable bool, left func()) {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.detach(c)
	if err == nil && !c.broken && c.keep && c.socket.SetDeadline(time.Time{}) == nil {
		return true, s.abandoned()
	}
	c.sever() // a writer that is still at work, or was just started, stops here
	return false, s.abandoned()
}

func (s *Stream) attach(c *Conn, from uint64) {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if old := s.conn; old != nil {
		if c.after = old; old.after != nil && old.after.writing {
			c.after = old.after // the old one has written nothing yet
		}
		old.supersede()
	}
	c.stream, s.conn, s.awaited = s, c, false
	c.cursor = max(s.written, s.first)
	if from > 0 {
		c.cursor, c.resumed = from, true
	}
	if c.cursor < s.first {
		c.sever() // what it wants has gone since Find
	}
	if s.mode == events {
		c.start()
	}
	c.kick()
}

// supersede ends a connection in good order, because another has taken the
// stream over. The other waits for a write that is under way, since nobody
// knows before its end which events it brought; it does not wait long.
func (c *Conn) supersede() {
	c.superseded = true
	if !c.writing {
		c.kick()
		return
	}
	box := c.stream.box
	time.AfterFunc(takeoverWait, func() {
		box.mu.Lock()
		defer box.mu.Unlock()
		if !c.finished {
			c.sever()
		}
	})
}

// takeoverWait is how long a connection that was taken over may go on with the
// write that is under way.
const takeoverWait = time.Second

// start notes that c carries an event stream from here on.
func (c *Conn) start() {
	if !c.started {
		c.started = true
		c.stream.box.holder.Hold()
		c.stream.box.options.Opened()
	}
}

// detach ends c's part in the stream; messages wait for the next connection.
func (s *Stream) detach(c *Conn) {
	if c.started {
		s.box.holder.Release()
		s.box.options.Closed()
	}
	if s.conn != c {
		return
	}
	s.conn = nil
	if !c.started && !c.finished {
		s.lose()
	}
	s.keep(s.next())
	if s.box.closed {
		s.wind()
	}
	s.box.retire(s)
}

// lose gives up a stream whose client left before it learnt an event id.
func (s *Stream) lose() {
	if s.answer != nil {
		s.box.options.Dropped("undelivered")
		s.answer.Release()
		s.answer = nil
	}
	s.mode, s.awaited = lost, false
	s.forget(s.next())
	delete(s.box.streams, s.number)
}

// sever ends a connection from the gate's side; its owner notices and detaches.
func (c *Conn) sever() {
	c.broken = true
	c.Close()
	c.unpark()
}

// finish notes that all is written and wakes the owner.
func (c *Conn) finish() {
	c.finished = true
	c.socket.Nudge()
	c.unpark()
}

// arm sets the deadline of the owner's next read, where it has one pending;
// false: it need not read.
func (c *Conn) arm(d time.Duration) bool {
	b := c.stream.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.finished {
		return false
	}
	_ = c.socket.SetReadDeadline(time.Now().Add(d)) // fails where the read will
	return true
}

// tick is called when nothing was read for a while. A stream that is still
// undecided becomes an event stream now, before intermediaries give up; on
// others a comment shows that the connection lives.
func (c *Conn) tick() {
	b := c.stream.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.stream.conn != c || c.finished || c.stream.answer != nil { // which a writer is about to take
		return
	}
	c.stream.toEvents()
	c.comment = true
	c.kick()
}
