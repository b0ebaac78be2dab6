package websocket

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// maxModern is how many modern calls a connection of the bed may have in flight.
const maxModern = 2

// modernIs takes a request that names its revision for a modern one. The guard,
// which knows better, has tests of its own.
func modernIs(msg []byte, env *wire.Envelope) (bool, *refusal.Refusal) {
	return env.Kind == wire.Request && bytes.Contains(msg, []byte("io.modelcontextprotocol/protocolVersion")), nil
}

// desk keeps the modern calls that it is given, by the client's id, until the
// test answers them or their client leaves.
type desk struct {
	mu   sync.Mutex
	open map[string]*link.Call
}

func (d *desk) Call(c *link.Call, _ share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[string(env.ID.Of(msg.B))] = c
	msg.Release()
	return nil
}

func (d *desk) Leave(c *link.Call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, other := range d.open {
		if other == c {
			delete(d.open, id)
		}
	}
}

func (d *desk) Run(context.Context) {}

// has waits until there are n calls.
func (b *bed) has(n int) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("the desk has %d calls", n), func() bool {
		b.desk.mu.Lock()
		defer b.desk.mu.Unlock()
		return len(b.desk.open) == n
	})
}

// answer answers the call with this raw id.
func (b *bed) answer(id string) {
	b.t.Helper()
	b.desk.mu.Lock()
	c := b.desk.open[id]
	delete(b.desk.open, id)
	b.desk.mu.Unlock()
	msg := wire.Acquire(64)
	msg.B = append(msg.B, answered(id)...)
	c.Leg.Answer(msg, metrics.OK)
}

func answered(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"modern":true}}`, id)
}

func modernEcho(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"echo","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, id)
}

func cancelling(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, id)
}

// TestModernCalls: they need no session, are told apart by their ids, and are
// answered in whichever order.
func TestModernCalls(t *testing.T) {
	b := newBed(t, nil)
	c := b.connect()
	c.say(modernEcho("1"))
	c.say(modernEcho(`"1"`))
	b.has(2)
	c.say(modernEcho("1"))
	c.wantError("1", refusal.DuplicateID.Code)
	c.say(modernEcho("2"))
	c.wantError("2", refusal.Calls.Code)
	b.answer(`"1"`)
	c.want(answered(`"1"`))
	b.answer("1")
	c.want(answered("1"))
	c.say(modernEcho("1")) // the id is free again
	b.has(1)
	c.say(echo("3", "[]"))
	c.wantError("3", refusal.Uninitialized.Code)
	b.answer("1")
	c.want(answered("1"))
}

// TestModernCallsEnd: with a cancellation that names one, which others do not
// feel, and with the connection.
func TestModernCallsEnd(t *testing.T) {
	b := newBed(t, nil)
	c := b.connect()
	c.say(cancelling("1")) // before there was a call: nobody's
	c.say(modernEcho("1"))
	c.say(modernEcho("2"))
	b.has(2)
	c.say(cancelling(`"1"`))
	c.say(cancelling("1"))
	b.has(1)
	b.answer("2")
	c.want(answered("2"))
	c.say(modernEcho("3"))
	b.has(1)
	c.Close()
	b.has(0)
}
