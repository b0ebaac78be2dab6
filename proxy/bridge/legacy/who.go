package legacy

import (
	"bytes"
	"encoding/json"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// most bounds what is kept of a client's words about itself, each of its info
// and its capabilities, in bytes: it goes into every request.
const most = 16 << 10

// tasks is the extension whose results no legacy client knows.
const tasks = mcp.MetaPrefix + "tasks"

// A who is what a client has said of itself in initialize. It never changes.
type who struct {
	revision     string // negotiated
	info         string // canonical JSON; "" where the client did not say it in full
	capabilities string // likewise, as a modern server may read them
	may          map[string]bool
}

// The questions that a client may be put, as its capabilities say. Those of
// elicitation are two.
const (
	mayForm = "elicitation by form"
	mayURL  = "elicitation by URL"
)

// newWho reads an initialize.
func newWho(msg []byte, env *wire.Envelope) (who, *refusal.Refusal) {
	w := who{revision: string(env.Revision), may: make(map[string]bool)}
	if !mcp.IsLegacy(w.revision) {
		w.revision = mcp.Revision20251125
	}
	raw := env.Capabilities.Of(msg)
	info := wire.Find(msg, env.Params, "clientInfo").Of(msg)
	if len(raw) > most || len(info) > most {
		return w, refusal.Envelope.With("clientInfo and capabilities may have %d bytes each", most)
	}
	capabilities, ok := object(raw)
	if !ok && len(raw) > 0 && string(raw) != "null" {
		return w, refusal.Envelope.With("the capabilities must be a JSON object")
	}
	w.modernize(capabilities)
	w.capabilities = encode(capabilities)
	if named, ok := object(info); ok && isText(named["name"]) && isText(named["version"]) {
		w.info = encode(named)
	}
	return w, nil
}

// modernize takes out of the capabilities what the client's revision does not
// know or the bridge cannot serve, and notes what the client may be asked. An
// empty elicitation means forms (2025-11-25, client/elicitation,
// "Capabilities").
func (w *who) modernize(capabilities map[string]any) {
	delete(capabilities, "tasks")
	if extensions, ok := capabilities["extensions"].(map[string]any); ok {
		delete(extensions, tasks)
	}
	elicitation, ok := capabilities["elicitation"].(map[string]any)
	switch {
	case !ok, w.revision < mcp.Revision20250618:
		delete(capabilities, "elicitation")
	case len(elicitation) == 0, w.revision < mcp.Revision20251125:
		capabilities["elicitation"] = map[string]any{"form": map[string]any{}}
	}
	elicitation, _ = capabilities["elicitation"].(map[string]any)
	w.may[mayForm] = elicitation["form"] != nil
	w.may[mayURL] = elicitation["url"] != nil
	w.may[mcp.MethodSample] = capabilities["sampling"] != nil
	w.may[mcp.MethodRoots] = capabilities["roots"] != nil
}

// meta is the members that every request has in its _meta (2026-07-28, basic,
// "_meta"). level may be "".
func (w *who) meta(level string) string {
	m := `"` + mcp.MetaRevision + `":"` + mcp.Revision20260728 + `"`
	if w.info != "" {
		m += `,"` + mcp.MetaClientInfo + `":` + w.info
	}
	m += `,"` + mcp.MetaCapabilities + `":` + w.capabilities
	if level != "" {
		m += `,"` + mcp.MetaLogLevel + `":"` + level + `"`
	}
	return m
}

// object reads a JSON object; numbers stay as they came. It is never nil.
func object(raw []byte) (map[string]any, bool) {
	var o map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&o) != nil || o == nil {
		return map[string]any{}, false
	}
	return o, true
}

// encode spells a value that was read from JSON in one way.
func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("BUG: " + err.Error()) // it came from JSON
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func isText(v any) bool {
	_, ok := v.(string)
	return ok
}

// text decodes the JSON string at the span, "" for anything else.
func text(msg []byte, at wire.Span) string {
	var s string
	if at.Empty() || msg[at.Start] != '"' || json.Unmarshal(at.Of(msg), &s) != nil {
		return ""
	}
	return s
}
