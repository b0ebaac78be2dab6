package share

import (
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
	// calls go first.
	leastRest  = time.Millisecond
	restFactor = 4
)

// give gives each client a copy of msg. It takes msg over.
func (t *tenant) give(to []*member, msg *wire.Buffer, env *wire.Envelope) {
	if len(to) == 0 {
		t.group.options.Dropped("unshared")
	}
	if len(to) > few {
		t.telling.Lock() // what came before goes first
		if t.group.begin(func() { defer t.telling.Unlock(); t.tell(to, msg) }) {
			return
		}
		t.telling.Unlock()
	}
	defer msg.Release()
	for _, m := range to {
		t.giveOne(m, msg, env)
	}
}

// tell gives each of many clients a copy, and leaves time for other work.
func (t *tenant) tell(to []*member, msg *wire.Buffer) {
	defer msg.Release()
	var env wire.Envelope
	if err := env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error()) // it has been scanned before
	}
	for len(to) > 0 {
		began := time.Now()
		n := min(few, len(to))
		for _, m := range to[:n] {
			t.giveOne(m, msg, &env)
		}
		to = to[n:]
		select {
		case <-time.After(max(restFactor*time.Since(began), leastRest)):
		case <-t.group.open.Done(): // the rest is told at once
		}
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
