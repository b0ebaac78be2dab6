package wire

import "strconv"

// Class tells the two ways in which a message can be refused.
type Class uint8

const (
	// NotJSON is what is not one JSON value: JSON-RPC code -32700.
	NotJSON Class = iota + 1
	// BadEnvelope is a JSON value that is no acceptable JSON-RPC message, or
	// one that two readers could take in two ways: JSON-RPC code -32600.
	BadEnvelope
)

// SyntaxError says why a message was refused. Reason never quotes the message,
// so it may be logged and sent.
type SyntaxError struct {
	Class  Class
	Reason string // a few words for a person, one of a fixed set
	Offset int    // bytes before what was wrong
}

// Error is the reason with its place.
func (e *SyntaxError) Error() string {
	return e.Reason + " at byte " + strconv.Itoa(e.Offset)
}
