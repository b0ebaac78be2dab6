package stdio

import (
	"syscall"
	"time"

	"go.uber.org/zap"
)

// stuckTimeout is how long a process may take to go once it was killed. One
// that takes longer hangs in the kernel, on a dead network file system for
// instance, or belongs to another user.
const stuckTimeout = 5 * time.Second

// stop ends a child that is alive, in the steps of the specification: close
// its input, SIGTERM, SIGKILL, each after StopTimeout and for the whole group.
// (2025-11-25, basic/lifecycle, "Shutdown", stdio)
func (c *conn) stop() {
	c.input.Finish()
	if c.waitExit(c.backend.config.StopTimeout) {
		return
	}
	c.input.Close()
	c.force()
	if !c.hurried() {
		c.process.signal(syscall.SIGTERM)
		if c.waitExit(c.backend.config.StopTimeout) {
			return
		}
	}
	c.process.signal(syscall.SIGKILL)
	timer := time.NewTimer(stuckTimeout)
	defer timer.Stop()
	select {
	case <-c.exited:
	case <-timer.C:
		c.giveUp()
	}
}

// waitExit waits until the child is dead, for d at most and not when hurried.
func (c *conn) waitExit(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c.exited:
		return true
	case <-timer.C:
	case <-c.hurry:
	}
	return false
}

// endLeftovers ends what a dead child leaves behind: SIGTERM, StopTimeout,
// SIGKILL. The last goes to the group in every case, while the zombie still
// keeps its number from meaning another.
func (c *conn) endLeftovers() {
	defer c.process.signal(syscall.SIGKILL)
	sessions := map[int]bool{c.process.pid: true}
	none := func(sig syscall.Signal) func() bool {
		return func() bool { return c.process.leftovers(sessions, sig) == 0 }
	}
	if none(0)() {
		return
	}
	if !c.hurried() {
		c.process.signal(syscall.SIGTERM)
		c.process.leftovers(sessions, syscall.SIGTERM)
		if until(c.backend.config.StopTimeout, c.hurry, none(0)) {
			return
		}
	}
	c.process.signal(syscall.SIGKILL)
	if !until(stuckTimeout, nil, none(syscall.SIGKILL)) {
		c.giveUp()
	}
}

// force notes that the child does not end by being asked.
func (c *conn) force() {
	c.mu.Lock()
	c.forced = true
	c.mu.Unlock()
}

// hurried tells whether an owner waits no longer.
func (c *conn) hurried() bool {
	select {
	case <-c.hurry:
		return true
	default:
		return false
	}
}

// giveUp lets Close return with a process left.
func (c *conn) giveUp() {
	c.stuckOnce.Do(func() {
		c.log.Error("a process of the tool server was killed and is still there; look for it with ps, in state D or of another user",
			zap.Duration("after", stuckTimeout))
		close(c.stuck)
	})
}

// until asks done again and again until it says yes, for d at most and not
// when hurried, and returns what it said.
func until(d time.Duration, hurry <-chan struct{}, done func() bool) bool {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for pause := time.Millisecond; !done(); pause = min(2*pause, 50*time.Millisecond) {
		select {
		case <-time.After(pause):
		case <-hurry:
			return false
		case <-deadline.C:
			return false
		}
	}
	return true
}
