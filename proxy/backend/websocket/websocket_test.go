package websocket

import (
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	library "github.com/fasthttp/websocket"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
)

func TestMain(m *testing.M) {
	if behaviour, ok := os.LookupEnv(contract.PeerVariable); ok {
		servePeer(behaviour)
	}
	goleak.VerifyTestMain(m)
}

// servePeer listens and is the contract's peer on every connection.
func servePeer(behaviour string) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			if behaviour == contract.Deaf { // the systems at both ends are not to hold a message for it
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10)
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1000)
			}
		})
	}}
	ln := contract.Listen(config, "tcp", "127.0.0.1:0")
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

// TestContract: the peers are processes of their own, so that what is left over
// here is the backend's.
func TestContract(t *testing.T) {
	urls := map[string]string{}
	for _, behaviour := range []string{contract.Echo, contract.Silent, contract.Deaf} {
		urls[behaviour] = "ws://" + contract.StartPeer(t, behaviour) + "/mcp"
	}
	contract.Run(t, func(t *testing.T, s contract.Settings) backend.Backend {
		return newBackend(t, urls[s.Peer], func(c *Config) {
			c.MaxMessage = s.MaxMessage
			c.MaxQueue = s.MaxQueue
			c.Budget = s.Budget
			c.StopTimeout = s.StopTimeout
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
