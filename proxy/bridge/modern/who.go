package modern

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"sidegate/proxy/bridge/seal"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

const (
	mostCapabilities = 16 << 10 // bytes of what a client says of itself
	mostKinds        = 256      // ways of saying it that are remembered
	mostRemembered   = 1 << 10  // bytes of one
)

// An identity is for whom a place is: what a legacy session would have said
// once.
type identity struct {
	principal     string // "" where callers have no names
	capabilities  string // canonical JSON
	authorization string // the header line, ended by CRLF; "" for none
	level         string // the log level, "" for none
}

// elicitation is the capability of a client whose user can be asked.
const elicitation = "elicitation"

// elicits tells whether the client can be asked in a mode of elicitation, form or
// url; who names none knows forms (2026-07-28, client/elicitation,
// "Capabilities").
func (id *identity) elicits(mode string) bool {
	var c struct {
		Elicitation map[string]json.RawMessage `json:"elicitation"`
	}
	if json.Unmarshal([]byte(id.capabilities), &c) != nil || c.Elicitation == nil {
		return false
	}
	return c.Elicitation[mode] != nil || mode == "form" && c.Elicitation["url"] == nil
}

// who is who a request is from, and what it may need.
type who struct {
	identity
	asks bool // its client can be asked something
}

// A kind is what is known of clients that say the same of themselves.
type kind struct {
	capabilities string
	asks         bool
}

// levels are those of RFC 5424 (2025-11-25, server/utilities/logging).
var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// mayAsk tells whether a server may ask something back while it works on such
// a call (2026-07-28, basic/patterns/mrtr, "Supported Requests").
func mayAsk(method []byte) bool {
	switch string(method) {
	case mcp.MethodCallTool, mcp.MethodGetPrompt, mcp.MethodReadResource:
		return true
	}
	return false
}

// identify reads who a request is from. A log level counts where the server
// works for the one call only.
func (d *Desk) identify(from share.Caller, msg *wire.Buffer, env *wire.Envelope) (w who, refused *refusal.Refusal) {
	k, refused := d.kindOf(env.MetaCapabilities.Of(msg.B))
	if refused != nil {
		return w, refused
	}
	w.principal, w.capabilities, w.asks = from.Principal, k.capabilities, k.asks
	for line := range bytes.Lines(msg.Header) {
		if bytes.HasPrefix(line, []byte("Authorization: ")) {
			w.authorization = string(line)
		}
	}
	if raw := env.LogLevel.Of(msg.B); raw != nil {
		var level string
		if json.Unmarshal(raw, &level) != nil || !slices.Contains(levels, level) {
			return w, refusal.Level.With("the log level must be one of %s", strings.Join(levels, ", "))
		}
		if mayAsk(env.Method) {
			w.level = level
		}
	}
	return w, nil
}

// kindOf reads what a client says of itself. It mostly has been said before.
func (d *Desk) kindOf(raw []byte) (*kind, *refusal.Refusal) {
	d.mu.Lock()
	k := d.kinds[string(raw)]
	d.mu.Unlock()
	if k != nil {
		return k, nil
	}
	if len(raw) > mostCapabilities {
		return nil, refusal.Meta.With("the capabilities of a client may have %d bytes", mostCapabilities)
	}
	text, ok := seal.Canonical(raw, "tasks")
	if !ok {
		return nil, refusal.Meta
	}
	if text == nil {
		text = []byte("{}")
	}
	k = &kind{capabilities: string(text)}
	var all map[string]json.RawMessage
	_ = json.Unmarshal(text, &all) // it is an object
	for _, capability := range []string{"sampling", elicitation, "roots"} {
		k.asks = k.asks || all[capability] != nil
	}
	if len(raw) <= mostRemembered {
		d.mu.Lock()
		if len(d.kinds) >= mostKinds {
			clear(d.kinds)
		}
		d.kinds[string(raw)] = k
		d.mu.Unlock()
	}
	return k, nil
}

// apart tells whether a call of a caller without a name has a place to itself:
// its server may be told something of its client, and nobody knows whose the
// next call is. Where each caller has links of its own, those without a name
// are one caller: their server keeps state for all of them, roots included, but
// a log level is for one call.
func (w *who) apart(method []byte, everybody bool) bool {
	return w.principal == "" && mayAsk(method) && (w.asks && everybody || w.level != "")
}

// binding is what a requestState is bound to. Callers without a name are told
// apart by what they show the server.
func (w *who) binding(msg []byte, env *wire.Envelope) seal.Binding {
	text := seal.AppendCanonical(make([]byte, 0, 512), msg, env.Params, "_meta", "inputResponses", "requestState")
	caller := "name:" + w.principal
	if w.principal == "" {
		caller = "line:" + w.authorization
	}
	return seal.Bind([]byte(caller), env.Method, text)
}
