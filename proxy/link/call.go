package link

import (
	"time"

	"sidegate/proxy/metrics"
	"sidegate/proxy/wire"
)

// A Leg is a call's way back to its client. It is called by the connection's
// one reader, so no method may block; the messages handed over are the leg's
// own from there on.
type Leg interface {
	// Send hands over what came for the call before its answer: progress.
	Send(msg *wire.Buffer)
	// Answer hands over the answer, once, under the client's own id, and says
	// how the call ended. Where it is the gate that ends the call, Answer comes
	// from elsewhere, and the reader may still be on its way into Send.
	Answer(msg *wire.Buffer, how metrics.Outcome)
}

// A Call is what a client asked once, until it is answered. Its maker sets the
// fields; they are not changed once the call was given to a link.
type Call struct {
	ID       []byte // the client's raw JSON id; a copy of the call's own
	Progress []byte // the client's raw progress token, nil without one; a copy likewise
	Leg      Leg
	Opens    bool // it is the initialize, which must not be cancelled (basic/utilities/cancellation)

	number    uint64    // the call's id and progress token towards the server
	deadline  time.Time // when it is given up; guarded by Link.mu
	cancelled bool      // the client cancelled it; guarded by Link.mu
}
