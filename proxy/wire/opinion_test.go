package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The second opinion on the scan: the same rules told by encoding/json, with
// maps and copies and whatever else is slow and plain.

// member is one member of an object.
type member struct {
	rawKey string // between the quotes
	key    string // decoded
	value  json.RawMessage
}

// membersOf reads the members of a valid JSON object in their order.
func membersOf(object []byte) (members []member) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for dec.More() {
		from := dec.InputOffset()
		key, err := dec.Token()
		if err != nil {
			panic(err)
		}
		m := member{key: key.(string)}
		token := object[from:dec.InputOffset()]
		m.rawKey = string(token[bytes.IndexByte(token, '"')+1 : len(token)-1])
		if err := dec.Decode(&m.value); err != nil {
			panic(err)
		}
		members = append(members, m)
	}
	return members
}

// opinion is what the second opinion says of a message.
type opinion struct {
	class Class // 0: it passes
	kind  Kind
	texts map[string]string // as found makes them
	ids   []string          // raw values of all top-level members "id"
}

func (o *opinion) bad() { o.class = BadEnvelope }

// know lists the keys that are read, by level.
var know = map[string][]string{
	"":       {"jsonrpc", "id", "method", "params", "result", "error"},
	"params": {"name", "uri", "arguments", "_meta", "progressToken", "requestId", "protocolVersion", "capabilities"},
	"_meta":  {"progressToken", "io.modelcontextprotocol/protocolVersion"},
	"result": {"protocolVersion"},
	"error":  {"code", "message"},
}

// level reads an object of a level into a map and finds fault with its keys.
func (o *opinion) level(name string, object []byte) map[string]json.RawMessage {
	values := map[string]json.RawMessage{}
	for _, m := range membersOf(object) {
		if hasLoneSurrogate(m.rawKey) || strings.Contains(m.key, "\x00") {
			o.bad()
		}
		if _, twice := values[m.key]; twice {
			o.bad()
		}
		for _, known := range know[name] {
			if m.key != known && strings.EqualFold(m.key, known) {
				o.bad()
			}
		}
		if name == "" && m.key == "id" {
			o.ids = append(o.ids, string(m.value))
		}
		values[m.key] = m.value
	}
	return values
}

// hasLoneSurrogate tells it by writing the string as UTF-16 and looking what
// comes back, not by looking at pairs.
func hasLoneSurrogate(raw string) bool {
	var units []uint16
	replacements := 0
	for i := 0; i < len(raw); {
		switch {
		case raw[i] == '\\' && raw[i+1] == 'u':
			u, err := strconv.ParseUint(raw[i+2:i+6], 16, 16)
			if err != nil {
				panic(err)
			}
			if u == utf8.RuneError {
				replacements++
			}
			units = append(units, uint16(u))
			i += 6
		case raw[i] == '\\':
			units = append(units, 'x')
			i += 2
		default: // a literal character; it parts an escaped pair
			units = append(units, 'x')
			i++
		}
	}
	for _, r := range utf16.Decode(units) {
		if r == utf8.RuneError {
			replacements--
		}
	}
	return replacements != 0
}

// text decodes a value that should be a string.
func (o *opinion) text(value json.RawMessage) (text string, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	if hasLoneSurrogate(string(value[1 : len(value)-1])) {
		o.bad()
	}
	return text, json.Unmarshal(value, &text) == nil
}

// token checks an id or token, absent or not.
func (o *opinion) token(value json.RawMessage) string {
	if _, isText := o.text(value); !isText && len(value) > 0 && !isIntegerText(string(value)) {
		o.bad()
	}
	return string(value)
}

func isIntegerText(s string) bool {
	return s != "" && strings.Trim(s, "-0123456789") == ""
}

// depthOf is how deep a valid JSON value nests.
func depthOf(msg []byte) (deepest int) {
	dec := json.NewDecoder(bytes.NewReader(msg))
	dec.UseNumber()
	for depth := 0; ; {
		t, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// judgeByJSON is the second opinion.
func judgeByJSON(msg []byte) *opinion {
	o := &opinion{texts: map[string]string{}}
	if !json.Valid(msg) {
		o.class = NotJSON
		return o
	}
	if !utf8.Valid(msg) || depthOf(msg) > 128 {
		o.bad()
		return o
	}
	switch trimmed := bytes.TrimLeft(msg, " \t\r\n"); trimmed[0] {
	case '{':
		o.judgeObject(trimmed)
	case '[':
		o.kind = Batch
	default:
		o.bad()
	}
	return o
}

func (o *opinion) judgeObject(msg []byte) {
	top := o.level("", msg)
	if version, _ := o.text(top["jsonrpc"]); version != "2.0" {
		o.bad()
	}
	params := map[string]json.RawMessage{}
	meta := map[string]json.RawMessage{}
	if p, there := top["params"]; there {
		if p[0] != '{' && p[0] != '[' {
			o.bad()
		}
		params = o.level("params", p)
		if m := params["_meta"]; m != nil {
			meta = o.level("_meta", m)
		}
	}
	result := o.level("result", top["result"])
	fault := o.level("error", top["error"])

	o.kind = kindByMembers(top)
	switch o.kind {
	case Invalid:
		o.bad()
	case Request, Notification:
		o.judgeCall(top, params, meta)
	case Result:
		if top["id"] == nil {
			o.bad()
		}
		o.texts["revision"], _ = o.text(result["protocolVersion"])
	case Error:
		if _, ok := o.text(fault["message"]); !ok || !isIntegerText(string(fault["code"])) {
			o.bad()
		}
	}
	if o.kind != Error || string(top["id"]) != "null" {
		o.texts["id"] = o.token(top["id"])
	}
}

func kindByMembers(top map[string]json.RawMessage) Kind {
	key := ""
	for _, k := range []string{"method", "id", "result", "error"} {
		if _, there := top[k]; there {
			key += k[:1]
		}
	}
	kinds := map[string]Kind{"mi": Request, "m": Notification, "ir": Result, "r": Result, "ie": Error, "e": Error}
	return kinds[key]
}

func (o *opinion) judgeCall(top, params, meta map[string]json.RawMessage) {
	method, ok := o.text(top["method"])
	if !ok {
		o.bad()
	}
	o.texts["method"] = method
	o.texts["name"], _ = o.text(params["name"])
	o.texts["uri"], _ = o.text(params["uri"])
	o.texts["metaRevision"], _ = o.text(meta["io.modelcontextprotocol/protocolVersion"])
	o.texts["params"] = string(top["params"])
	o.texts["meta"] = string(params["_meta"])
	o.texts["arguments"] = string(params["arguments"])
	if o.kind == Request {
		o.texts["token"] = o.token(meta["progressToken"])
	}
	switch method {
	case "initialize":
		o.texts["revision"], _ = o.text(params["protocolVersion"])
		o.texts["capabilities"] = string(params["capabilities"])
	case "notifications/progress":
		o.texts["token"] = o.token(params["progressToken"])
	case "notifications/cancelled":
		o.texts["requestID"] = o.token(params["requestId"])
	}
}
