package share

import (
	"encoding/json"
	"slices"
	"strings"

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

// setLevel tells a link that is leased what the client wants to hear.
func (t *tenant) setLevel(m *member) {
	g := t.group
	g.mu.Lock()
	level := m.level
	due := t.slot == nil && t.logging && level != "" && level != t.level
	if due {
		t.level, t.told = level, m.owner
	}
	g.mu.Unlock()
	if due {
		t.ask(mcp.MethodSetLevel, "level", level)
	}
}

// answerEmpty answers a call that the gate has served itself.
func answerEmpty(c *link.Call) {
	msg := wire.Acquire(64 + len(c.ID))
	msg.B = append(append(append(msg.B, `{"jsonrpc":"2.0","id":`...), c.ID...), `,"result":{}}`...)
	c.Leg.Answer(msg, metrics.OK)
}
