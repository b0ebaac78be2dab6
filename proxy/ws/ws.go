// Package ws speaks WebSocket (RFC 6455). Accept is the end of a server, for
// connections that were taken out of the HTTP server; Dial is that of a client.
//
// The library does the handshake, the frames and the masks, and it does them in
// memory: it is given a net.Conn of ours, the outlet, which reads from where it
// is told to and collects what is written, so that who writes to the socket, and
// when, is decided outside. Only accept.go and dial.go know the library.
//
// The package knows messages as bytes. It imports wire and nothing else of ours.
package ws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// Subprotocol is the name under which the protocol's messages are spoken.
const Subprotocol = "mcp"

// The kinds of frame (RFC 6455, section 5.2).
const (
	text      = 1
	goodbye   = 8
	ping      = 9
	maxReason = 123 // bytes of the text in a close frame
)

// Close codes (RFC 6455, section 7.4.1).
const (
	CodeNormal      = 1000
	CodeGoingAway   = 1001
	CodeProtocol    = 1002
	CodeUnsupported = 1003
	CodeNone        = 1005 // a close frame without a code; never sent
	CodeNotUTF8     = 1007
	CodePolicy      = 1008
	CodeTooBig      = 1009
	CodeTryLater    = 1013
)

// Closed is the error of a connection whose peer has said goodbye.
type Closed struct {
	Code   int    // CodeNone where the peer named none
	Reason string // the peer's own words
}

func (c *Closed) Error() string {
	switch {
	case c.Code == CodeNone:
		return "closed the connection without a code"
	case c.Reason == "":
		return fmt.Sprintf("closed the connection with code %d", c.Code)
	}
	return fmt.Sprintf("closed the connection with code %d (%q)", c.Code, c.Reason)
}

// Fault is the error of a connection whose peer has broken a rule. The peer has
// been told: a close frame with this code is on its way.
type Fault struct {
	Code int
	Text string // what was wrong, for a person
}

func (f *Fault) Error() string { return f.Text }

// ErrLate is what a source returns when a message was not there in time: see
// Conn.Due.
var ErrLate = errors.New("the message was not complete in time")

// errFlood is the end of a peer that asks for more signs of life than it reads.
var errFlood = errors.New("the peer does not read the answers to its pings")

// library is what both ends use of the library's connection.
type library interface {
	NextReader() (kind int, r io.Reader, err error)
	NextWriter(kind int) (io.WriteCloser, error)
	WriteMessage(kind int, data []byte) error
	WriteControl(kind int, data []byte, deadline time.Time) error
}

// controlWait is a formality: what the library writes stays in memory, so it
// waits for nobody.
const controlWait = time.Minute

// control writes a control frame. It fails once the goodbye is written, after
// which there is nothing to write.
func control(lib library, kind int, payload []byte) {
	_ = lib.WriteControl(kind, payload, time.Now().Add(controlWait))
}

// closing is the payload of a close frame. A reason that is too long is cut
// between two characters.
func closing(code int, reason string) []byte {
	if code == CodeNone {
		return nil
	}
	for len(reason) > maxReason || !utf8.ValidString(reason) {
		reason = reason[:min(len(reason)-1, maxReason)]
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}
