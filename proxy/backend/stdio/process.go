package stdio

import (
	"fmt"
	"sync"
	"syscall"
)

// process is a child with its group. Between its death and reap it is a
// zombie, which keeps its number from being given to another process: that is
// what makes signalling the group by number safe.
type process struct {
	pid  int
	mark uint64   // what its descendants carry, see orphans_linux.go
	exit exitWait // tells its death without ending the zombie

	mu         sync.Mutex
	terminated bool // the group has got SIGTERM, which is sent once: some take a second for "at once"
	reaped     bool
}

// signal sends sig to every process of the group, the child too. It does
// nothing once the child was reaped.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped || sig == syscall.SIGTERM && p.terminated {
		return
	}
	// An error means that nobody is left to take it, or that a set-user-id
	// program may not be signalled; either shows in what is left over.
	_ = syscall.Kill(-p.pid, sig)
	if sig == syscall.SIGTERM {
		p.terminated = true
		_ = syscall.Kill(-p.pid, syscall.SIGCONT) // who is stopped would take it only then
	}
}

// reap ends the zombie and frees its number. The process must be dead.
func (p *process) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exit.close()
	keep.reap(p.pid)
	p.reaped = true
}

// exitStatus is how a process ended.
type exitStatus struct {
	known  bool
	code   int            // of one that exited
	signal syscall.Signal // of one that was killed, else 0
}

// String completes the sentence "the tool server …".
func (s exitStatus) String() string {
	switch {
	case !s.known:
		return "ended"
	case s.signal != 0:
		return fmt.Sprintf("was ended by signal %d (%s)", int(s.signal), s.signal)
	default:
		return fmt.Sprintf("ended with exit status %d", s.code)
	}
}
