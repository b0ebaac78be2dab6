package ws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fasthttp/websocket"
)

const (
	peerReadBuffer  = 4 << 10
	peerWriteBuffer = 64 << 10 // bytes of a frame at most; in memory that is pooled
	maxHandshake    = 64 << 10 // bytes of a server's answer to the handshake
)

// Target is where a client connects to.
type Target struct {
	URL    string        // ws://… or wss://…
	Header http.Header   // further lines of the request
	TLS    *tls.Config   // of wss; nil for the usual
	Ping   time.Duration // of silence, after which the server is asked for a sign of life, and given up after another
}

// Refused is the error of a server that has answered the handshake, and not by
// switching protocols.
type Refused struct {
	Status int
	Body   []byte // the beginning of it
}

func (r *Refused) Error() string {
	return fmt.Sprintf("it answered the WebSocket handshake with status %d (%s)", r.Status, http.StatusText(r.Status))
}

// frames is the pool of memory in which a client's frames are masked.
var frames sync.Pool

// Dial connects to a server and does the handshake; ctx bounds both. The server
// may speak the subprotocol, or none.
func Dial(ctx context.Context, t Target) (*Peer, error) {
	p := newPeer(t.Ping)
	stop := func() bool { return true }
	connect := func(ctx context.Context, secure bool, address string) (net.Conn, error) {
		socket, err := dial(ctx, secure, address, t.TLS)
		if err != nil {
			return nil, err
		}
		p.socket = socket
		stop = context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
		return &shaking{&p.out, socket, maxHandshake, p}, nil
	}
	dialer := websocket.Dialer{
		NetDialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return connect(ctx, false, address)
		},
		NetDialTLSContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return connect(ctx, true, address)
		},
		ReadBufferSize: peerReadBuffer, WriteBufferSize: peerWriteBuffer, WriteBufferPool: &frames,
		Subprotocols: []string{Subprotocol},
	}
	lib, response, err := dialer.DialContext(ctx, t.URL, t.Header)
	if err == nil {
		err = agreed(lib.Subprotocol(), response)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		p.Abort()
		return nil, explained(ctx, err, response)
	}
	lib.SetPingHandler(p.pinged)
	p.lib = lib
	return p, nil
}

// dial connects.
func dial(ctx context.Context, secure bool, address string, config *tls.Config) (net.Conn, error) {
	if secure {
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// agreed checks what the library leaves to its user.
func agreed(subprotocol string, response *http.Response) error {
	switch {
	case subprotocol != "" && subprotocol != Subprotocol:
		return fmt.Errorf("it speaks the subprotocol %q, and was offered %q", subprotocol, Subprotocol)
	case response.Header.Get("Sec-Websocket-Extensions") != "":
		return errors.New("it uses an extension that it was not offered")
	}
	return nil
}

// explained is the reason why there is no connection.
func explained(ctx context.Context, err error, response *http.Response) error {
	switch {
	case errors.Is(err, websocket.ErrBadHandshake) && response != nil && response.StatusCode != http.StatusSwitchingProtocols:
		body, _ := io.ReadAll(response.Body) // a kilobyte in memory
		return &Refused{response.StatusCode, body}
	case errors.Is(err, websocket.ErrBadHandshake):
		return errors.New("its answer to the WebSocket handshake is not a valid one")
	case ctx.Err() != nil:
		return fmt.Errorf("it did not answer in time: %w", context.Cause(ctx))
	}
	return err
}

// shaking is a connection during the handshake: the library writes to the
// socket itself, and reads a bounded answer. After it, it is the outlet.
type shaking struct {
	*outlet
	socket net.Conn
	left   int
	peer   *Peer
}

func (s *shaking) Read(p []byte) (int, error) {
	if s.peer.lib != nil {
		return s.outlet.Read(p)
	}
	n, err := s.socket.Read(p[:min(len(p), s.left)])
	if s.left -= n; s.left == 0 && err == nil {
		err = errors.New("its answer to the WebSocket handshake does not end")
	}
	return n, err
}

func (s *shaking) Write(p []byte) (int, error) {
	if s.peer.lib != nil {
		return s.outlet.Write(p)
	}
	return s.socket.Write(p)
}
