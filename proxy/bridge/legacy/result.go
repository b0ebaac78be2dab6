package legacy

import (
	"bytes"

	"sidegate/proxy/headers"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// found is where the members of a result stand that matter here.
type found struct {
	resultType, inputRequests, requestState wire.Span
	tools, structured, content              wire.Span
}

// read reads a result.
func read(msg []byte, result wire.Span) (f found) {
	for m := range wire.Members(msg, result) {
		switch string(m.Key) {
		case "resultType":
			f.resultType = m.Value
		case "inputRequests":
			f.inputRequests = m.Value
		case "requestState":
			if string(m.Value.Of(msg)) != "null" { // as some servers write what they do not say: it must not go back
				f.requestState = m.Value
			}
		case "tools":
			f.tools = m.Value
		case "structuredContent":
			f.structured = m.Value
		case "content":
			f.content = m.Value
		}
	}
	return f
}

// noRoom is what a call gets whose answer cannot be written anew.
var noRoom = refusal.Budget.With("the gate had no room for the tool server's answer (--max-bytes-in-flight), and it was dropped; try again shortly")

// complete answers with a result as a legacy client knows it. All but what has
// to come out stays as it came. It takes msg over.
func (c *call) complete(msg *wire.Buffer, result wire.Span, f found) {
	switch {
	case c.kind == tool && !f.structured.Empty() && msg.B[f.structured.Start] != '{':
		msg = c.unstructured(msg, result, f)
	case c.kind == listing && !f.tools.Empty():
		msg = c.listed(msg, result, f)
	default:
		all := msg.B
		shrink(msg, result, func(m wire.Member) []byte { return ageless(all, m) })
	}
	if msg == nil {
		c.refuse(noRoom, metrics.Lost)
		return
	}
	c.finish(msg, metrics.OK)
}

// ageless leaves out what only modern results have: 2026-07-28, basic,
// "Responses", and server/utilities/caching.
func ageless(msg []byte, m wire.Member) []byte {
	switch string(m.Key) {
	case "resultType", "ttlMs", "cacheScope":
		return nil
	}
	return m.Value.Of(msg)
}

// shrink takes members out of an object, in place: what is written never
// overtakes what is read.
func shrink(msg *wire.Buffer, object wire.Span, edit func(wire.Member) []byte) {
	if object.Empty() || msg.B[object.Start] != '{' {
		return
	}
	all := msg.B
	out := wire.AppendObject(all[:object.Start], all, object, edit, "")
	msg.B = append(out, all[object.End:]...)
}

// unstructured takes structuredContent out that is no object, which it must be
// in every legacy revision. Where there is no other content it becomes a text,
// so that nothing is lost. It takes msg over; nil: the budget has no room.
func (c *call) unstructured(msg *wire.Buffer, result wire.Span, f found) *wire.Buffer {
	add := ""
	if empty(msg.B, f.content) {
		add = `"content":[{"type":"text","text":` + encode(string(f.structured.Of(msg.B))) + `}]`
	}
	all := msg.B
	return c.rewrite(msg, result, len(add), func(m wire.Member) []byte {
		switch key := string(m.Key); {
		case key == "structuredContent", key == "content" && add != "":
			return nil
		}
		return ageless(all, m)
	}, add)
}

// empty tells whether the span holds anything but an array with elements.
func empty(msg []byte, at wire.Span) bool {
	some := false
	if raw := at.Of(msg); len(raw) > 0 && raw[0] == '[' {
		_ = wire.Elements(raw, every, func([]byte) bool { some = true; return false }) // an error: it is empty
	}
	return !some
}

// every is a bound for what the message limit bounds already.
const every = 1 << 30

// listed leaves out of a list the tools that no client may call, and output
// schemas that are none of an object. It takes msg over; nil: the budget has no
// room.
func (c *call) listed(msg *wire.Buffer, result wire.Span, f found) *wire.Buffer {
	all := msg.B
	tools := c.tools(f.tools.Of(all))
	edit := func(m wire.Member) []byte {
		if m.Value == f.tools {
			return tools
		}
		return ageless(all, m)
	}
	if &tools[0] == &all[f.tools.Start] {
		shrink(msg, result, edit)
		return msg
	}
	return c.rewrite(msg, result, 0, edit, "")
}

// tools rewrites a list of tools. One that needs no change is returned as it is.
func (c *call) tools(list []byte) []byte {
	var kept [][]byte
	changed := false
	err := wire.Elements(list, every, func(t []byte) bool {
		as := c.tool(t)
		changed = changed || len(as) != len(t)
		if as != nil {
			kept = append(kept, as)
		}
		return true
	})
	if err != nil || !changed {
		return list
	}
	return append(append([]byte{'['}, bytes.Join(kept, []byte{','})...), ']')
}

// tool rewrites a tool; nil leaves it out. A client "MUST reject" one whose
// x-mcp-header is not valid (2026-07-28, server/tools, "x-mcp-header"), and
// every legacy client's outputSchema is of an object.
func (c *call) tool(t []byte) []byte {
	if _, err := headers.Read(t); err != nil {
		c.place.sharer.leftOut(t, err)
		return nil
	}
	whole := wire.Span{End: len(t)}
	schema := wire.Find(t, whole, "outputSchema")
	if schema.Empty() || text(t, wire.Find(t, schema, "type")) == "object" {
		return t
	}
	return wire.AppendObject(nil, t, whole, without(t, "outputSchema"), "")
}

// rewrite is shrink where the object may grow. It takes msg over; nil: the
// budget has no room.
func (c *call) rewrite(msg *wire.Buffer, object wire.Span, more int, edit func(wire.Member) []byte, add string) *wire.Buffer {
	defer msg.Release()
	size := len(msg.B) + more + 2
	out := wire.Acquire(size)
	if !out.Charge(c.place.sharer.options.Budget, int64(size)) {
		out.Release()
		return nil
	}
	out.B = append(out.B, msg.B[:object.Start]...)
	out.B = wire.AppendObject(out.B, msg.B, object, edit, add)
	out.B = append(out.B, msg.B[object.End:]...)
	return out
}
