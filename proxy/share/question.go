package share

import (
	"slices"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// mostWaiting bounds the questions that wait on one link.
const mostWaiting = 16

// A question is a server's request that waits for a call whose client can be
// asked. The group's lock guards it.
type question struct {
	msg   *wire.Buffer
	env   wire.Envelope
	roots bool
	of    owner // who has used the link before, and whom alone it may concern; zero: it concerns whoever comes
	timer *time.Timer
}

// concerns tells whether the question may be put to a session. What is asked
// behind the answer to a call may hold what only that call's client is to see;
// to ask for roots says nothing.
func (q *question) concerns(m *member) bool { return q.roots || q.of == owner{} || q.of == m.owner }

// question gives a server's request to the client whose call has the link to
// itself. Without such a call it waits for the link's next one, for a while.
// Whom it cannot reach it does not reach: it is answered by the gate.
func (t *tenant) question(msg *wire.Buffer, env *wire.Envelope) {
	if !t.kind.allows(env.Method) {
		capability := asked[string(env.Method)]
		t.refuse(refusal.Incapable, msg, env)
		t.unable(capability)
		return
	}
	roots := string(env.Method) == mcp.MethodRoots
	t.group.mu.Lock()
	m, c := t.client, t.call
	switch {
	case !t.lives():
		t.group.mu.Unlock()
		msg.Release()
		return
	case m == nil && len(t.waiting) >= mostWaiting:
		t.group.mu.Unlock()
		t.refuse(refusal.Questions, msg, env)
		return
	case m == nil:
		q := &question{msg: msg, roots: roots}
		_ = q.env.Scan(msg.B) // as it was; the texts of env are the caller's
		if t.only != nil {
			q.of = t.only.owner
		}
		q.timer = time.AfterFunc(attendance, func() { t.unattended(q) })
		t.waiting = append(t.waiting, q)
	case roots:
		t.told, t.toldAt = m.owner, time.Now()
	}
	t.group.mu.Unlock()
	if m != nil {
		m.client.Unasked(t, c, msg, env)
	}
}

// unable tells the client whose call is the only one in flight on the link that
// its server needs what the client has not declared.
func (t *tenant) unable(capability string) {
	if t.link.InFlight() != 1 {
		return
	}
	for _, m := range t.users() {
		if u, ok := m.client.(Unable); ok {
			u.Unable(t.link, capability)
		}
	}
}

// refuse answers a question.
func (t *tenant) refuse(why *refusal.Refusal, msg *wire.Buffer, env *wire.Envelope) {
	t.group.options.Dropped("question")
	Answer(t.link, why, env.ID.Of(msg.B))
	msg.Release()
}

// Answer answers a server's request with a refusal. id is the server's own. A
// server that does not read cannot be told.
func Answer(l Asker, why *refusal.Refusal, id []byte) {
	answer := wire.Acquire(256 + len(id))
	answer.B = why.AppendJSON(answer.B, id)
	_ = l.Send(answer)
}

// unattended answers a question for which no call came in time.
func (t *tenant) unattended(q *question) {
	t.group.mu.Lock()
	i := slices.Index(t.waiting, q)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.group.mu.Unlock()
	if i >= 0 {
		t.refuse(refusal.Unattended, q.msg, &q.env)
	}
}

// attend gives the questions that wait to a call that others share the link
// with. Modern clients cannot be asked by such a call.
func (t *tenant) attend(m *member, c *link.Call) {
	if _, modern := m.client.(Unable); modern {
		return
	}
	for _, q := range t.unwait(m) {
		m.client.Unasked(t, c, q.msg, &q.env)
	}
}

// unwait takes the questions that wait, for a call of m's. Those that are
// another client's are answered by the gate: who could be asked has not come.
func (t *tenant) unwait(m *member) []*question {
	t.group.mu.Lock()
	waiting := t.waiting
	t.waiting = nil
	var ours, others []*question
	for _, q := range waiting {
		q.timer.Stop() // one that has run already finds the question gone
		if !q.concerns(m) {
			others = append(others, q)
			continue
		}
		if q.roots {
			t.told, t.toldAt = m.owner, time.Now()
		}
		ours = append(ours, q)
	}
	t.group.mu.Unlock()
	for _, q := range others {
		t.refuse(refusal.Unattended, q.msg, &q.env)
	}
	return ours
}

// reopen takes a question back that its client has not answered before the call
// was over. One for roots, which many servers ask once and as soon as they are
// initialized, waits for the next call; but only once.
func (t *tenant) reopen(q Open) {
	t.group.mu.Lock()
	again := q.Roots && !wire.SameID(q.ID, t.reopened)
	if again {
		t.reopened = q.ID
	}
	t.group.mu.Unlock()
	if !again {
		Answer(t.link, refusal.Unattended, q.ID)
		return
	}
	msg, env := wire.Acquire(64+len(q.ID)), new(wire.Envelope)
	msg.B = append(append(append(msg.B, `{"jsonrpc":"2.0","id":`...), q.ID...), `,"method":"roots/list"}`...)
	if err := env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error())
	}
	t.question(msg, env)
}

// withdrawn handles a server that no longer waits for the answer to a
// question.
func (t *tenant) withdrawn(msg *wire.Buffer, env *wire.Envelope) {
	id := env.RequestID.Of(msg.B)
	t.group.mu.Lock()
	i := slices.IndexFunc(t.waiting, func(q *question) bool { return wire.SameID(q.env.ID.Of(q.msg.B), id) })
	if i >= 0 {
		t.waiting[i].drop()
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.group.mu.Unlock()
	if i < 0 {
		t.give(t.users(), msg, env)
		return
	}
	msg.Release()
}

// forget drops the questions of a link that ends. The group's lock is held.
func (t *tenant) forget() {
	for _, q := range t.waiting {
		q.drop()
	}
	t.waiting = nil
}

func (q *question) drop() {
	q.timer.Stop()
	q.msg.Release()
}
