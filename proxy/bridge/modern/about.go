package modern

import (
	"bytes"
	"encoding/json"
	"slices"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// about is what a legacy server says of itself in its answer to initialize. It
// never changes.
type about struct {
	raw          []byte // the result
	server       []byte // serverInfo, raw; nil for none
	capabilities []byte // raw, an object
	instructions []byte // raw; nil for none

	logging                   bool
	tools, prompts, resources bool // it tells when the list changes
	subscribe                 bool // to resources
}

// introduced reads an InitializeResult. Servers mostly say the same again.
func (d *Desk) introduced(result []byte) *about {
	d.mu.Lock()
	last := d.last
	d.mu.Unlock()
	if last != nil && bytes.Equal(last.raw, result) {
		return last
	}
	a := newAbout(bytes.Clone(result))
	d.mu.Lock()
	d.last = a
	d.mu.Unlock()
	return a
}

func newAbout(result []byte) *about {
	a := &about{raw: result, capabilities: []byte("{}")}
	whole := wire.Span{Start: 0, End: len(result)}
	for m := range wire.Members(result, whole) {
		switch value := m.Value.Of(result); string(m.Key) {
		case "serverInfo":
			if value[0] == '{' {
				a.server = value
			}
		case "instructions":
			if value[0] == '"' {
				a.instructions = value
			}
		case "capabilities":
			if value[0] == '{' {
				a.declared(value)
				if a.capabilities = without(result, m.Value, "tasks"); a.capabilities == nil {
					a.capabilities = []byte("{}")
				}
			}
		}
	}
	return a
}

// declared reads the capabilities that the desk acts on.
func (a *about) declared(raw []byte) {
	type list struct {
		ListChanged bool `json:"listChanged"`
		Subscribe   bool `json:"subscribe"`
	}
	var c struct {
		Logging   json.RawMessage `json:"logging"`
		Tools     list            `json:"tools"`
		Prompts   list            `json:"prompts"`
		Resources list            `json:"resources"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return
	}
	a.logging = c.Logging != nil
	a.tools, a.prompts, a.resources = c.Tools.ListChanged, c.Prompts.ListChanged, c.Resources.ListChanged
	a.subscribe = c.Resources.Subscribe
}

// member is the member of _meta that names the server, empty where it has not
// said who it is.
func (a *about) member() string {
	if a == nil || a.server == nil {
		return ""
	}
	return `"` + mcp.MetaServerInfo + `":` + string(a.server)
}

// appendMeta appends a _meta that names the server.
func (a *about) appendMeta(dst []byte) []byte {
	return append(append(append(dst, `"_meta":{`...), a.member()...), '}')
}

// discovering is a server/discover that waits for its place.
type discovering struct{ seat *seat }

// leave implements leaver.
func (*discovering) leave(client *link.Call) { client.Cancelled() }

// end implements leaver.
func (*discovering) end(client *link.Call) { client.Refuse(refusal.Draining) }

// discover answers server/discover from what the server said when it was
// initialized (2026-07-28, server/discover). msg stays the caller's.
func (d *Desk) discover(client *link.Call, who who, _ *wire.Buffer) *refusal.Refusal {
	s, refused := d.residence(who.identity)
	if refused != nil {
		return refused
	}
	d.mu.Lock()
	refused = d.admit(client, &discovering{s})
	d.mu.Unlock()
	if refused != nil {
		s.release()
		return refused
	}
	s.whenOpen(func(failed *link.Failure) {
		defer s.release()
		d.mu.Lock()
		waits, a := d.detach(client), s.about
		d.mu.Unlock()
		switch {
		case !waits:
		case failed != nil:
			failed.Tell(client)
		default:
			client.Leg.Answer(a.discovered(client.ID), metrics.OK)
		}
	})
	return nil
}

// discovered is the answer to server/discover.
func (a *about) discovered(id []byte) *wire.Buffer {
	msg := wire.Acquire(512 + len(a.raw) + len(id))
	b := append(append(append(msg.B, `{"jsonrpc":"2.0","id":`...), id...), `,"result":{"resultType":"complete","supportedVersions":[`...)
	for i, revision := range slices.Concat(mcp.ModernRevisions, mcp.LegacyRevisions) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), revision...), '"')
	}
	b = append(append(b, `],"capabilities":`...), a.capabilities...)
	if a.instructions != nil {
		b = append(append(b, `,"instructions":`...), a.instructions...)
	}
	b = append(b, `,"ttlMs":0,"cacheScope":"private"`...)
	if a.server != nil {
		b = a.appendMeta(append(b, ','))
	}
	msg.B = append(b, `}}`...)
	return msg
}
