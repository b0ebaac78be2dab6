package stream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"sidegate/proxy/poll"
)

// ways are the ways in which a socket waits: with the system's help, where there
// is some, without, and where the system has no room for another one.
func ways(t *testing.T, test func(t *testing.T, server *Socket, client net.Conn)) {
	for _, way := range []string{"watched", "with a goroutine", "without room"} {
		t.Run(way, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			accepted, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			server := NewSocket(accepted, func() {})
			defer server.Close()
			if way != "with a goroutine" {
				p, err := poll.New()
				if err != nil {
					t.Skip(err)
				}
				defer p.Close()
				server.watchWith(p)
				if way == "without room" {
					p.Close() // Watch fails
				}
			}
			test(t, server, client)
		})
	}
}

// ready waits with Ready for at most d, and does meanwhile.
func ready(t *testing.T, s *Socket, d time.Duration, meanwhile func()) error {
	t.Helper()
	ended := make(chan error, 2)
	s.Ready(d, func(err error) { ended <- err })
	meanwhile()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the wait does not end")
		return nil
	}
}

func nothing() {}

func TestReady(t *testing.T) {
	ways(t, func(t *testing.T, server *Socket, client net.Conn) {
		for _, text := range []string{"first", "second"} {
			if err := ready(t, server, time.Hour, func() { client.Write([]byte(text)) }); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(text))
			if _, err := io.ReadFull(server, got); err != nil || string(got) != text {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if err := ready(t, server, time.Millisecond, nothing); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a wait that is over ends with %v", err)
		}
		if err := ready(t, server, time.Hour, server.Nudge); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a wait that was ended ends with %v", err)
		}
		if err := ready(t, server, time.Hour, func() { client.Close() }); !errors.Is(err, io.EOF) {
			t.Errorf("a client that leaves ends a wait with %v", err)
		}
	})
}

func TestReadyOfAClosedSocket(t *testing.T) {
	ways(t, func(t *testing.T, server *Socket, _ net.Conn) {
		if err := ready(t, server, time.Hour, func() { server.Close() }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closing ends a wait with %v", err)
		}
		if err := ready(t, server, time.Hour, nothing); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a wait for a closed socket ends with %v", err)
		}
	})
}

// TestNudgeMeetsNothing: a wait ends though somebody looks at the same moment for
// what is not there.
func TestNudgeMeetsNothing(t *testing.T) {
	ways(t, func(t *testing.T, server *Socket, _ net.Conn) {
		looks := 4
		if server.quiet == nil {
			looks = 0 // nobody can: the goroutine reads
		}
		for i := range 2000 {
			var looking sync.WaitGroup
			err := ready(t, server, time.Hour, func() {
				for range looks {
					looking.Go(server.quiet.readable)
				}
				time.Sleep(time.Duration(i%20) * time.Microsecond)
				server.Nudge()
			})
			if looking.Wait(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("a wait that was ended ends with %v", err)
			}
		}
	})
}
