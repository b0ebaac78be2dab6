// Package backend says what the gate needs of a tool server's end: how a
// connection to it is opened, what it is sent, and what comes back. The kinds
// of server live in the packages below; this one holds no code that runs.
//
// It imports wire and nothing else of ours.
package backend

import (
	"context"
	"errors"

	"sidegate/proxy/wire"
)

// ErrFull is returned by Conn.Send when the server does not take what it was
// already sent: the queue towards it has reached its limit in bytes.
var ErrFull = errors.New("the tool server does not read its input: its queue is full")

// ErrClosed is returned by Conn.Send once the connection has ended.
var ErrClosed = errors.New("the connection to the tool server has ended")

// ErrUnsure is returned by Checker.Check where nothing speaks against the
// server's being there, and only a connection would show it.
var ErrUnsure = errors.New("only a connection to the tool server would show whether it is there")

// A Backend is a tool server with its configuration: a command, a socket, a
// URL. It opens connections; who may have one, and how many there are, is
// decided by package link.
type Backend interface {
	// Open starts one connection, a child process or a socket, and returns as
	// soon as it can be written to. The connection lives until Close or until
	// the server ends it; ctx bounds the start alone. What arrives goes to r,
	// the first of it perhaps before Open returns.
	Open(ctx context.Context, r Receiver) (Conn, error)

	// String names the backend in logs and errors, without secrets.
	String() string
}

// A Conn is one live connection to a backend. Its methods may be called from
// any goroutine.
type Conn interface {
	// Send queues one message, a JSON value on one line without the newline,
	// and never blocks. It takes msg over in every case, also when it fails
	// with ErrFull or ErrClosed.
	Send(msg *wire.Buffer) error

	// Close ends the connection in good order, each step bounded, and returns
	// when nothing of it is left: no process, no descriptor, no goroutine.
	// When ctx is done it goes straight to the last step. Calling it again
	// waits for the first call's end.
	Close(ctx context.Context)
}

// A Receiver takes what comes back on one connection. The connection's one
// reader calls it, one call at a time, so an implementation must not block:
// whatever holds up Message holds up every call of the connection, and Close,
// which waits for the reader, must not be called from here.
type Receiver interface {
	// Message hands over one message, on one line, with what the scan found in it. The
	// receiver owns msg from here on and ends it with Release; env is valid
	// until Message returns.
	Message(msg *wire.Buffer, env *wire.Envelope)

	// TooLong reports a message that was over the limit and is skipped; or,
	// where size is within the limit, one for which the budget of bytes in
	// flight had no room. size is its bytes as far as they have come. id is the raw JSON id of the
	// response it was, nil where none was seen; valid until TooLong returns.
	TooLong(id []byte, size int64)

	// Garbage reports something that is not a message and has been dropped,
	// after it was logged. id is the raw JSON id where one could be made out
	// all the same, else nil; valid until Garbage returns.
	Garbage(id []byte)

	// Reply reports the HTTP response in which the answer to request id comes,
	// before the answer itself; or, where its status is not 200, instead of it.
	// id is the raw JSON id; id and r are valid until Reply returns. Servers that
	// are not spoken to over HTTP have none.
	Reply(id []byte, r *Reply)

	// Closed is the last call. err says why in words for the operator, and may
	// quote the server; where it has a method Brief() string, that is what a
	// client may be told. It is nil after Close.
	Closed(err error)
}

// StatusOK is the status of a response that holds the answer.
const StatusOK = 200

// A Reply is an HTTP response of the server, as far as it concerns the client.
type Reply struct {
	Status int
	Header []byte // the end-to-end header lines but Content-Type, each ended by CRLF
	Type   string // Content-Type; "" without one
	Body   []byte // where Status is not StatusOK, and always from a Passer
	Reason string // what went wrong, one sentence for a client; "" where Status is StatusOK

	// Said is the server's own status, where Status tells a client something
	// else of it: a 404 is no answer of the gate's. 0: there was no response.
	Said int

	Release func() // of a Passer's: gives Body back, which counts as bytes in flight until then; nil where there is none
}

// A Forwarder is a Conn that can tell the server what else stood in the
// client's HTTP request.
type Forwarder interface {
	// SendWith is Send with the end-to-end header lines of the client's request,
	// each ended by CRLF. header is not kept; it is empty where there are none,
	// and what the gate says by itself is sent with Send. Where its first line is
	// Mcp-Protocol-Version the message is of a modern revision and stands alone:
	// it belongs to no session, and header has all that the revision asks for.
	SendWith(msg *wire.Buffer, header []byte) error
}

// A Canceller is a Conn on which a request is cancelled by breaking off its
// response, and not by a notification (2026-07-28,
// basic/transports/streamable-http, "Cancellation").
type Canceller interface {
	// Cancel breaks off the request with the raw JSON id, if it is of a modern
	// revision, and tells whether it is: what comes for it from here on is
	// dropped. One that has ended already is fine.
	Cancel(id []byte) bool
}

// A Hearer is a Conn on which a server cannot at all times say what belongs to
// no call. Over HTTP that needs a stream, which many servers do not have and any
// may break (2025-11-25, basic/transports, "Listening for Messages from the
// Server"); on other connections it is always possible.
type Hearer interface {
	// Hears is 0 while the server cannot, else a number that is another one after
	// each time in between when it could not.
	Hears() uint64
}

// A Relater is a Receiver that wants to know to which request a message
// belongs. Over HTTP each request of a modern revision has a response of its
// own, and so has what comes in it.
type Relater interface {
	// Related is Message for what is no answer and came in the response to
	// request id, which is valid until Related returns.
	Related(id []byte, msg *wire.Buffer, env *wire.Envelope)
}

// A Checker is a Backend that can be asked whether its server is there without
// a link being opened.
type Checker interface {
	// Check fails where the server cannot be reached, and with ErrUnsure where
	// it may be; ctx bounds it.
	Check(ctx context.Context) error
}

// A Passer is a Backend that serves more than messages: what lies at other
// paths of the server, such as /.well-known/oauth-protected-resource.
type Passer interface {
	// Pass sends one request and returns the response, whole. Both bodies are
	// bounded by the message limit. An error has words for a person.
	Pass(ctx context.Context, r *PassRequest) (*Reply, error)
}

// A PassRequest is a request for another path of the server.
type PassRequest struct {
	Method string
	Target string // path and query, as the client wrote them
	Header []byte // end-to-end header lines, each ended by CRLF
	Type   string // Content-Type
	Body   []byte
}
