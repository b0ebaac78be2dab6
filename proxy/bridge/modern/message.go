package modern

import (
	"encoding/json"
	"strconv"

	"sidegate/proxy/backend"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// toLegacy takes out of a request what a legacy server must not see. All else
// stays, byte for byte; what the scan found does not.
func toLegacy(msg *wire.Buffer, env *wire.Envelope) {
	msg.Header = legacyHeader(msg.Header)
	if env.Params.Empty() || msg.B[env.Params.Start] != '{' {
		return
	}
	text := msg.B
	short := wire.Acquire(len(text))
	short.B = append(short.B, text[:env.Params.Start]...)
	short.B = wire.AppendObject(short.B, text, env.Params, func(m wire.Member) []byte {
		switch string(m.Key) {
		case "inputResponses", "requestState":
			return nil
		case "_meta":
			return without(text, m.Value, mcp.MetaRevision, mcp.MetaClientInfo, mcp.MetaCapabilities, mcp.MetaLogLevel)
		}
		return m.Value.Of(text)
	}, "")
	short.B = append(short.B, text[env.Params.End:]...)
	msg.B = append(msg.B[:0], short.B...) // never longer, and charged already
	short.Release()
}

// legacyHeader is header lines without those that mirror a tool's arguments.
func legacyHeader(lines []byte) []byte {
	if !containsFold(lines, mcp.HeaderParam) {
		return lines
	}
	kept := []byte{} // not nil: they are a client's, be there any or none
	eachLine(lines, func(line []byte) {
		if !hasPrefixFold(line, mcp.HeaderParam) {
			kept = append(kept, line...)
		}
	})
	return kept
}

// toModern makes a legacy server's answer a modern one, for a client's call with
// this id; url tells whether that client can be asked by a URL. It takes msg over
// and returns what takes its place.
func toModern(msg *wire.Buffer, how metrics.Outcome, id []byte, method string, a *about, url bool) (*wire.Buffer, metrics.Outcome) {
	var env wire.Envelope
	if env.Scan(msg.B) != nil {
		return garbled(msg, id)
	}
	switch env.Kind {
	case wire.Result:
		if msg.B[env.Result.Start] != '{' {
			return garbled(msg, id)
		}
		complete(msg, &env, id, method, a)
	case wire.Error:
		return toModernError(msg, &env, how, id, method, a, url)
	}
	return msg, how
}

// garbled takes the place of an answer that cannot be read.
func garbled(msg *wire.Buffer, id []byte) (*wire.Buffer, metrics.Outcome) {
	msg.Release()
	msg = wire.Acquire(256 + len(id))
	msg.B = refusal.ServerJSON.AppendJSON(msg.B, id)
	return msg, metrics.Lost
}

// cacheable tells whether a method's results say how long they are good
// (2026-07-28, server/utilities/caching).
func cacheable(method string) bool {
	switch method {
	case mcp.MethodListTools, mcp.MethodListPrompts, mcp.MethodListResources, mcp.MethodListTemplates, mcp.MethodReadResource:
		return true
	}
	return false
}

// standard tells whether a method is one that a legacy server may be expected
// to know. Of any other, an error that says nothing means that it does not.
func standard(method string) bool {
	switch method {
	case mcp.MethodCallTool, mcp.MethodGetPrompt, mcp.MethodReadResource, mcp.MethodComplete,
		mcp.MethodListTools, mcp.MethodListPrompts, mcp.MethodListResources, mcp.MethodListTemplates:
		return true
	}
	return false
}

// unknown tells whether an HTTP server has refused a method that it does not
// know by its status alone.
func unknown(method string, r *backend.Reply) bool {
	return !standard(method) && (r.Said == 400 || r.Said == 404 || r.Said == 405)
}

// complete gives a result what modern ones have (2026-07-28, basic,
// "Responses").
func complete(msg *wire.Buffer, env *wire.Envelope, id []byte, method string, a *about) {
	var kind, meta, ttl, scope wire.Span
	empty := true
	for m := range wire.Members(msg.B, env.Result) {
		empty = false
		switch string(m.Key) {
		case "resultType":
			kind = m.Value
		case "_meta":
			meta = m.Value
		case "ttlMs":
			ttl = m.Value
		case "cacheScope":
			scope = m.Value
		}
	}
	var patches [4]wire.Patch
	n := 0
	patch := func(at wire.Span, with []byte) { patches[n] = wire.Patch{At: at, With: with}; n++ }
	var tail []byte
	add := func(member string) {
		if !empty || len(tail) > 0 {
			tail = append(tail, ',')
		}
		tail = append(tail, member...)
	}
	if kind.Empty() {
		add(`"resultType":"complete"`)
	} else {
		patch(kind, []byte(`"complete"`))
	}
	if cacheable(method) {
		if ttl.Empty() {
			add(`"ttlMs":0`)
		}
		if scope.Empty() {
			add(`"cacheScope":"private"`)
		}
	}
	switch {
	case a == nil || a.server == nil:
	case meta.Empty():
		add(string(a.appendMeta(nil)))
	case msg.B[meta.Start] == '{' && wire.Find(msg.B, meta, mcp.MetaServerInfo).Empty():
		patch(meta, wire.AppendObject(nil, msg.B, meta, func(m wire.Member) []byte { return m.Value.Of(msg.B) }, a.member()))
	}
	if len(tail) > 0 {
		patch(wire.Span{Start: env.Result.End - 1, End: env.Result.End - 1}, tail)
	}
	patch(env.ID, id)
	splice(msg, patches[:n])
}

// splice applies patches in place, from the back to the front.
func splice(msg *wire.Buffer, patches []wire.Patch) {
	for len(patches) > 0 {
		last := 0
		for i := range patches {
			if patches[i].At.Start > patches[last].At.Start {
				last = i
			}
		}
		msg.Splice(patches[last].At, patches[last].With)
		patches[last] = patches[len(patches)-1]
		patches = patches[:len(patches)-1]
	}
}

// toModernError makes a legacy server's error a modern one.
func toModernError(msg *wire.Buffer, env *wire.Envelope, how metrics.Outcome, id []byte, method string, a *about, url bool) (*wire.Buffer, metrics.Outcome) {
	code, _ := strconv.Atoi(string(env.Code.Of(msg.B)))
	if code == mcp.CodeURLElicitation && mayAsk([]byte(method)) {
		if asked := elicitations(msg.B, env, id, a); asked != nil {
			msg.Release()
			if !url {
				asked.B = refusal.Capability(elicitation+".url").AppendJSON(asked.B[:0], id)
				return asked, metrics.Failed
			}
			return asked, metrics.OK
		}
	}
	if env.ID.Empty() {
		return msg, how
	}
	patches := []wire.Patch{{At: env.ID, With: id}}
	if now := modernCode(code, method); now != code {
		patches = append(patches, wire.Patch{At: env.Code, With: strconv.AppendInt(nil, int64(now), 10)})
	}
	splice(msg, patches)
	return msg, how
}

// modernCode is what a modern server says for an error code of a legacy one. Two
// may not be said any more (2026-07-28, basic, "Error Codes").
func modernCode(code int, method string) int {
	switch {
	case code == mcp.CodeResourceNotFound:
		return mcp.CodeInvalidParams
	case code == mcp.CodeURLElicitation: // it names nothing that could be asked
		return mcp.CodeInternal
	case code == 0 && !standard(method): // so the Go SDK said it before it knew the code
		return mcp.CodeMethodNotFound
	}
	return code
}

// elicitations is a result that asks for what an error has named (2025-11-25,
// client/elicitation, "URL Elicitation Required Error"). The call is over; the
// retry is a new one. nil is returned where the error names nothing.
func elicitations(text []byte, env *wire.Envelope, id []byte, a *about) *wire.Buffer {
	var data struct {
		Elicitations []json.RawMessage `json:"elicitations"`
	}
	raw := wire.Find(text, env.Error, "data").Of(text)
	if raw == nil || json.Unmarshal(raw, &data) != nil || len(data.Elicitations) == 0 {
		return nil
	}
	msg := wire.Acquire(256 + len(id) + 2*len(raw))
	msg.B = append(append(append(msg.B, `{"jsonrpc":"2.0","id":`...), id...), `,"result":{"resultType":"input_required","inputRequests":{`...)
	used := make(map[string]bool)
	for i, e := range data.Elicitations {
		all := wire.Span{Start: 0, End: len(e)}
		if len(e) == 0 || e[0] != '{' {
			msg.Release()
			return nil
		}
		var key string
		if json.Unmarshal(wire.Find(e, all, "elicitationId").Of(e), &key) != nil || key == "" || used[key] {
			for key = strconv.Itoa(i + 1); used[key]; {
				key += "#"
			}
		}
		used[key] = true
		if i > 0 {
			msg.B = append(msg.B, ',')
		}
		name, _ := json.Marshal(key) // a string always can
		msg.B = append(append(msg.B, name...), `:{"method":"elicitation/create","params":`...)
		msg.B = append(appendQuestion(msg.B, e, all), '}')
	}
	msg.B = append(msg.B, '}')
	if a != nil && a.server != nil {
		msg.B = a.appendMeta(append(msg.B, ','))
	}
	msg.B = append(msg.B, `}}`...)
	return msg
}
