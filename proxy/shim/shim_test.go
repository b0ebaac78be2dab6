package shim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/stdio"
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A running is a server with what ends it.
type running struct {
	server *Server
	path   string
	drain  context.CancelFunc
	ended  chan error
}

// start runs a server in front of a shell's script, and ends it with the test.
func start(t *testing.T, script string, change ...func(*Options)) *running {
	t.Helper()
	dir, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	options := Options{
		AllowUIDs: []uint32{uint32(os.Getuid())}, MaxConnections: 10, MaxMessage: 1 << 20, MaxQueue: 64 << 10,
		StopTimeout: 100 * time.Millisecond, Grace: patience, Log: zap.NewNop(),
	}
	options.Backend, err = stdio.New(stdio.Config{Command: []string{"sh", "-c", script}, MaxMessage: options.MaxMessage, MaxQueue: options.MaxQueue, StopTimeout: options.StopTimeout})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&options)
	}
	r := &running{server: New(options), path: filepath.Join(dir, "s"), ended: make(chan error, 1)}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.drain = cancel
	var serving sync.WaitGroup
	serving.Go(func() { r.ended <- r.server.Run(ctx, ln) })
	t.Cleanup(func() {
		cancel()
		r.server.Kill()
		serving.Wait()
	})
	return r
}

func (r *running) dial(t *testing.T) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.UnixConn)
}

func (r *running) end(t *testing.T) error {
	t.Helper()
	r.drain()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the server did not end")
		return nil
	}
}

