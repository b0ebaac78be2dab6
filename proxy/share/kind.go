package share

import (
	"bytes"
	"encoding/json"
	"strings"

	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A key names a kind of client. Two clients of one kind can use one link: a
// server would treat them alike.
type key struct {
	principal    string // "" where links are for everybody
	revision     string // that the client asks for
	capabilities string // canonical JSON
}

// A kind is the links for one kind of client. The group's lock guards it.
type kind struct {
	key
	asks    bool // the client can be asked: a call may need a link to itself
	slots   []*slot
	members int
}

// The most that is taken of what a client says of itself: links are kept by it.
const (
	mostRevision     = 32
	mostCapabilities = 16 << 10
)

// newKey reads what kind of client an initialize is from.
func newKey(principal string, msg []byte, env *wire.Envelope) (key, *refusal.Refusal) {
	k := key{principal: principal, revision: string(env.Revision), capabilities: "{}"}
	raw := env.Capabilities.Of(msg)
	if len(k.revision) == 0 || len(k.revision) > mostRevision || len(raw) > mostCapabilities {
		return k, refusal.Envelope.With("this initialize needs a protocolVersion of at most %d bytes, and capabilities of at most %d", mostRevision, mostCapabilities)
	}
	if len(raw) > 0 {
		text, ok := canonical(raw)
		if !ok {
			return k, refusal.Envelope.With("the capabilities must be a JSON object")
		}
		k.capabilities = text
	}
	return k, nil
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

// isTask tells whether a method is one on tasks, of which a server has one list
// for all who use a link.
func isTask(method []byte) bool { return strings.HasPrefix(string(method), "tasks/") }
