package session

import (
	"bytes"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/stream"
	"sidegate/proxy/wire"
)

// A call is a call of this session, and its leg.
type call struct {
	link.Call
	session *Session
	stream  *stream.Stream
	reply   *stream.Reply // the form of an answer that is no result, nil for the usual one
	method  int           // for the metrics
	start   time.Time
	id      [24]byte // memory for the id, which is nearly always short
}

func newCall(s *Session, st *stream.Stream, msg *wire.Buffer, env *wire.Envelope) *call {
	c := &call{session: s, stream: st, method: metrics.Method(env.Method), start: time.Now()}
	c.ID = append(c.id[:0], env.ID.Of(msg.B)...)
	c.Progress = bytes.Clone(env.ProgressToken.Of(msg.B))
	c.Leg = c
	return c
}

// Send hands over what belongs to the call.
func (c *call) Send(msg *wire.Buffer) {
	if !c.stream.Send(msg) {
		c.session.manager.options.Dropped("undelivered")
		msg.Release()
	}
}

// Reply notes in which HTTP response the answer comes.
func (c *call) Reply(r *backend.Reply) {
	if r.Status == backend.StatusOK {
		c.stream.SetHead(string(r.Header))
		return
	}
	c.reply = &stream.Reply{Status: r.Status, Type: r.Type, Head: string(r.Header), Body: bytes.Clone(r.Body)}
}

// Answer hands over the answer. The call is no longer in flight when its
// client can see the answer: it may use the id again at once.
func (c *call) Answer(msg *wire.Buffer, how metrics.Outcome) {
	s := c.session
	if c.Opens && how == metrics.OK {
		s.negotiated(msg.B)
	}
	s.manager.options.Ended(s.door, c.method, how, time.Since(c.start))
	s.remove(c)
	if c.reply != nil {
		c.stream.Reply(c.reply, msg)
	} else {
		c.stream.Answer(msg)
	}
	if c.Opens && how != metrics.OK {
		s.manager.End(s, refusal.NotOpened) // an initialize that failed opens nothing
	}
	s.Done()
}

// negotiated reads the revision that the server has chosen.
func (s *Session) negotiated(answer []byte) {
	var env wire.Envelope
	if env.Scan(answer) == nil && len(env.Revision) > 0 {
		s.setRevision(string(env.Revision))
	}
}
