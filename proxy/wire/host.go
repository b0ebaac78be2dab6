package wire

import (
	"sync"
	"time"
)

// HostPatience is how long work on a Host may wait.
const HostPatience = 20 * time.Millisecond

// A Host is the goroutine on which a request came, which has nothing else to do
// until the answer is there: it lends itself to whoever would start one to get
// the answer, and spares two changes between goroutines. The zero Host lends
// nothing yet; Serve ends it. Its methods may be called from any goroutine.
type Host struct {
	mu   sync.Mutex
	work func()
	over bool
}

// Take tells whether the host does the work, soon and once. It may be called
// with locks held: the work is done later. Work must not wait for longer than a
// moment (see HostPatience). A nil host takes none.
func (h *Host) Take(work func()) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.work != nil {
		return false
	}
	h.work = work
	return true
}

// Serve does the work that was taken, and takes none from here on. The goroutine
// that lends itself calls it when it has nothing else to do.
func (h *Host) Serve() {
	h.mu.Lock()
	work := h.work
	h.work, h.over = nil, true
	h.mu.Unlock()
	if work != nil {
		work()
	}
}
