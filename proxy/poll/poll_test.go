package poll

import (
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const patience = 20 * time.Second

func poller(t *testing.T) *Poller {
	t.Helper()
	p, err := New()
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// pair is a connection and its client's end.
func pair(t *testing.T) (server, client net.Conn, raw syscall.RawConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	if raw, err = server.(syscall.Conn).SyscallConn(); err != nil {
		t.Fatal(err)
	}
	return server, client, raw
}

func told(t *testing.T, ready chan struct{}, what string) {
	t.Helper()
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatalf("nobody was told of %s", what)
	}
}

func TestReady(t *testing.T) {
	p := poller(t)
	server, client, raw := pair(t)
	ready := make(chan struct{}, 8)
	w := &Watched{Ready: func() { ready <- struct{}{} }}
	watch := func() {
		t.Helper()
		if err := p.Watch(raw, w); err != nil {
			t.Fatal(err)
		}
	}
	watch()
	client.Write([]byte("a"))
	told(t, ready, "bytes that came")
	client.Write([]byte("b"))
	watch()
	told(t, ready, "bytes that were there")
	server.Read(make([]byte, 8))
	if len(ready) > 0 {
		t.Error("it was told more often than it had asked")
	}
	watch()
	client.Close()
	told(t, ready, "the client's end")
}

// TestDescriptorUsedAgain: who has a descriptor is not told what came for who
// had it before.
func TestDescriptorUsedAgain(t *testing.T) {
	p := poller(t)
	for range 50 {
		server, client, raw := pair(t)
		ready := make(chan struct{}, 8)
		w := &Watched{Ready: func() { ready <- struct{}{} }}
		if err := p.Watch(raw, w); err != nil {
			t.Fatal(err)
		}
		client.Write([]byte("a"))
		told(t, ready, "bytes that came")
		server.Close()
		p.Forget(w)
		if err := p.Watch(raw, w); err == nil {
			t.Fatal("a closed connection was watched")
		}
		client.Close()
	}
}

// TestOneGoroutine: a thousand connections have one goroutine.
func TestOneGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	p := poller(t)
	const many = 1000
	var count atomic.Int64
	all := make(chan struct{})
	clients := make([]net.Conn, many)
	for i := range clients {
		_, client, raw := pair(t)
		clients[i] = client
		if err := p.Watch(raw, &Watched{Ready: func() {
			if count.Add(1) == many {
				close(all)
			}
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := runtime.NumGoroutine() - before; n > 1 {
		t.Errorf("%d connections have %d goroutines", many, n)
	}
	for _, client := range clients {
		client.Write([]byte("a"))
	}
	told(t, all, "all of them")
}
