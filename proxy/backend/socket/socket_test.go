package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
)

func TestMain(m *testing.M) {
	if behaviour, ok := os.LookupEnv(contract.PeerVariable); ok {
		servePeer(behaviour, os.Args[1], os.Args[2])
	}
	goleak.VerifyTestMain(m)
}

// servePeer listens and is the contract's peer on every connection.
func servePeer(behaviour, network, address string) {
	var config net.ListenConfig
	if behaviour == contract.Deaf {
		config.Control = smallBuffers
	}
	ln := contract.Listen(config, network, address)
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
				urls[behaviour] = network + "://" + contract.StartPeer(t, behaviour, network, address)
			}
			contract.Run(t, func(t *testing.T, s contract.Settings) backend.Backend {
				b := newBackend(t, urls[s.Peer], func(c *Config) {
					c.MaxMessage = s.MaxMessage
					c.MaxQueue = s.MaxQueue
					c.Budget = s.Budget
					c.StopTimeout = s.StopTimeout
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
func shortDir(t testing.TB) string {
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
		address = filepath.Join(shortDir(t), "s")
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
func open(t testing.TB, ln net.Listener, change ...func(*Config)) (backend.Conn, *contract.Recorder, duplex) {
	t.Helper()
	r := contract.NewRecorder()
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
	return c, r, peer.(duplex)
}

// wantEnd wants the connection to have ended as how says, in an EndError.
func wantEnd(t testing.TB, r *contract.Recorder, how string) {
	t.Helper()
	err := r.End(t)
	var end *EndError
	if !errors.As(err, &end) || end.How != how {
		t.Fatalf("Closed: %v, want that the tool server %s", err, how)
	}
	if want := fmt.Sprintf("the tool server %q %s", "test", how); !strings.HasPrefix(end.Brief(), want) || !strings.HasPrefix(end.Error(), end.Brief()+"; its own log says why") {
		t.Errorf("%s\n%s\nwant %s…", end.Brief(), end, want)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, url := range []string{"", "unix://", "unix://tool.sock", "unix:///a\x00b", "tcp://", "tcp://host", "tcp://host:http", "tcp://host:65536", "http://host:80"} {
		if _, err := New(Config{URL: url}); err == nil || !strings.Contains(err.Error(), "write unix:///PATH") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
