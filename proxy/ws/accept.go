package ws

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/fasthttp/websocket"
)

const (
	// readBuffer is kept by every connection, so it is the smallest that the
	// library takes from us; it holds a whole control frame. Large messages are
	// read past it, and a source that is asked for so little reads ahead.
	readBuffer = 257
	// headBuffer is all that a connection needs to write messages as they are:
	// the library puts a frame's head and one byte into it and takes the rest
	// from the message itself. What is written goes to the stream's batch, whose
	// memory is pooled.
	headBuffer = 1
	// deflateBuffer is the size of the frames of a compressed message, in
	// memory that is pooled.
	deflateBuffer = 4 << 10
)

// A Handshake is what a client's request asks for. That it is a proper one has
// been checked: here it could no longer be answered.
type Handshake struct {
	Key        string // Sec-WebSocket-Key
	Protocols  string // Sec-WebSocket-Protocol, all of it in one list
	Extensions string // Sec-WebSocket-Extensions, likewise
	Head       string // further lines of the answer's head, each ended by CRLF
}

var (
	plainly = websocket.Upgrader{
		WriteBufferSize: headBuffer, Subprotocols: []string{Subprotocol}, CheckOrigin: checkedBefore,
	}
	deflated = websocket.Upgrader{
		WriteBufferSize: deflateBuffer, WriteBufferPool: new(sync.Pool),
		Subprotocols: []string{Subprotocol}, CheckOrigin: checkedBefore, EnableCompression: true,
	}
)

// checkedBefore: the guard has judged Host and Origin before the request came
// here, and more strictly than the library would.
func checkedBefore(*http.Request) bool { return true }

// Accept makes the server's end of a connection from which source reads. head is
// the answer that has to be written to it before anything else. It fails where
// the request is no handshake.
func Accept(source io.Reader, h Handshake, o Options) (c *Conn, head []byte, err error) {
	c = &Conn{options: o}
	c.out.source = source
	c.in = bufio.NewReaderSize(&c.out, readBuffer)
	upgrader := &plainly
	if o.Compress && canDeflate(h.Extensions) {
		upgrader = &deflated
	}
	lib, err := upgrader.Upgrade(&hijack{conn: c}, request(h), nil)
	if err != nil {
		return nil, nil, err
	}
	lib.SetReadLimit(int64(o.MaxMessage))
	c.lib = lib
	head = c.out.take()
	c.out.limit = maxPending
	c.deflated = bytes.Contains(head, []byte("\r\nSec-WebSocket-Extensions: "))
	return c, append(head[:len(head)-len("\r\n")], h.Head+"\r\n"...), nil
}

// canDeflate tells whether a client's offer can be met. The library compresses
// with a window of 32 KiB and cannot be told to take a smaller one.
func canDeflate(extensions string) bool {
	return !strings.Contains(strings.ToLower(extensions), "server_max_window_bits")
}

// request is the handshake in the form that the library reads.
func request(h Handshake) *http.Request {
	header := http.Header{
		"Connection":            {"upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {h.Key},
	}
	if h.Protocols != "" {
		header.Set("Sec-Websocket-Protocol", h.Protocols)
	}
	if h.Extensions != "" {
		header.Set("Sec-Websocket-Extensions", h.Extensions)
	}
	return &http.Request{Method: http.MethodGet, Header: header}
}

// hijack is the response writer that the library takes the connection from. An
// answer other than the switch of protocols has nowhere to go.
type hijack struct {
	conn   *Conn
	header http.Header
}

func (h *hijack) Header() http.Header {
	if h.header == nil {
		h.header = http.Header{}
	}
	return h.header
}

func (h *hijack) Write(p []byte) (int, error) { return len(p), nil }
func (h *hijack) WriteHeader(int)             {}

// Hijack gives the outlet away. The library reads through the reader, and looks
// into the writer and does not use it.
func (h *hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	out := &h.conn.out
	return out, bufio.NewReadWriter(h.conn.in, bufio.NewWriterSize(out, 1)), nil
}

// farewell is err as the peer's goodbye, nil where it is something else.
func farewell(err error) error {
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code == websocket.CloseAbnormalClosure {
		return nil
	}
	return &Closed{closed.Code, closed.Text}
}

// tooBig tells whether err says that frames announce more than the limit.
func tooBig(err error) bool { return errors.Is(err, websocket.ErrReadLimit) }

// said tells whether err is that of a write after a goodbye.
func said(err error) bool { return errors.Is(err, websocket.ErrCloseSent) }

// plain is what the library found wrong, without its name.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "websocket: ") }
