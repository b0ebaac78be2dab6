package websocket

import (
	"errors"
	"fmt"
	"io"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/lines"
	"sidegate/proxy/wire"
	"sidegate/proxy/ws"
)

// transport is a connection to a server whose name is for its end. Close of the
// peer says goodbye, which ends the sending direction.
type transport struct {
	*ws.Peer
	server string
}

func start(b *Backend, peer *ws.Peer, r backend.Receiver) *lines.Conn {
	config := &b.config
	return lines.Start(transport{peer, b.String()}, receiver{r, peer}, lines.ConnOptions{
		Options:  lines.Options{MaxMessage: config.MaxMessage, Budget: config.Budget, Log: b.log, Sender: "the tool server"},
		MaxQueue: config.MaxQueue, StopTimeout: config.StopTimeout,
	})
}

// Write writes messages. After a goodbye that it fails is no news: the reader
// knows whose it was.
func (t transport) Write(p []byte) (int, error) {
	n, err := t.Peer.Write(p)
	if errors.Is(err, ws.ErrGoodbye) {
		err = backend.ErrClosed
	}
	return n, err
}

// Cut ends the connection, with a read and a write that wait. The last frame is
// let out first, where there is one: the answer to a goodbye, or what was wrong.
// It is short, and most often out by now.
func (t transport) Cut(heard error) {
	var said *ws.Closed
	var fault *ws.Fault
	if errors.As(heard, &said) || errors.As(heard, &fault) {
		t.Part(partingTime)
	}
	t.Abort()
}

// partingTime bounds the writing of the last frame.
const partingTime = time.Second

// Explain makes an EndError.
func (t transport) Explain(e lines.End) error {
	how, words := how(e.Err)
	return &EndError{t.server, how, words, e.After}
}

// receiver is one that hears nothing of a message which the end of the
// connection has cut, for it never was one, and of the end once the peer's own
// goroutines are gone.
type receiver struct {
	backend.Receiver
	peer *ws.Peer
}

func (r receiver) Message(msg *wire.Buffer, env *wire.Envelope) {
	if r.peer.Cut() {
		msg.Release()
		return
	}
	r.Receiver.Message(msg, env)
}

func (r receiver) Garbage(id []byte) {
	if !r.peer.Cut() {
		r.Receiver.Garbage(id)
	}
}

func (r receiver) Closed(err error) {
	r.peer.Wait()
	r.Receiver.Closed(err)
}

// how words the end of a connection; words are the server's own.
func how(err error) (how, words string) {
	var said *ws.Closed
	var fault *ws.Fault
	switch {
	case errors.As(err, &said):
		return (&ws.Closed{Code: said.Code}).Error(), said.Reason
	case errors.As(err, &fault):
		return fault.Text, ""
	case errors.Is(err, ws.ErrDead):
		return "cannot be reached any more: it does not answer pings", ""
	case errors.Is(err, io.EOF):
		return "broke the connection off without a goodbye", ""
	}
	return fmt.Sprintf("broke the connection off (%v)", err), ""
}

// EndError is what a Receiver's Closed gets when a connection ended that its
// owner did not close.
type EndError struct {
	Server string        // name of the backend
	How    string        // completes "the tool server …"
	Words  string        // the reason in the server's goodbye
	After  time.Duration // since the connection was opened
}

// Error is for the operator.
func (e *EndError) Error() string {
	if e.Words == "" {
		return e.Brief() + "; its own log says why"
	}
	return fmt.Sprintf("%s; its reason: %q", e.Brief(), e.Words)
}

// Brief is what a client may be told.
func (e *EndError) Brief() string {
	return fmt.Sprintf("the tool server %q %s, %.1fs after it was opened", e.Server, e.How, e.After.Seconds())
}
