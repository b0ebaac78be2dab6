//go:build !linux

package stdio

import (
	"context"
	"syscall"
)

// markStart runs start. Descendants are not looked for on this system.
func (k *keeper) markStart(start func()) uint64 {
	start()
	return 0
}

// ReapOrphans waits for ctx. Orphans pass to PID 1 on this system, which the
// gate is not.
func ReapOrphans(ctx context.Context) { <-ctx.Done() }

func adopt(bool) {}

func (k *keeper) reapOrphans() { <-k.quit }

// leftovers tells whether the group has a process that is not a zombie. The
// child must be dead and not reaped. Who has left the group is not found on
// this system.
func (p *process) leftovers(map[int]bool, syscall.Signal) (found int) {
	if syscall.Kill(-p.pid, 0) == nil {
		return 1
	}
	return 0
}
