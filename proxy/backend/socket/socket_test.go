package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
	"sidegate/proxy/wire"
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// peerVariable makes the test binary a peer that behaves as its value says.
const peerVariable = "SIDEGATE_TEST_PEER"

func TestMain(m *testing.M) {
	if behaviour, ok := os.LookupEnv(peerVariable); ok {
		servePeer(behaviour, os.Args[1], os.Args[2])
	}
	goleak.VerifyTestMain(m)
}

// servePeer listens and is the contract's peer on every connection, until its
// standard input ends. It says where it listens on standard output.
func servePeer(behaviour, network, address string) {
	var config net.ListenConfig
	if behaviour == contract.Deaf {
		config.Control = smallBuffers
	}
	ln, err := config.Listen(context.Background(), network, address)
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // it only ends
		os.Exit(0)
	}()
	for {
		c, err := ln.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer c.Close()
			contract.Serve(behaviour, c, c)
		}()
	}
}

// smallBuffers keeps the system from taking megabytes for a peer that does not
// read, as it does on TCP: they hold less than the gate writes at a time.
func smallBuffers(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10),
		)
	})
	return errors.Join(err, failed)
}

// startPeer starts a peer and returns its URL.
func startPeer(t *testing.T, behaviour, network, address string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, network, address)
	cmd.Env = append(os.Environ(), peerVariable+"="+behaviour, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	var where string
	if _, err := fmt.Fscanln(out, &where); err != nil {
		t.Fatal(err)
	}
	return network + "://" + where
}

// TestContract holds both kinds of socket to the contract. The peers are
// processes of their own: what is left over here is then the backend's.
func TestContract(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			urls := map[string]string{}
			for _, behaviour := range []string{contract.Echo, contract.Silent, contract.Deaf} {
				address := "127.0.0.1:0"
				if network == "unix" {
					address = filepath.Join(shortDir(t), "s")
				}
				urls[behaviour] = startPeer(t, behaviour, network, address)
			}
			contract.Run(t, func(t *testing.T, s contract.Settings) backend.Backend {
				b := newBackend(t, urls[s.Peer], func(c *Config) {
					c.MaxMessage = s.MaxMessage
					c.MaxQueue = s.MaxQueue
					c.Budget = s.Budget
				})
				if s.Peer == contract.Deaf {
					b.dialer.Control = smallBuffers
				}
				return b
			})
		})
	}
}

// shortDir is a directory whose sockets have a path that the system takes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newBackend(t testing.TB, url string, change ...func(*Config)) *Backend {
	t.Helper()
	config := Config{Name: "test", URL: url, StopTimeout: time.Second}
	for _, f := range change {
		f(&config)
	}
	b, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// listen is a peer in this process, of which each test does by itself what it
// is about.
func listen(t testing.TB, network string) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "sg")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		address = filepath.Join(dir, "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func urlOf(ln net.Listener) string { return ln.Addr().Network() + "://" + ln.Addr().String() }

// open connects to ln and returns both ends; the gate's ends with the test.
func open(t testing.TB, ln net.Listener, change ...func(*Config)) (*conn, *recorder, duplex) {
	t.Helper()
	r := newRecorder()
	c, err := newBackend(t, urlOf(ln), change...).Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	return c.(*conn), r, peer.(duplex)
}

// recorder is a receiver that keeps what it is told.
type recorder struct {
	messages chan string
	closed   chan error
}

func newRecorder() *recorder { return &recorder{make(chan string, 1000), make(chan error, 1)} }

func (r *recorder) Message(msg *wire.Buffer, _ *wire.Envelope) {
	r.messages <- string(msg.B)
	msg.Release()
}
func (r *recorder) TooLong([]byte, int64)        {}
func (r *recorder) Garbage(id []byte)            { r.messages <- fmt.Sprintf("garbage %s", id) }
func (r *recorder) Reply([]byte, *backend.Reply) {}
func (r *recorder) Closed(err error)             { r.closed <- err }

func (r *recorder) next(t testing.TB) string {
	t.Helper()
	select {
	case text := <-r.messages:
		return text
	case <-time.After(patience):
		t.Fatal("no message came")
		return ""
	}
}

func (r *recorder) end(t testing.TB) error {
	t.Helper()
	select {
	case err := <-r.closed:
		return err
	case <-time.After(patience):
		t.Fatal("Closed was not called")
		return nil
	}
}

// wantEnd wants the connection to have ended as how says, in an EndError.
func (r *recorder) wantEnd(t testing.TB, how string) {
	t.Helper()
	err := r.end(t)
	var end *EndError
	if !errors.As(err, &end) || end.How != how {
		t.Fatalf("Closed: %v, want that the tool server %s", err, how)
	}
	if want := fmt.Sprintf("the tool server %q %s", "test", how); !strings.HasPrefix(end.Brief(), want) || !strings.HasPrefix(end.Error(), end.Brief()+"; its own log says why") {
		t.Errorf("%s\n%s\nwant %s…", end.Brief(), end, want)
	}
}

func message(text string) *wire.Buffer {
	msg := wire.Acquire(len(text) + 1)
	msg.B = append(msg.B, text...)
	return msg
}

func TestNewRefuses(t *testing.T) {
	for _, url := range []string{"", "unix://", "unix://tool.sock", "unix:///a\x00b", "tcp://", "tcp://host", "tcp://host:http", "tcp://host:65536", "http://host:80"} {
		if _, err := New(Config{URL: url}); err == nil || !strings.Contains(err.Error(), "write unix:///PATH") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
