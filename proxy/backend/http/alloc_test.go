//go:build !race

// The race detector allocates.

package http

import (
	"context"
	"fmt"
	"testing"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// TestAllocations: a call over a connection of the pool, legacy and modern, and
// its answer as JSON and as an event.
func TestAllocations(t *testing.T) {
	event := "event: message\ndata: " + answerOf(200) + "\n\n"
	for kind, response := range map[string]string{
		"json": jsonResponse(answerOf(200)),
		"sse":  fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(event), event),
	} {
		testAllocations(t, kind, "", response)
		testAllocations(t, kind+", modern", ofModern, response)
	}
}

func testAllocations(t *testing.T, name, header, response string) {
	t.Run(name, func(t *testing.T) {
		text, header := request(200), []byte(header)
		b := newBackend(t, canned(t, requestSize(t, text)+len(header)+len("Via: 1.1 me\r\n"), response), func(c *Config) { c.Via = "me" })
		r := &bench{make(chan struct{}, 1)}
		c, err := b.Open(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		per := testing.AllocsPerRun(1000, func() {
			msg := wire.Acquire(len(text))
			msg.B = append(msg.B, text...)
			if err := c.(backend.Forwarder).SendWith(msg, header); err != nil {
				t.Fatal(err)
			}
			<-r.arrived
		})
		if per > 0 {
			t.Errorf("%v allocations for a call and its answer", per)
		}
	})
}
