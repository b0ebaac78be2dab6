//go:build !race

package share

import (
	"context"
	"testing"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// TestDirectAllocates: a call on a link that is there costs nothing by itself.
// The race detector empties pools at random, so it is not asked.
func TestDirectAllocates(t *testing.T) {
	d := NewDirect(DirectOptions{Dropped: func(string) {}}, nil)
	l := link.New(&link.Options{CallTimeout: time.Hour, Dropped: func(string) {}}, func(error) {})
	l.Attach(nowhere{})
	d.Adopt(l)
	text := `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	var env wire.Envelope
	calls := make([]link.Call, 200)
	for i := range calls {
		calls[i] = link.Call{ID: link.GateID, Leg: link.Mute{}}
	}
	i := 0
	perCall := testing.AllocsPerRun(100, func() {
		msg := wire.Acquire(len(text))
		msg.B = append(msg.B, text...)
		if err := env.Scan(msg.B); err != nil {
			t.Fatal(err)
		}
		c := &calls[i]
		i++
		if refused := d.Call(c, ann, msg, &env); refused != nil {
			t.Fatal(refused)
		}
		d.Leave(c)
	})
	if perCall > 0 {
		t.Errorf("%v allocations", perCall)
	}
	l.End(t.Context(), refusal.Ended)
}

// nowhere is a server that takes everything.
type nowhere struct{}

func (nowhere) Send(msg *wire.Buffer) error { msg.Release(); return nil }
func (nowhere) Close(context.Context)       {}
