package clients

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"regexp"
	"sync"
	"testing"
)

// A relay is a TCP hop between a client and the gate, whose connections can be
// cut as a network would cut them. It keeps what clients sent.
type relay struct {
	URL string // of the gate, by way of the relay

	listener net.Listener
	target   string
	copies   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // open, both sides
	sent  bytes.Buffer      // what clients sent, of all connections, at most sentLimit
}

// sentLimit is how much of what clients sent is kept, in bytes.
const sentLimit = 1 << 20

// newRelay relays to the gate at address until the test ends.
func newRelay(t *testing.T, address string) *relay {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, target: target.Host, conns: map[net.Conn]bool{}}
	target.Host = listener.Addr().String()
	r.URL = target.String()
	r.copies.Go(r.accept)
	t.Cleanup(func() {
		_ = listener.Close() // there is nothing to lose with it
		r.Cut()
		r.copies.Wait()
	})
	return r
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed: the test is over
		}
		server, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = client.Close() // the client sees that there is no gate
			continue
		}
		r.mu.Lock()
		r.conns[client], r.conns[server] = true, true
		r.mu.Unlock()
		r.copies.Go(func() { r.copy(server, io.TeeReader(client, recorder{r}), client) })
		r.copies.Go(func() { r.copy(client, server, server) })
	}
}

// copy moves bytes one way until either side ends, and ends both.
func (r *relay) copy(to net.Conn, from io.Reader, source net.Conn) {
	_, _ = io.Copy(to, from) // how it ended does not matter here
	_ = to.Close()
	_ = source.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, to)
	delete(r.conns, source)
}

// Cut resets every connection that is open, and returns how many bytes clients
// had sent until then. New connections are relayed as before.
func (r *relay) Cut() (mark int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an orderly end
		}
		_ = conn.Close()
	}
	return r.sent.Len()
}

var lastEventID = regexp.MustCompile(`(?im)^last-event-id: *(\S+)\r$`)

// Resumed returns the Last-Event-ID headers that clients sent since mark.
func (r *relay) Resumed(mark int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for _, match := range lastEventID.FindAllSubmatch(r.sent.Bytes()[mark:], -1) {
		ids = append(ids, string(match[1]))
	}
	return ids
}

// A recorder writes to what its relay keeps.
type recorder struct{ r *relay }

func (w recorder) Write(p []byte) (int, error) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	room := max(0, sentLimit-w.r.sent.Len())
	w.r.sent.Write(p[:min(room, len(p))])
	return len(p), nil
}
