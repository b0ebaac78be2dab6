//go:build !race

// The race detector allocates.

package stdio

import (
	"context"
	"testing"

	"sidegate/proxy/backend/contract"
)

// TestAllocations: a small message to the child and back.
func TestAllocations(t *testing.T) {
	b := newBackend(t, "copy")
	r := &bench{make(chan struct{}, 1)}
	c, err := b.Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	text := answerOf(200)
	per := testing.AllocsPerRun(1000, func() {
		if err := c.Send(contract.Message(text)); err != nil {
			t.Fatal(err)
		}
		<-r.arrived
	})
	if per > 0 {
		t.Errorf("%v allocations for a message there and back", per)
	}
}
