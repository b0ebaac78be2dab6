package websocket

import (
	"runtime"
	"testing"
	"time"
)

// TestIdleMemory: a connection on which nothing is said costs little: what is
// left of it when its client has gone, and its session has not, is not counted.
func TestIdleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it opens a thousand connections")
	}
	if raceEnabled {
		t.Skip("the race detector keeps memory of its own for every goroutine")
	}
	const connections, most = 1000, 8 << 10 // bytes
	b := newBed(t, nil)
	clients := make([]*client, connections)
	for i := range clients {
		clients[i] = b.session()
	}
	with := b.memory()
	for _, c := range clients {
		_ = c.Close()
	}
	b.eventually("all connections are gone", func() bool { return b.sockets() == 0 })
	without := b.memory()
	runtime.KeepAlive(clients) // they count in both
	each := (with - without) / connections
	t.Logf("%d bytes for each connection", each)
	if each > most {
		t.Errorf("%d bytes for each connection, want at most %d", each, most)
	}
}

// memory is what the heap and the stacks hold. Stacks shrink with a collection,
// not always with the first.
func (b *bed) memory() int {
	for range 5 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}
