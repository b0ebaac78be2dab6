package legacy

import (
	"context"
	"testing"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// echo is a desk that answers at once, and a client and a leg that want nothing.
type echo struct{ answer string }

func (e *echo) Call(c *link.Call, _ share.Caller, msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	msg.Release()
	answer := wire.Acquire(len(e.answer))
	answer.B = append(answer.B, e.answer...)
	c.Leg.Answer(answer, metrics.OK)
	return nil
}

func (*echo) Leave(*link.Call)                                              {}
func (*echo) Run(context.Context)                                           {}
func (*echo) Unasked(share.Asker, *link.Call, *wire.Buffer, *wire.Envelope) {}
func (*echo) Settle(share.Asker) []share.Open                               { return nil }
func (*echo) Lost()                                                         {}
func (*echo) Send(msg *wire.Buffer)                                         { msg.Release() }
func (*echo) Reply(*backend.Reply)                                          {}
func (*echo) Answer(msg *wire.Buffer, _ metrics.Outcome)                    { msg.Release() }

// BenchmarkCall is a tools/call from the session to the desk and back: what the
// bridge adds to the native path.
func BenchmarkCall(b *testing.B) {
	e := &echo{answer: discovered}
	s := New(Options{Desk: e, Name: "n", Dropped: func(string) {}})
	p := s.Join(e, "", "id")
	message := func(text string) (*wire.Buffer, *wire.Envelope) {
		msg, env := wire.Acquire(len(text)), new(wire.Envelope)
		msg.B = append(msg.B, text...)
		if err := env.Scan(msg.B); err != nil {
			b.Fatal(err)
		}
		return msg, env
	}
	msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{},"roots":{}},"clientInfo":{"name":"c","version":"1"}}}`)
	p.Open(&link.Call{ID: []byte("1"), Leg: e, Opens: true}, msg, env)
	defer p.Leave(nil, refusal.SessionEnd)
	e.answer = `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[{"type":"text","text":"hello, this is an answer"}],"structuredContent":{"a":1}}}`
	const request = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":1},"name":"echo","arguments":{"text":"hello"}}}`
	_, env = message(request)
	b.ReportAllocs()
	for b.Loop() {
		msg := wire.Acquire(len(request))
		msg.B = append(msg.B, request...)
		if refused := p.Call(&link.Call{ID: []byte("1"), Leg: e}, msg, env); refused != nil {
			b.Fatal(refused)
		}
	}
}
