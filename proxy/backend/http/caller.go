package http

import (
	"sync"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// caller calls a receiver for many goroutines, one call at a time and none
// after Closed.
type caller struct {
	to backend.Receiver

	mu   sync.Mutex
	over bool
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
