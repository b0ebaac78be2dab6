package share

import (
	"slices"
	"sync"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/wire"
)

const (
	// few is how many clients are told something by the link's own reader. With
	// more the answers that come behind it would have to wait.
	few = 64
	// leastRest is what who tells the others rests after each few of them, and
	// restFactor times as long as they took where that is longer: on a busy machine
	// calls go first. mostRest bounds it: they may have taken long for another reason.
	leastRest  = time.Millisecond
	restFactor = 4
	mostRest   = 50 * time.Millisecond
)

// give gives each client a copy of msg. It takes msg over. Each hears what the
// link says in the order in which it was said.
func (t *tenant) give(to []*member, msg *wire.Buffer, env *wire.Envelope) {
	if len(to) == 0 {
		t.group.options.Dropped("unshared")
	}
	if len(to) > few && t.tell(to, msg) {
		return
	}
	defer msg.Release()
	for _, m := range to {
		t.first(m)
		t.giveOne(m, msg, env)
	}
}

// tell gives many clients a copy each, on a goroutine of its own; false: the
// group is closed. What many are told at present they are told at once then: a
// server that says much does not wait.
func (t *tenant) tell(to []*member, msg *wire.Buffer) bool {
	l := &telling{tenant: t, to: to, msg: msg, hurry: make(chan struct{})}
	if err := l.env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error()) // it has been scanned before
	}
	t.beginning.Lock()
	defer t.beginning.Unlock()
	if before := t.telling.Load(); before != nil {
		before.finish()
	}
	t.telling.Store(l)
	if t.group.begin(l.run) {
		return true
	}
	t.telling.Store(nil)
	return false
}

// first tells m what many are being told, if it has not heard it yet. It is called
// before m is handed what came on the link later.
func (t *tenant) first(m *member) {
	if l := t.telling.Load(); l != nil {
		l.first(m)
	}
}

// Deliver implements link.Ahead, of a link that is shared.
func (m *member) Deliver() {
	if t := m.home.Load(); t != nil {
		t.first(m)
	}
}

// Deliver implements link.Ahead, of a link that a call has to itself.
func (l *lease) Deliver() { l.tenant.first(l.member) }

// A telling is what many are being told.
type telling struct {
	tenant *tenant
	msg    *wire.Buffer
	env    wire.Envelope
	hurry  chan struct{} // closed when there is nobody left to tell

	mu sync.Mutex // held while somebody is told: nobody is told twice, or something else meanwhile
	to []*member  // who has not been told
}

// run tells a few at a time, and leaves time for other work.
func (l *telling) run() {
	g := l.tenant.group
	for began := time.Now(); l.some(few); began = time.Now() {
		select {
		case <-time.After(min(max(restFactor*time.Since(began), leastRest), mostRest)):
		case <-l.hurry:
		case <-g.open.Done(): // the rest is told at once
		}
	}
	l.tenant.telling.CompareAndSwap(l, nil)
	l.msg.Release()
}

// some tells n of those that are left, and whether there are more.
func (l *telling) some(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, len(l.to))
	for _, m := range l.to[:n] {
		l.tenant.giveOne(m, l.msg, &l.env)
	}
	l.to = l.to[n:]
	return len(l.to) > 0
}

// finish tells all that are left. It is called once.
func (l *telling) finish() {
	for l.some(few) {
		continue
	}
	close(l.hurry)
}

// first tells m, if it is left.
func (l *telling) first(m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.to, m); i >= 0 {
		last := len(l.to) - 1
		l.to[i] = l.to[last]
		l.to = l.to[:last]
		l.tenant.giveOne(m, l.msg, &l.env)
	}
}

func (t *tenant) giveOne(m *member, msg *wire.Buffer, env *wire.Envelope) {
	own := wire.Acquire(len(msg.B))
	if !own.Charge(t.group.options.Budget, int64(len(msg.B))) {
		own.Release()
		t.group.options.Dropped("undelivered")
		return
	}
	own.B = append(own.B, msg.B...)
	m.client.Unasked(t, t.callOf(m), own, env)
}

// callOf is the call for which m has the link to itself, nil without one.
func (t *tenant) callOf(m *member) *link.Call {
	t.group.mu.Lock()
	defer t.group.mu.Unlock()
	if t.client == m {
		return t.call
	}
	return nil
}
