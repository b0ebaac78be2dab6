package share

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// levels are those of RFC 5424 (2025-11-25, server/utilities/logging).
var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// setLevel notes the log level that a client wants. A level holds for a whole
// link, so a shared one is not told: the client's calls have links to
// themselves from here on, which are. A caller's own link is told as well.
func (m *member) setLevel(c *link.Call, msg *wire.Buffer) (done bool, refused *refusal.Refusal) {
	t := m.home.Load()
	if t != nil && !t.logging {
		return false, nil // the server says so itself
	}
	var request struct {
		Params struct {
			Level string `json:"level"`
		} `json:"params"`
	}
	err := json.Unmarshal(msg.B, &request)
	if err != nil || !slices.Contains(levels, request.Params.Level) {
		msg.Release()
		return true, refusal.Level.With("the log level must be one of %s", strings.Join(levels, ", "))
	}
	m.group.mu.Lock()
	m.level = request.Params.Level
	m.group.mu.Unlock()
	if m.group.options.Principal {
		return false, nil
	}
	msg.Release()
	done = true
	answerEmpty(c)
	return done, nil
}

// hasLevel tells whether the client has asked for log messages.
func (m *member) hasLevel() bool {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	return m.level != ""
}

// setLevel tells a link that is leased what the client wants to hear. Where it
// has to be told, setLevel is true, and then is called once the server has
// answered, or has had time to: a server may serve two requests at the same time,
// and would serve a call that follows at once without the level.
func (t *tenant) setLevel(m *member, then func()) bool {
	g := t.group
	g.mu.Lock()
	level := m.level
	due := t.slot == nil && t.logging && level != "" && level != t.level
	if due {
		t.level, t.told, t.toldAt = level, m.owner, time.Now()
	}
	g.mu.Unlock()
	if !due {
		return false
	}
	then = sync.OnceFunc(then)
	late := time.AfterFunc(attendance, then)
	msg, env := link.NewRequest(mcp.MethodSetLevel, map[string]string{"level": level})
	if t.link.Call(&link.Call{ID: link.GateID, Leg: answered{then: func() { late.Stop(); then() }}}, msg, env) != nil {
		late.Stop()
		then() // the link's end is near: the call is told
	}
	return true
}

// answered is the leg of a request of the gate's own that is waited for,
// whatever the answer.
type answered struct {
	link.Mute
	then func()
}

// Answer goes on.
func (a answered) Answer(msg *wire.Buffer, _ metrics.Outcome) {
	msg.Release()
	a.then()
}

// answerEmpty answers a call that the gate has served itself.
func answerEmpty(c *link.Call) {
	msg := wire.Acquire(64 + len(c.ID))
	msg.B = append(append(append(msg.B, `{"jsonrpc":"2.0","id":`...), c.ID...), `,"result":{}}`...)
	c.Leg.Answer(msg, metrics.OK)
}
