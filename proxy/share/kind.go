package share

import (
	"bytes"
	"encoding/json"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A key names a kind of client. Two clients of one kind can use one link: a
// server would treat them alike.
type key struct {
	principal     string // "" where links are for everybody
	revision      string // that the server is asked for
	capabilities  string // canonical JSON
	authorization string // the header line that an HTTP server lets the client in with, ended by CRLF
	via           string // the lines that name the gates it came through, likewise: the server may be one of them
}

// A kind is the links for one kind of client. The group's lock guards it.
type kind struct {
	key
	asks    bool // the client can be asked: a call may need a link to itself
	slots   []*slot
	members int
}

// The most that is taken of what a client says of itself: links are kept by it.
const mostCapabilities = 16 << 10 // bytes

// newKey reads what kind of client an initialize is from.
func newKey(principal string, msg *wire.Buffer, env *wire.Envelope) (key, *refusal.Refusal) {
	k := key{principal: principal, revision: string(env.Revision), capabilities: "{}"}
	if !mcp.IsLegacy(k.revision) {
		k.revision = mcp.Revision20251125 // a server offers what it has, whatever it is asked for
	}
	raw := env.Capabilities.Of(msg.B)
	if len(raw) > mostCapabilities {
		return k, refusal.Envelope.With("the capabilities of a client may have %d bytes where links are shared (--isolation)", mostCapabilities)
	}
	if text, ok := canonical(raw); ok {
		k.capabilities = text
	} else if len(raw) > 0 && string(raw) != "null" {
		return k, refusal.Envelope.With("the capabilities must be a JSON object")
	}
	for line := range bytes.Lines(msg.Header) {
		if bytes.HasPrefix(line, []byte("Authorization: ")) {
			k.authorization = string(line)
		}
		if bytes.HasPrefix(line, []byte("Via: ")) {
			k.via += string(line)
		}
	}
	return k, nil
}

// header is what stands in the gate's own requests for such clients; nil for
// nothing.
func (k key) header() []byte {
	if k.authorization == "" && k.via == "" {
		return nil
	}
	return []byte(k.authorization + k.via)
}

// canonical spells a JSON object in one way: keys in order, no white space,
// numbers as they came.
func canonical(raw []byte) (string, bool) {
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil || object == nil {
		return "", false
	}
	text, err := json.Marshal(object)
	return string(text), err == nil
}

// declared tells whether the clients have declared a capability.
func (k key) declared(capability string) bool {
	var all map[string]json.RawMessage
	return json.Unmarshal([]byte(k.capabilities), &all) == nil && all[capability] != nil
}

// asked are the questions of the protocol with the capability that each needs.
var asked = map[string]string{
	mcp.MethodSample: "sampling",
	mcp.MethodElicit: "elicitation",
	mcp.MethodRoots:  "roots",
}

// allows tells whether a server may ask such a client. What the protocol does
// not know passes: it is for the client to judge.
func (k key) allows(method []byte) bool {
	capability, known := asked[string(method)]
	return !known || k.declared(capability)
}

func newKind(k key) *kind {
	kd := &kind{key: k}
	for _, capability := range asked {
		kd.asks = kd.asks || k.declared(capability)
	}
	return kd
}

// mayAsk tells whether a server may ask something back while it works on such
// a call.
func mayAsk(method []byte) bool {
	switch string(method) {
	case mcp.MethodCallTool, mcp.MethodGetPrompt, mcp.MethodReadResource:
		return true
	}
	return false
}

// isTask tells whether a request makes a task, or is about tasks, of which a
// server has one list for all who use a link.
func isTask(msg []byte, env *wire.Envelope) bool {
	if bytes.HasPrefix(env.Method, []byte("tasks/")) {
		return true
	}
	params := env.Params.Of(msg)
	if !bytes.Contains(params, []byte("task")) && !bytes.Contains(params, []byte(`\u`)) {
		return false
	}
	var p struct {
		Task json.RawMessage `json:"task"`
	}
	return json.Unmarshal(params, &p) == nil && p.Task != nil
}
