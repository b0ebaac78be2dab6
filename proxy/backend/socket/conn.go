package socket

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/lines"
)

// duplex is a connection of which one direction can be ended by itself.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// transport is a connection to a server whose name is for its end.
type transport struct {
	duplex
	server string
}

func start(b *Backend, s duplex, r backend.Receiver) *lines.Conn {
	config := &b.config
	return lines.Start(transport{s, b.String()}, r, lines.ConnOptions{
		Options:  lines.Options{MaxMessage: config.MaxMessage, Budget: config.Budget, Log: b.log, Sender: "the tool server"},
		MaxQueue: config.MaxQueue, StopTimeout: config.StopTimeout,
	})
}

// Close ends the sending direction, which a server takes as the end of its
// input: what it still says is read.
func (t transport) Close() error { return t.CloseWrite() }

// Cut ends the connection, with a read and a write that wait.
func (t transport) Cut(error) { _ = t.duplex.Close() }

// Explain makes an EndError.
func (t transport) Explain(e lines.End) error {
	otherwise := "broke the connection off"
	if e.Sending {
		otherwise = "does not take what is sent to it"
	}
	return &EndError{t.server, how(e.Err, otherwise), e.After}
}

// how words the end of a connection; otherwise is for what is not known better.
func how(err error, otherwise string) string {
	switch {
	case errors.Is(err, io.EOF):
		return "closed the connection"
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return "broke the connection off"
	case errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, os.ErrDeadlineExceeded):
		return "cannot be reached any more: its host does not answer"
	}
	return otherwise + fmt.Sprintf(" (%v)", err)
}

// EndError is what a Receiver's Closed gets when a connection ended that its
// owner did not close.
type EndError struct {
	Server string        // name of the backend
	How    string        // completes "the tool server …"
	After  time.Duration // since the connection was opened
}

// quick is how soon a server ends a connection that it did not want.
const quick = time.Second

// Error is for the operator: the reason is at the server's end.
func (e *EndError) Error() string {
	if e.After < quick {
		return e.Brief() + "; its own log says why: it may not have wanted the connection (sidegate shim: --allow-uid, --max-connections), or its process ended at once"
	}
	return e.Brief() + "; its own log says why"
}

// Brief is what a client may be told.
func (e *EndError) Brief() string {
	return fmt.Sprintf("the tool server %q %s, %.1fs after it was opened", e.Server, e.How, e.After.Seconds())
}
