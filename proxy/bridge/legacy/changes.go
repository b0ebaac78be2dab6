package legacy

import (
	"encoding/json"

	"sidegate/proxy/mcp"
	"sidegate/proxy/wire"
)

// A filter is what a listen asks for, and what is acknowledged of it.
type filter struct {
	Tools     bool     `json:"toolsListChanged,omitempty"`
	Prompts   bool     `json:"promptsListChanged,omitempty"`
	Resources bool     `json:"resourcesListChanged,omitempty"`
	URIs      []string `json:"resourceSubscriptions,omitempty"`
}

// tell passes a notification on as a legacy server would say it.
func (l *listener) tell(msg *wire.Buffer, env *wire.Envelope) {
	if !env.SubscriptionID.Empty() {
		shrink(msg, env.Meta, without(msg.B, mcp.MetaSubscriptionID))
		if err := env.Scan(msg.B); err != nil {
			panic("BUG: " + err.Error()) // it has only lost a member
		}
	}
	l.place.client.Unasked(nil, nil, msg, env)
}

// acknowledged reads what the server will tell of.
func acknowledged(msg []byte, env *wire.Envelope) (f filter) {
	_ = json.Unmarshal(wire.Find(msg, env.Params, "notifications").Of(msg), &f) // what cannot be read is not acknowledged
	return f
}

// both is what a server tells of and a client wants to hear of its lists. p.mu
// is held.
func (p *place) both(f filter) filter {
	d := p.declared
	return filter{Tools: f.Tools && p.ready && d.tools, Prompts: f.Prompts && p.ready && d.prompts, Resources: f.Resources && p.ready && d.resources}
}

// missed tells the client that all may have changed of which the server was not
// listened to for a while. The client cannot know that its server has started
// again.
func (p *place) missed(f filter, uris []string) {
	for _, list := range []struct {
		honoured bool
		method   string
	}{{f.Tools, mcp.MethodToolsChanged}, {f.Prompts, mcp.MethodPromptsChanged}, {f.Resources, mcp.MethodResourcesChanged}} {
		if list.honoured {
			p.notify(list.method, "")
		}
	}
	for _, uri := range uris {
		p.notify(mcp.MethodResourceUpdated, uri)
	}
}

// notify tells the client of a change; uri is "" for a list's.
func (p *place) notify(method, uri string) {
	msg, env := wire.Acquire(128), new(wire.Envelope)
	msg.B = append(append(append(msg.B, `{"jsonrpc":"2.0","method":"`...), method...), '"')
	if uri != "" {
		msg.B = append(append(append(msg.B, `,"params":{"uri":`...), encode(uri)...), '}')
	}
	msg.B = append(msg.B, '}')
	if err := env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error())
	}
	p.client.Unasked(nil, nil, msg, env)
}