// TestPeerThatDoesNotRead: a connection whose peer takes nothing ends all the
// same, and so does its child, which waits to be read.
func TestPeerThatDoesNotRead(t *testing.T) {
	const flood = `while :; do echo '{"jsonrpc":"2.0","method":"flood","params":["0123456789012345678901234567890123456789"]}'; done`
	r := start(t, flood)
	c := r.dial(t)
	if _, err := c.Read(make([]byte, 1)); err != nil { // the child has begun
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := r.end(t); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestChildThatDoesNotRead: what cannot be passed on is waited for, and the end
// of the connection ends the wait.
func TestChildThatDoesNotRead(t *testing.T) {
	r := start(t, `exec sleep 1000`)
	c := r.dial(t)
	line := `{"jsonrpc":"2.0","method":"x","params":["` + strings.Repeat("p", 10_000) + `"]}` + "\n"
	_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	written := 0
	for {
		n, err := io.WriteString(c, line)
		written += n
		if err != nil {
			break
		}
	}
	if written > 8<<20 {
		t.Errorf("%d bytes were taken for a child that reads none", written)
	}
	_ = c.Close()
	if err := r.end(t); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestMessageThatHasGrown: a client's message that is as long as may be, and to
// which the gate has added what it adds, ends no connection.
func TestMessageThatHasGrown(t *testing.T) {
	r := start(t, `n=$(head -n 1 | wc -c); echo "{\"jsonrpc\":\"2.0\",\"method\":\"got\",\"params\":[$n]}"; cat >/dev/null`)
	c := r.dial(t)
	const frame = `{"jsonrpc":"2.0","id":18446744073709551615,"method":"x","params":[""]}`
	size := 1<<20 + added
	line := frame[:len(frame)-3] + strings.Repeat("p", size-len(frame)) + frame[len(frame)-3:] + "\n"
	if _, err := io.WriteString(c, line); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(got, fmt.Sprintf(`[%d]`, size+1)) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestGrace: a call that is still in flight when the grace has run out is cut
// and told of; one that was answered is not.
func TestGrace(t *testing.T) {
	for script, want := range map[string]error{
		`read line; echo up; exec sleep 1000`:                                                       ErrGrace,
		`read line; echo '{"jsonrpc":"2.0","id":1,"result":{}}'; echo up; exec sleep 1000`:          nil,
		`read line; echo '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}'; echo up; cat`:  nil,
		`read line; echo '{"jsonrpc":"2.0","id":1,"result":{},}'; echo up; exec sleep 1000`:         nil, // answered in its stead
		`read line; echo '{"jsonrpc":"2.0","id":2,"result":{}}'; echo up; exec sleep 1000 # not it`: ErrGrace,
	} {
		seen := &watched{up: make(chan struct{})}
		r := start(t, script, func(o *Options) {
			o.Grace = 300 * time.Millisecond
			o.Backend = watching{o.Backend, seen}
		})
		c := r.dial(t)
		if _, err := fmt.Fprintln(c, `{"jsonrpc":"2.0","id":1,"method":"x"}`); err != nil {
			t.Fatal(err)
		}
		select {
		case <-seen.up:
		case <-time.After(patience):
			t.Fatal("the child did not say that it is up")
		}
		if err := r.end(t); !errors.Is(err, want) {
			t.Errorf("%s: Run: %v, want %v", script, err, want)
		}
	}
}

// watching is a backend that tells when its child has said something that is
// no message.
type watching struct {
	backend.Backend
	*watched
}

type watched struct{ up chan struct{} }

func (w watching) Open(ctx context.Context, r backend.Receiver) (backend.Conn, error) {
	return w.Backend.Open(ctx, listening{r, w.watched})
}

type listening struct {
	backend.Receiver
	*watched
}

func (l listening) Garbage(id []byte) {
	l.Receiver.Garbage(id)
	if id == nil {
		close(l.up)
	}
}

// TestStartFails: the connection is closed, and the others go on.
func TestStartFails(t *testing.T) {
	r := start(t, `echo '{"jsonrpc":"2.0","method":"up"}'; cat`, func(o *Options) { o.Backend = &failsOnce{Backend: o.Backend} })
	if said, err := io.ReadAll(r.dial(t)); err != nil || !strings.Contains(string(said), `"message":"a connection was closed, since its tool server could not be started`) {
		t.Errorf("the first: %q, %v, want the reason and the end", said, err)
	}
	if line, err := bufio.NewReader(r.dial(t)).ReadString('\n'); err != nil {
		t.Errorf("the second: %q, %v", line, err)
	}
	if err := r.end(t); err != nil {
		t.Errorf("Run: %v", err)
	}
}

type failsOnce struct {
	backend.Backend
	once sync.Once
}

func (f *failsOnce) Open(ctx context.Context, r backend.Receiver) (backend.Conn, error) {
	var err error
	f.once.Do(func() { err = errors.New("no process is free") })
	if err != nil {
		return nil, err
	}
	return f.Backend.Open(ctx, r)
}

// pairOf is a pair without its server's Run, and the peer's end of it.
func pairOf(t *testing.T, s *Server) (*pair, *net.UnixConn) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := ln.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close(); c.Close() })
	return newPair(s, c), peer.(*net.UnixConn)
}

// TestNoChildForALook: a peer that ends without a word costs no process; one
// that speaks, or stays, gets its child, and what it has said is there.
func TestNoChildForALook(t *testing.T) {
	s := New(Options{Backend: &failsOnce{}, MaxConnections: 1, Log: zap.NewNop()}) // a child that cannot be started, of which the peer would hear

	p, peer := pairOf(t, s)
	s.slots.TryAcquire()
	_ = peer.CloseWrite()
	p.run()
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a peer that only looked gets %v", err)
	}

	p, peer = pairOf(t, s)
	if _, err := io.WriteString(peer, "x"); err != nil {
		t.Fatal(err)
	}
	_ = peer.CloseWrite()
	if !p.stays() {
		t.Error("a peer that has spoken gets no child")
	}
	if said, err := io.ReadAll(p.peer); string(said) != "x" {
		t.Errorf("of what it has said there is %q, %v", said, err)
	}

	p, _ = pairOf(t, s)
	if !p.stays() {
		t.Error("a peer that stays gets no child")
	}
	close(s.draining)
	if p.stays() {
		t.Error("a peer that says nothing gets a child while the shim drains")
	}
	s.kill()
}
