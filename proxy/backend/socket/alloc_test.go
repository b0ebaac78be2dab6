//go:build !race

// The race detector allocates.

package socket

import (
	"context"
	"io"
	"sync"
	"testing"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
	"sidegate/proxy/wire"
)

// ticker is a receiver that lets go of one caller for each message.
type ticker struct{ arrived chan struct{} }

func (r ticker) Message(msg *wire.Buffer, _ *wire.Envelope) {
	msg.Release()
	r.arrived <- struct{}{}
}
func (r ticker) TooLong([]byte, int64)        {}
func (r ticker) Garbage([]byte)               {}
func (r ticker) Reply([]byte, *backend.Reply) {}
func (r ticker) Closed(error)                 { close(r.arrived) }

// copying connects to a peer that sends back what it gets.
func copying(t testing.TB, r backend.Receiver) backend.Conn {
	t.Helper()
	ln := listen(t, "unix")
	var serving sync.WaitGroup
	serving.Go(func() {
		peer, err := ln.Accept()
		if err != nil {
			return
		}
		defer peer.Close()
		_, _ = io.CopyBuffer(struct{ io.Writer }{peer}, struct{ io.Reader }{peer}, make([]byte, 64<<10))
	})
	c, err := newBackend(t, urlOf(ln)).Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close(context.Background())
		serving.Wait()
	})
	return c
}

// TestAllocations: a small message to the server and back.
func TestAllocations(t *testing.T) {
	r := ticker{make(chan struct{}, 1)}
	c := copying(t, r)
	per := testing.AllocsPerRun(1000, func() {
		if err := c.Send(contract.Message(answer)); err != nil {
			t.Fatal(err)
		}
		<-r.arrived
	})
	if per > 0 {
		t.Errorf("%v allocations for a message there and back", per)
	}
}

// BenchmarkEcho is a message to the server and back, with 32 on the way.
func BenchmarkEcho(b *testing.B) {
	const callers = 32
	r := ticker{make(chan struct{}, callers)}
	c := copying(b, r)
	b.ReportAllocs()
	for range callers {
		r.arrived <- struct{}{}
	}
	for b.Loop() {
		<-r.arrived
		if err := c.Send(contract.Message(answer)); err != nil {
			b.Fatal(err)
		}
	}
	for range callers {
		<-r.arrived
	}
}
