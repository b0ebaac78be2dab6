package http

import (
	"sync"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// caller calls a receiver for many goroutines, one call at a time and none
// after Closed.
type caller struct {
	to      backend.Receiver
	relater backend.Relater // the same, where it is one

	mu   sync.Mutex
	over bool
}

func newCaller(r backend.Receiver) *caller {
	relater, _ := r.(backend.Relater)
	return &caller{to: r, relater: relater}
}

// message gives msg away.
func (r *caller) message(msg *wire.Buffer, env *wire.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		msg.Release()
		return
	}
	r.to.Message(msg, env)
}

// related is message for what is no answer and came in the response to request
// id.
func (r *caller) related(id []byte, msg *wire.Buffer, env *wire.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.over:
		msg.Release()
	case r.relater != nil:
		r.relater.Related(id, msg, env)
	default:
		r.to.Message(msg, env)
	}
}

func (r *caller) tooLong(id []byte, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.to.TooLong(id, size)
	}
}

func (r *caller) garbage(id []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.to.Garbage(id)
	}
}

func (r *caller) reply(id []byte, reply *backend.Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.to.Reply(id, reply)
	}
}

func (r *caller) closed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	r.to.Closed(err)
}
