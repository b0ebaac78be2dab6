package shim

import "sync"

// maxCalls is how many calls of one connection are noted; the gate has far
// fewer in flight.
const maxCalls = 10_000

// calls are the requests of the peer that wait for an answer.
type calls struct {
	idle chan struct{} // has an element when the last one has ended

	mu   sync.Mutex
	open map[string]struct{} // by their raw id
}

func (c *calls) init() {
	c.idle = make(chan struct{}, 1)
	c.open = map[string]struct{}{}
}

func (c *calls) begin(id []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) < maxCalls {
		c.open[string(id)] = struct{}{}
	}
}

func (c *calls) end(id []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, string(id))
	if len(c.open) == 0 {
		select {
		case c.idle <- struct{}{}:
		default:
		}
	}
}

func (c *calls) none() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open) == 0
}
