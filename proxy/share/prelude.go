package share

import (
	"sync"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A prelude is what a call that has a link to itself waits for before it is
// sent. The group's lock guards it.
type prelude struct {
	left int // questions that are open
	then func()
}

// askFirst puts the questions that wait on a link to the client of a call that
// has it to itself, before the call is sent: its server might answer the call
// before the client the questions. Where there are some, askFirst is true, and
// then is called once they are answered, or have had time to be.
func (t *tenant) askFirst(m *member, c *link.Call, then func()) bool {
	waiting := t.unwait(m)
	if len(waiting) == 0 {
		return false
	}
	p := &prelude{left: len(waiting)}
	late := time.AfterFunc(attendance, func() { t.begin(p) })
	p.then = sync.OnceFunc(func() { late.Stop(); then() })
	t.group.mu.Lock()
	t.prelude = p
	t.group.mu.Unlock()
	for _, q := range waiting {
		m.client.Unasked(t, c, q.msg, &q.env)
	}
	return true
}

// begin lets the call go on that waits for a prelude.
func (t *tenant) begin(p *prelude) {
	t.group.mu.Lock()
	if t.prelude == p {
		t.prelude = nil
	}
	t.group.mu.Unlock()
	p.then()
}

// Send implements Asker: it takes what a client says of a question.
func (t *tenant) Send(msg *wire.Buffer) *refusal.Refusal {
	var env wire.Envelope
	answers := env.Scan(msg.B) == nil && (env.Kind == wire.Result || env.Kind == wire.Error)
	refused := t.link.Send(msg)
	if !answers {
		return refused
	}
	t.group.mu.Lock()
	p := t.prelude
	if p != nil {
		p.left--
	}
	due := p != nil && p.left == 0
	t.group.mu.Unlock()
	if due {
		t.begin(p)
	}
	return refused
}
