package link

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// Message sorts what the server sent: an answer to its call, progress to its
// call, all else to the owner.
func (l *Link) Message(msg *wire.Buffer, env *wire.Envelope) {
	if !l.heard.Load() {
		l.hear(msg, env)
	}
	switch {
	case env.Kind == wire.Result || env.Kind == wire.Error:
		l.answer(msg, env)
	case env.Kind == wire.Notification && string(env.Method) == mcp.MethodProgress:
		l.progress(msg, env)
	case env.Kind == wire.Request && string(env.Method) == mcp.MethodPing:
		l.ping(msg, env)
	case env.Kind == wire.Notification && l.listened(msg, env):
	default:
		l.unasked(msg, env)
	}
}

// hear notes that the server has spoken, unless it only turns the link away.
func (l *Link) hear(msg *wire.Buffer, env *wire.Envelope) {
	if l.turned = turnedAway(msg, env); l.turned == "" {
		l.heard.Store(true)
	}
}

// number reads a name that the link gave to a call; 0 is none.
func number(token []byte) uint64 {
	n, err := strconv.ParseUint(string(token), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// answer gives an answer to its call, under the client's id.
func (l *Link) answer(msg *wire.Buffer, env *wire.Envelope) {
	c := l.take(number(env.ID.Of(msg.B)))
	if c == nil {
		l.options.Dropped("late_answer") // unknown, given up, or the second one
		msg.Release()
		return
	}
	how := metrics.OK
	if env.Kind == wire.Error {
		how = metrics.Failed
	}
	if c.Listen {
		endListen(msg, env, c.ID)
	} else {
		msg.Splice(env.ID, c.ID)
	}
	c.deliver()
	c.Leg.Answer(msg, how)
}

// deliver sees to it that what was said before reaches the client before.
func (c *Call) deliver() {
	if c.Ahead != nil {
		c.Ahead.Deliver()
	}
}

// progress gives a progress notification to its call, under the client's
// token, and restarts the call's time.
func (l *Link) progress(msg *wire.Buffer, env *wire.Envelope) {
	l.mu.Lock()
	c := l.calls[number(env.ProgressToken.Of(msg.B))]
	if c != nil && c.Progress != nil && !c.cancelled && !c.Listen {
		if end := time.Now().Add(l.options.CallTimeout); end.After(c.deadline) { // Extend may have set a later one
			c.deadline = end
		}
	}
	l.mu.Unlock()
	if c == nil || c.Progress == nil {
		l.options.Dropped("late_progress")
		msg.Release()
		return
	}
	msg.Splice(env.ProgressToken, c.Progress)
	c.deliver()
	c.Leg.Send(msg)
}

// unasked gives all else to the owner.
func (l *Link) unasked(msg *wire.Buffer, env *wire.Envelope) {
	l.mu.Lock()
	owner := l.owner
	l.mu.Unlock()
	if owner == nil {
		l.options.Dropped("unowned") // said before initialize: nobody is there to hear it
		msg.Release()
		return
	}
	owner.Unasked(l, msg, env)
}

// TooLong answers the one call whose answer was skipped: it was over the limit,
// or the gate had no room for it.
func (l *Link) TooLong(id []byte, size int64) {
	c := l.take(number(bytes.TrimSpace(id)))
	if c == nil {
		return
	}
	if limit := l.options.MaxMessage; size > int64(limit) {
		c.refuse(refusal.ServerSize.With("the tool server's answer has %d bytes or more, and the limit is %d (--max-message); it was dropped", size, limit), metrics.Lost)
		return
	}
	c.refuse(refusal.Budget.With("the gate had no room for the tool server's answer (--max-bytes-in-flight), and it was dropped; try again shortly"), metrics.Lost)
}

// Garbage answers the one call whose answer is no valid message.
func (l *Link) Garbage(id []byte) {
	if c := l.take(number(bytes.TrimSpace(id))); c != nil {
		c.refuse(refusal.ServerJSON, metrics.Lost)
	}
}

// Closed answers every call in flight and tells the owner.
func (l *Link) Closed(err error) {
	if err == nil { // End has shut it, and nobody is left to be told
		return
	}
	if l.turned != "" {
		err = &TurnedAwayError{l.turned, err}
	}
	l.died(err)
	if owner := l.shut(l.forClient(err)); owner != nil {
		owner.LinkClosed(l, err)
	}
}

// briefed is an error that has words for a client too.
type briefed interface {
	error
	Brief() string
}

// forClient is what clients are told of a connection's end: not the whole
// error, which is for the operator and may quote the server.
func (l *Link) forClient(err error) *refusal.Refusal {
	ended, advice := refusal.Ended, "send initialize to open a new session"
	if l.shared.Load() {
		ended, advice = refusal.EndedShared, "call again"
	}
	if b, ok := errors.AsType[briefed](err); ok {
		return ended.With("%s; %s", b.Brief(), advice)
	}
	return ended
}

// watch sets the timer that looks for calls whose time is up, where it is not
// set. l.mu is held. One timer a link and not one a call: calls are many, and
// nearly all end in time.
func (l *Link) watch() {
	if l.timing {
		return
	}
	l.timing = true
	every := min(time.Second, max(10*time.Millisecond, l.options.CallTimeout/8))
	if l.timer == nil {
		l.timer = time.AfterFunc(every, l.expire)
		return
	}
	l.timer.Reset(every)
}

// expire gives up the calls whose time is up.
func (l *Link) expire() {
	var late []*Call
	l.mu.Lock()
	l.timing = false
	now := time.Now()
	more := false
	for n, c := range l.calls {
		switch {
		case c.deadline.IsZero():
		case now.After(c.deadline):
			late = append(late, c)
			delete(l.calls, n)
		default:
			more = true
		}
	}
	if more {
		l.watch()
	}
	l.mu.Unlock()
	for _, c := range late {
		l.giveUp(c)
	}
}

// giveUp ends a call that the server has not answered. The server is told
// (2025-11-25, basic/lifecycle, "Timeouts"), unless it has been already.
func (l *Link) giveUp(c *Call) {
	switch {
	case c.cancelled:
		c.refuse(refusal.Cancelled, metrics.Cancelled)
		return
	case !c.Opens:
		l.cancelLate(c, "no answer in time")
	}
	c.refuse(refusal.CallTimeout, metrics.Timeout)
}

// breakOff ends a call's response, where that is how the connection cancels.
func (l *Link) breakOff(number uint64) bool {
	return l.canceller != nil && l.canceller.Cancel(strconv.AppendUint(nil, number, 10))
}

// cancelLate tells the server that nobody waits for a call any more. One that
// does not read cannot be told.
func (l *Link) cancelLate(c *Call, reason string) {
	if l.breakOff(c.number) {
		return
	}
	note := wire.Acquire(256)
	note.B = append(note.B, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`...)
	note.B = strconv.AppendUint(note.B, c.number, 10)
	note.B = append(note.B, `,"reason":"`...)
	note.B = append(append(note.B, reason...), `"}}`...)
	_ = l.conn.Send(note)
}

// statusGone is how an HTTP server says that it does not know a session.
const statusGone = 404

// Reply tells a call in which HTTP response its answer comes, and ends the call
// where that response is all there is.
func (l *Link) Reply(id []byte, r *backend.Reply) {
	n := number(id)
	if r.Status == backend.StatusOK {
		l.mu.Lock()
		c := l.calls[n]
		l.mu.Unlock()
		if c != nil {
			c.Leg.Reply(r)
		}
		return
	}
	c := l.take(n)
	switch {
	case c == nil:
	case r.Status == statusGone && l.shared.Load() && !c.Modern: // the link's session is, and not the client's
		c.Refuse(refusal.EndedShared)
	default:
		c.Leg.Reply(r)
		c.refuse(refusal.Server(r.Status, r.Reason), metrics.Lost)
	}
}
