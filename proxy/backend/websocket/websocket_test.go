package websocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	library "github.com/fasthttp/websocket"
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
		servePeer(behaviour)
	}
	goleak.VerifyTestMain(m)
}

// servePeer listens and is the contract's peer on every connection, until its
// standard input ends. It says where it listens on standard output.
func servePeer(behaviour string) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			if behaviour == contract.Deaf { // the systems at both ends are not to hold a message for it
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10)
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1000)
			}
		})
	}}
	ln, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // it only ends
		os.Exit(0)
	}()
	panic(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := library.Upgrader{Subprotocols: []string{"mcp"}}
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		if behaviour == contract.Deaf {
			time.Sleep(time.Hour)
		}
		cut := contract.ServeMessages(behaviour, func() ([]byte, error) {
			kind, msg, err := c.ReadMessage()
			if err == nil && kind != library.TextMessage {
				err = errors.New("not text")
			}
			return msg, err
		}, func(msg []byte) error {
			if msg == nil {
				return c.NetConn().(*net.TCPConn).CloseWrite()
			}
			return c.WriteMessage(library.TextMessage, msg)
		})
		if cut != nil {
			_, _ = c.NetConn().Write(append([]byte{0x81, byte(len(cut))}, cut[:len(cut)/2]...))
		}
	})))
}

// startPeer starts a peer and returns its URL.
func startPeer(t *testing.T, behaviour string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
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
	return "ws://" + where + "/mcp"
}

// TestContract: the peers are processes of their own, so that what is left over
// here is the backend's.
func TestContract(t *testing.T) {
	urls := map[string]string{}
	for _, behaviour := range []string{contract.Echo, contract.Silent, contract.Deaf} {
		urls[behaviour] = startPeer(t, behaviour)
	}
	contract.Run(t, func(t *testing.T, s contract.Settings) backend.Backend {
		return newBackend(t, urls[s.Peer], func(c *Config) {
			c.MaxMessage = s.MaxMessage
			c.MaxQueue = s.MaxQueue
			c.Budget = s.Budget
		})
	}, contract.Framed)
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
func (r *recorder) TooLong(id []byte, _ int64)   { r.messages <- fmt.Sprintf("too long %s", id) }
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
