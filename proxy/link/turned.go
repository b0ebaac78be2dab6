package link

import (
	"encoding/json"
	"fmt"

	"sidegate/proxy/wire"
)

// TurnedAwayError is the end of a connection that the server did not want and
// that has said so.
type TurnedAwayError struct {
	Said string // by the server, a sentence for the operator
	End  error  // how the connection ended; nil where it was only tried
}

// Error is for the operator.
func (e *TurnedAwayError) Error() string {
	return fmt.Sprintf("the tool server does not take the connection; it says: %q", e.Said)
}

// Unwrap leads to what a client may be told.
func (e *TurnedAwayError) Unwrap() error { return e.End }

// longestWord bounds what is quoted of a server that turns a connection away, in
// bytes.
const longestWord = 500

// turnedAway is what a server says that does not want a connection, as
// `sidegate shim` does: the first message is an error that answers no request.
// It is "" where the message is another.
func turnedAway(msg *wire.Buffer, env *wire.Envelope) string {
	if env.Kind != wire.Error || !env.ID.Empty() {
		return ""
	}
	var fault struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(env.Error.Of(msg.B), &fault) != nil {
		return ""
	}
	return fault.Message[:min(len(fault.Message), longestWord)]
}
