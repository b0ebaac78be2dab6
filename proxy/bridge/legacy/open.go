package legacy

import (
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/wire"
)

// declared is what a server can tell of by itself.
type declared struct {
	known                     bool // discover was answered
	tools, prompts, resources bool // changes of the list
	subscribe                 bool // updates of a resource
}

// open answers the initialize from the server's answer to discover (2026-07-28,
// server/discover; 2025-11-25, basic/lifecycle, "Initialization"). It takes msg
// over.
func (c *call) open(msg *wire.Buffer, env *wire.Envelope) {
	p := c.place
	capabilities := wire.Find(msg.B, env.Result, "capabilities")
	answer := wire.Acquire(len(msg.B) + 256)
	answer.B = append(append(append(answer.B, `{"jsonrpc":"2.0","id":`...), c.client.ID...), `,"result":{"protocolVersion":"`...)
	answer.B = append(append(answer.B, p.who.revision...), `","capabilities":`...)
	answer.B = wire.AppendObject(answer.B, msg.B, capabilities, servable(msg.B), "")
	answer.B = append(append(answer.B, `,"serverInfo":`...), serverInfo(msg.B, env.Result, p.sharer.options.Name)...)
	if at := wire.Find(msg.B, env.Result, "instructions"); !at.Empty() {
		answer.B = append(append(answer.B, `,"instructions":`...), at.Of(msg.B)...)
	}
	answer.B = append(answer.B, "}}"...)
	p.mu.Lock()
	p.declared = newDeclared(msg.B, capabilities)
	p.mu.Unlock()
	msg.Release()
	c.finish(answer, metrics.OK)
	p.listen() // a client may have said early that it is initialized
}

// servable leaves out of a server's capabilities what a legacy client would
// understand otherwise: tasks, which are an extension now.
func servable(msg []byte) func(wire.Member) []byte {
	return func(m wire.Member) []byte {
		switch string(m.Key) {
		case "tasks":
			return nil
		case "extensions":
			return wire.AppendObject(nil, msg, m.Value, without(msg, tasks), "")
		}
		return m.Value.Of(msg)
	}
}

// serverInfo is who the server says it is, else the backend's name: a legacy
// client wants one.
func serverInfo(msg []byte, result wire.Span, name string) []byte {
	info := wire.Find(msg, wire.Find(msg, result, "_meta"), mcp.MetaServerInfo)
	if quoted(msg, wire.Find(msg, info, "name")) && quoted(msg, wire.Find(msg, info, "version")) {
		return info.Of(msg)
	}
	return []byte(encode(map[string]string{"name": name, "version": "0"}))
}

func quoted(msg []byte, at wire.Span) bool { return !at.Empty() && msg[at.Start] == '"' }

func newDeclared(msg []byte, capabilities wire.Span) declared {
	says := func(capability, what string) bool {
		return string(wire.Find(msg, wire.Find(msg, capabilities, capability), what).Of(msg)) == "true"
	}
	return declared{
		known: true,
		tools: says("tools", "listChanged"), prompts: says("prompts", "listChanged"), resources: says("resources", "listChanged"),
		subscribe: says("resources", "subscribe"),
	}
}

// subscribe takes a resource into what the session listens for. It is answered
// when the server has said that it will tell.
func (p *place) subscribe(client *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	uri := string(env.URI)
	p.mu.Lock()
	p.header = keep(p.header, msg.Header)
	d, known, pending := p.declared, p.uris[uri], len(p.uris)
	p.mu.Unlock()
	msg.Release()
	switch {
	case !d.known:
		fail(client, mcp.CodeInvalidRequest, "this session is not initialized: wait for the answer to initialize")
	case !d.subscribe:
		fail(client, mcp.CodeMethodNotFound, "the tool server does not tell of changed resources")
	case uri == "":
		fail(client, mcp.CodeInvalidParams, "params.uri must name a resource")
	case known:
		answerEmpty(client)
	case len(uri) > mostURI || pending >= mostSubscriptions:
		failWith(client, tooMany, metrics.Failed)
	default:
		p.await(client, uri)
	}
}

// unsubscribe takes a resource out. The server is told with the next listen.
func (p *place) unsubscribe(client *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	uri := string(env.URI)
	msg.Release()
	p.mu.Lock()
	_, subscribed := p.uris[uri]
	delete(p.uris, uri)
	p.mu.Unlock()
	answerEmpty(client)
	if subscribed {
		p.listen()
	}
}
