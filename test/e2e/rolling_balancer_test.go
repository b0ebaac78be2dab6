package e2e

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// A balancer is a plain one of TCP connections in front of two gates: it asks
// each for /readyz all the while, and leads a client, which it knows by its
// address, to the same gate as long as that is ready.
type balancer struct {
	listener net.Listener
	running  sync.WaitGroup
	stopped  chan struct{}

	mu    sync.Mutex
	gates [2]*harness.Gate
	ready [2]bool
	of    map[string]int // which gate a client's address is led to
	conns map[net.Conn]struct{}
}

const pollEvery = 50 * time.Millisecond

func startBalancer(t *testing.T) *balancer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: ln, stopped: make(chan struct{}), of: map[string]int{}, conns: map[net.Conn]struct{}{}}
	b.running.Go(b.accept)
	for slot := range b.gates {
		b.running.Go(func() { b.poll(slot) })
	}
	t.Cleanup(b.stop)
	return b
}

// stop ends all connections.
func (b *balancer) stop() {
	close(b.stopped)
	b.listener.Close()
	b.mu.Lock()
	for c := range b.conns {
		c.Close()
	}
	b.mu.Unlock()
	b.running.Wait()
}

// use puts a gate into a slot and waits until clients may be led to it.
func (b *balancer) use(t *testing.T, slot int, g *harness.Gate) {
	t.Helper()
	b.mu.Lock()
	b.gates[slot] = g
	b.mu.Unlock()
	harness.Eventually(t, "the balancer finds the gate ready", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.ready[slot]
	})
}

func (b *balancer) poll(slot int) {
	client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.stopped:
			return
		case <-tick.C:
		}
		b.mu.Lock()
		g := b.gates[slot]
		b.mu.Unlock()
		if g == nil {
			continue
		}
		resp, err := client.Get("http://" + g.Admin + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		b.mu.Lock()
		b.ready[slot] = err == nil && resp.StatusCode == http.StatusOK && b.gates[slot] == g
		b.mu.Unlock()
	}
}

func (b *balancer) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() { b.serve(c.(*net.TCPConn)) })
	}
}

// serve joins a client's connection with one to its gate. One that is refused
// there is led to the other, as nothing has been sent yet.
func (b *balancer) serve(client *net.TCPConn) {
	defer b.forget(client)
	host, _, _ := net.SplitHostPort(client.RemoteAddr().String())
	for range 2 {
		slot, addr := b.choose(host)
		if slot < 0 {
			break
		}
		gate, err := net.DialTimeout("tcp", addr, harness.Patience)
		if err == nil {
			defer b.forget(gate)
			if b.note(client) && b.note(gate) {
				splice(client, gate.(*net.TCPConn))
			}
			return
		}
		b.mu.Lock()
		b.ready[slot] = false
		b.mu.Unlock()
	}
}

// choose says where a client is led to: where it was, if that is ready.
func (b *balancer) choose(host string) (slot int, addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot, known := b.of[host]
	if !known {
		slot = len(b.of) % len(b.gates)
	}
	if !b.ready[slot] {
		slot = 1 - slot
	}
	if !b.ready[slot] {
		return -1, ""
	}
	b.of[host] = slot
	return slot, b.gates[slot].Addr
}

func (b *balancer) note(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.stopped:
		return false
	default:
	}
	b.conns[c] = struct{}{}
	return true
}

func (b *balancer) forget(c net.Conn) {
	c.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, c)
}

// splice carries bytes both ways until both ends have said that they are done.
func splice(a, b *net.TCPConn) {
	var carrying sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{a, b}, {b, a}} {
		carrying.Go(func() {
			if _, err := io.Copy(way[0], way[1]); err != nil {
				a.Close() // a reset on one side is one on the other
				b.Close()
				return
			}
			way[0].CloseWrite()
		})
	}
	carrying.Wait()
}
