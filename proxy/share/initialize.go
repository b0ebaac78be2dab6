package share

import (
	"context"
	"encoding/json"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// initialize takes a link out of the pool and initializes it for a kind of
// client. s is the slot that it is for, nil for a link that is leased.
func (g *Group) initialize(ctx context.Context, k *kind, s *slot) (*tenant, *link.Failure) {
	l, err := g.take(ctx)
	if err != nil {
		return nil, &link.Failure{Refused: notTaken(err)}
	}
	t := &tenant{group: g, kind: k, slot: s, link: l, born: time.Now(), since: time.Now()}
	l.Share()
	failed := &link.Failure{Refused: refusal.Start}
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
func (t *tenant) introduce(ctx context.Context) *link.Failure {
	msg, env := link.NewRequest(mcp.MethodInitialize, map[string]any{
		"protocolVersion": t.kind.revision,
		"capabilities":    json.RawMessage(t.kind.capabilities),
		"clientInfo":      map[string]string{"name": "sidegate", "version": t.group.options.Version},
	})
	msg.Header = t.kind.header()
	answer, _, failed := t.link.Ask(ctx, msg, env, firstAnswer, true)
	if failed != nil {
		return failed
	}
	t.result = withoutTasks(answer)
	var at wire.Envelope
	if err := at.Scan(t.result); err != nil {
		return &link.Failure{Refused: refusal.ServerJSON}
	}
	t.id = at.ID
	t.logging = serverDeclares(t.result, "logging")
	t.tells = tells(t.result)
	note := wire.Acquire(64)
	note.Header = t.kind.header()
	note.B = append(note.B, `{"jsonrpc":"2.0","method":"notifications/initialized"}`...)
	if refused := t.link.Send(note); refused != nil {
		return &link.Failure{Refused: refused}
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
