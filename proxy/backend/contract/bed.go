package contract

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// Patience is how long a test waits for what must happen. Nothing is asserted
// about how quickly it does.
const Patience = 60 * time.Second

// Eventually waits for what must become true.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// Message is text as a message to be sent, with room for a newline.
func Message(text string) *wire.Buffer {
	msg := wire.Acquire(len(text) + 1)
	msg.B = append(msg.B, text...)
	return msg
}

// Recorder is a receiver that keeps what it is told, as text, for a backend's
// own tests.
type Recorder struct {
	Events chan string // messages as they are; all else in words
	Ended  chan error  // what Closed was called with
}

var _ backend.Receiver = (*Recorder)(nil)

// NewRecorder makes a Recorder that has room for a thousand events.
func NewRecorder() *Recorder { return &Recorder{make(chan string, 1000), make(chan error, 1)} }

// Message keeps a message.
func (r *Recorder) Message(msg *wire.Buffer, _ *wire.Envelope) {
	r.Events <- string(msg.B)
	msg.Release()
}

// TooLong keeps "too long" and the id.
func (r *Recorder) TooLong(id []byte, _ int64) { r.Events <- fmt.Sprintf("too long %s", id) }

// Garbage keeps "garbage" and the id.
func (r *Recorder) Garbage(id []byte) { r.Events <- fmt.Sprintf("garbage %s", id) }

// Reply keeps "reply", the id, the status, and between bars all else.
func (r *Recorder) Reply(id []byte, reply *backend.Reply) {
	r.Events <- fmt.Sprintf("reply %s %d %s|%s|%s|%s", id, reply.Status, reply.Type, reply.Header, reply.Body, reply.Reason)
}

// Closed keeps the end.
func (r *Recorder) Closed(err error) { r.Ended <- err }

// Next waits for the next event.
func (r *Recorder) Next(t testing.TB) string {
	t.Helper()
	select {
	case text := <-r.Events:
		return text
	case <-time.After(Patience):
		t.Fatal("nothing came from the connection")
		return ""
	}
}

// Want waits for the next event, and wants all of these words in it.
func (r *Recorder) Want(t testing.TB, words ...string) string {
	t.Helper()
	got := r.Next(t)
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Fatalf("got %s, want %q in it", got, w)
		}
	}
	return got
}

// End waits for the end and returns what was said about it.
func (r *Recorder) End(t testing.TB) error {
	t.Helper()
	select {
	case err := <-r.Ended:
		return err
	case <-time.After(Patience):
		t.Fatal("Closed was not called")
		return nil
	}
}

// PeerVariable makes a test binary a peer that behaves as its value says; its
// TestMain sees to that.
const PeerVariable = "SIDEGATE_TEST_PEER"

// StartPeer starts the test binary as a peer, until the test's end, and returns
// where it listens. What is left over in the test's process is then the
// backend's.
func StartPeer(t testing.TB, behaviour string, args ...string) (address string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	// One with the race detector would otherwise sleep for a second before it exits.
	cmd.Env = append(os.Environ(), PeerVariable+"="+behaviour, "GORACE=atexit_sleep_ms=0")
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
	if _, err := fmt.Fscanln(out, &address); err != nil {
		t.Fatal(err)
	}
	return address
}

// Listen is for the process that StartPeer has started: it listens, says so,
// and ends the process when the test ends.
func Listen(config net.ListenConfig, network, address string) net.Listener {
	ln, err := config.Listen(context.Background(), network, address)
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // it only ends
		os.Exit(0)
	}()
	return ln
}
