package mirror

import (
	"bytes"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

const (
	mostPages = 32               // of one list
	listTime  = 10 * time.Second // for all its pages
)

// A question is what a list is asked for with: as the caller of a call would
// ask.
type question struct {
	from   share.Caller
	header []byte // the Authorization line, if the call had one
	meta   []byte // the members of _meta
	token  []byte // the progress token, nil without one
}

// fresh is the progress token of a list that must come from the server itself
// and not from a cache in front of it: what wants progress is never answered
// from there. No progress is passed on.
var fresh = []byte("0")

// newQuestion makes a question of the call that waits for its answer.
func newQuestion(w *wait, env *wire.Envelope) *question {
	q := &question{from: w.from}
	if w.new {
		q.token = fresh
		q.meta = append([]byte(`"progressToken":`), fresh...)
	}
	for line := range bytes.Lines(w.msg.Header) {
		const name = "Authorization:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			q.header = append(q.header, line...)
		}
	}
	for _, key := range []string{mcp.MetaRevision, mcp.MetaCapabilities, mcp.MetaClientInfo} {
		if value := wire.Find(w.msg.B, env.Meta, key).Of(w.msg.B); value != nil {
			if len(q.meta) > 0 {
				q.meta = append(q.meta, ',')
			}
			q.meta = append(append(append(q.meta, '"'), key...), `":`...)
			q.meta = append(q.meta, value...)
		}
	}
	return q
}

// message is the request for the page at the raw cursor, nil for the first.
func (q *question) message(cursor []byte) (*wire.Buffer, *wire.Envelope) {
	msg, env := wire.Acquire(256+len(q.meta)+len(cursor)), new(wire.Envelope)
	msg.B = append(msg.B, `{"jsonrpc":"2.0","id":`...)
	msg.B = append(msg.B, link.GateID...)
	msg.B = append(msg.B, `,"method":"`+mcp.MethodListTools+`","params":{"_meta":{`...)
	msg.B = append(append(msg.B, q.meta...), '}')
	if cursor != nil {
		msg.B = append(append(msg.B, `,"cursor":`...), cursor...)
	}
	msg.B = append(msg.B, "}}"...)
	msg.Header = q.header
	if err := env.Scan(msg.B); err != nil { // both parts have passed a scan
		panic("BUG: " + err.Error())
	}
	return msg, env
}

// list asks for a list, page by page, and learns from it. false: it could not be
// had.
func (d *Desk) list(q *question) bool {
	late := time.NewTimer(listTime)
	defer late.Stop()
	var cursor []byte
	for range mostPages {
		age := d.index.Age()
		answer := d.ask(q, cursor, late.C)
		if answer == nil {
			return false
		}
		next, ok := d.learn(age, answer.B)
		cursor = bytes.Clone(next)
		answer.Release()
		if !ok || cursor == nil {
			return ok
		}
	}
	return true // of so many tools some stay unknown
}

// learn reads an answer to tools/list.
func (d *Desk) learn(age uint64, msg []byte) (cursor []byte, ok bool) {
	env := new(wire.Envelope)
	if env.Scan(msg) != nil || env.Kind != wire.Result {
		return nil, false
	}
	return d.index.Learn(age, msg, env)
}

// ask asks for one page and waits for the answer. nil: there is none.
func (d *Desk) ask(q *question, cursor []byte, late <-chan time.Time) *wire.Buffer {
	answered := make(answer, 1)
	c := &link.Call{ID: link.GateID, Progress: q.token, Leg: answered}
	msg, env := q.message(cursor)
	if d.pass(c, q.from, msg, env, nil) != nil {
		return nil
	}
	select {
	case msg := <-answered:
		return msg
	case <-late:
	case <-d.done:
	}
	d.inner.Leave(c)
	(<-answered).Release() // a desk answers in every case
	return nil
}

// answer is the leg of a question.
type answer chan *wire.Buffer

// Send implements link.Leg.
func (a answer) Send(msg *wire.Buffer) { msg.Release() }

// Answer implements link.Leg.
func (a answer) Answer(msg *wire.Buffer, _ metrics.Outcome) { a <- msg }

// Reply implements link.Leg.
func (a answer) Reply(*backend.Reply) {}
