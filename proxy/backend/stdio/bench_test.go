package stdio

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
	"sidegate/proxy/wire"
)

// bench is a receiver that lets go of one caller for each message.
type bench struct {
	arrived chan struct{}
}

func (b *bench) Message(msg *wire.Buffer, _ *wire.Envelope) {
	msg.Release()
	b.arrived <- struct{}{}
}
func (b *bench) TooLong([]byte, int64)        {}
func (b *bench) Garbage([]byte)               {}
func (b *bench) Reply([]byte, *backend.Reply) {}
func (b *bench) Closed(error)                 { close(b.arrived) }

// answerOf is a message of size bytes.
func answerOf(size int) string {
	const frame = `{"jsonrpc":"2.0","id":1,"result":""}`
	return frame[:len(frame)-2] + strings.Repeat("x", max(0, size-len(frame))) + frame[len(frame)-2:]
}

// BenchmarkEcho is a message to the child and back, with so many on the way at
// a time. The child copies its input to its output.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{200, 5_000, 1_000_000, 16_000_000} {
		for _, callers := range []int{1, 32} {
			if size > 1_000_000 && callers > 1 {
				continue
			}
			b.Run(fmt.Sprintf("%dB/%d", size, callers), func(b *testing.B) {
				benchmarkEcho(b, size, callers)
			})
		}
	}
}

func benchmarkEcho(b *testing.B, size, callers int) {
	server := newBackend(b, "copy", func(c *Config) { c.MaxQueue = 64 << 20 })
	r := &bench{make(chan struct{}, callers)}
	conn, err := server.Open(context.Background(), r)
	if err != nil {
		b.Fatal(err)
	}
	text := answerOf(size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		r.arrived <- struct{}{}
	}
	for range b.N {
		<-r.arrived
		if err := conn.Send(contract.Message(text)); err != nil {
			b.Fatal(err)
		}
	}
	for range callers {
		<-r.arrived
	}
	b.StopTimer()
	conn.Close(context.Background())
}

// BenchmarkOpen is a child from its start to when nothing of it is left.
func BenchmarkOpen(b *testing.B) {
	server, err := New(Config{Command: []string{"cat"}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		conn, err := server.Open(context.Background(), contract.NewRecorder())
		if err != nil {
			b.Fatal(err)
		}
		conn.Close(context.Background())
	}
}
