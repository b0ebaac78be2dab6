package share

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// gateID is the id of the gate's own requests; the link gives them numbers.
var gateID = []byte("0")

// newRequest makes a request of the gate's own. params must be encodable.
func newRequest(method string, params any) (*wire.Buffer, *wire.Envelope) {
	text, err := json.Marshal(struct {
		JSONRPC string `json:"jsonrpc"`
		ID      int    `json:"id"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{"2.0", 0, method, params})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	msg, env := wire.Acquire(len(text)+32), new(wire.Envelope)
	msg.B = append(msg.B, text...)
	if err := env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error())
	}
	return msg, env
}

// mute is a leg that leads nowhere.
type mute struct{}

func (mute) Send(msg *wire.Buffer)                      { msg.Release() }
func (mute) Answer(msg *wire.Buffer, _ metrics.Outcome) { msg.Release() }
func (mute) Reply(*backend.Reply)                       {}

// A failure is why there is no link: a refusal of the gate, or what the server
// has answered.
type failure struct {
	refused *refusal.Refusal
	reply   *backend.Reply // in which the answer came; nil without one
	answer  []byte         // a JSON-RPC error
	id      wire.Span
	how     metrics.Outcome
}

// tell answers a call with the failure.
func (f *failure) tell(c *link.Call) {
	if f.refused != nil {
		c.Refuse(f.refused)
		return
	}
	if f.reply != nil {
		c.Leg.Reply(f.reply)
	}
	msg := wire.Acquire(len(f.answer) + len(c.ID))
	if f.id.Empty() {
		msg.B = append(msg.B, f.answer...)
	} else {
		msg.B = wire.AppendSplice(msg.B, f.answer, f.id, c.ID)
	}
	c.Leg.Answer(msg, f.how)
}

// A hello is the leg of the gate's own initialize.
type hello struct {
	reply  *backend.Reply
	answer []byte
	how    metrics.Outcome
	done   chan struct{}
}

func (h *hello) Send(msg *wire.Buffer) { msg.Release() }

func (h *hello) Reply(r *backend.Reply) {
	if r.Status != backend.StatusOK {
		c := *r
		c.Header, c.Body = bytes.Clone(r.Header), bytes.Clone(r.Body)
		h.reply = &c
	}
}

func (h *hello) Answer(msg *wire.Buffer, how metrics.Outcome) {
	h.answer, h.how = bytes.Clone(msg.B), how
	msg.Release()
	close(h.done)
}

// initialize takes a link out of the pool and initializes it for a kind of
// client. s is the slot that it is for, nil for a link that is leased.
func (g *Group) initialize(ctx context.Context, k *kind, s *slot) (*tenant, *failure) {
	l, err := g.take(ctx)
	if err != nil {
		return nil, &failure{refused: notTaken(err)}
	}
	t := &tenant{group: g, kind: k, slot: s, link: l, born: time.Now(), since: time.Now()}
	failed := &failure{refused: refusal.Start}
	if l.Lease(t) == nil {
		failed = t.introduce(ctx)
	}
	if failed != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.end(t, refusal.Ended)
		return nil, failed
	}
	return t, nil
}

// take takes a link out of the pool, and lets who gives one back know that it
// is waited for.
func (g *Group) take(ctx context.Context) (*link.Link, error) {
	g.mu.Lock()
	g.taking++
	g.mu.Unlock()
	l, err := g.pool.Take(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taking--
	return l, err
}

// introduce initializes the link (2025-11-25, basic/lifecycle,
// "Initialization").
func (t *tenant) introduce(ctx context.Context) *failure {
	h := &hello{done: make(chan struct{})}
	msg, env := newRequest(mcp.MethodInitialize, map[string]any{
		"protocolVersion": t.kind.revision,
		"capabilities":    json.RawMessage(t.kind.capabilities),
		"clientInfo":      map[string]string{"name": "sidegate", "version": t.group.options.Version},
	})
	msg.Header = t.kind.header()
	c := &link.Call{ID: gateID, Leg: h, Opens: true}
	if refused := t.link.Call(c, msg, env); refused != nil {
		return &failure{refused: refused}
	}
	late := time.NewTimer(firstAnswer)
	defer late.Stop()
	select {
	case <-h.done:
	case <-late.C:
		t.link.Drop(c, refusal.CallTimeout)
		<-h.done
	case <-ctx.Done():
		t.link.Drop(c, refusal.Cancelled)
		<-h.done
	}
	return t.introduced(h)
}

// introduced reads the server's answer.
func (t *tenant) introduced(h *hello) *failure {
	var env wire.Envelope
	if err := env.Scan(h.answer); err != nil {
		return &failure{refused: refusal.ServerJSON}
	}
	if h.how != metrics.OK {
		return &failure{reply: h.reply, answer: h.answer, id: env.ID, how: h.how}
	}
	h.answer = withoutTasks(h.answer)
	if err := env.Scan(h.answer); err != nil {
		return &failure{refused: refusal.ServerJSON}
	}
	t.result, t.id = h.answer, env.ID
	t.logging = serverDeclares(h.answer, "logging")
	note := wire.Acquire(64)
	note.Header = t.kind.header()
	note.B = append(note.B, `{"jsonrpc":"2.0","method":"notifications/initialized"}`...)
	if refused := t.link.Send(note); refused != nil {
		return &failure{refused: refused}
	}
	return nil
}

// serverDeclares tells whether the answer to initialize declares a capability.
func serverDeclares(answer []byte, capability string) bool {
	var a struct {
		Result struct {
			Capabilities map[string]json.RawMessage `json:"capabilities"`
		} `json:"result"`
	}
	return json.Unmarshal(answer, &a) == nil && a.Result.Capabilities[capability] != nil
}

// withoutTasks takes the capability "tasks" out of the answer to initialize: a
// server has one list of tasks for all who share it.
func withoutTasks(answer []byte) []byte {
	if !serverDeclares(answer, "tasks") {
		return answer
	}
	var a map[string]json.RawMessage
	var result, capabilities map[string]json.RawMessage
	if json.Unmarshal(answer, &a) != nil || json.Unmarshal(a["result"], &result) != nil || json.Unmarshal(result["capabilities"], &capabilities) != nil {
		return answer
	}
	delete(capabilities, "tasks")
	var err error
	if result["capabilities"], err = json.Marshal(capabilities); err != nil {
		return answer
	}
	if a["result"], err = json.Marshal(result); err != nil {
		return answer
	}
	if text, err := json.Marshal(a); err == nil {
		return text
	}
	return answer
}
