package main

import (
	"fmt"
	"syscall"

	"sidegate/proxy"
)

// What a link and the gate itself hold open: a child's three pipes and its
// process; listeners, log, poller and the like.
const (
	descriptorsPerLink       = 4 // of a child: three pipes and the handle of the process
	descriptorsPerConnection = 2 // of a server that listens: a stream that stays open, and a call
	descriptorsApart         = 64
)

// descriptorWarning is one sentence where the limits that were set need more
// open files than this process may have, or "". A gate that runs out of them
// refuses connections that it said it would take.
func descriptorWarning(c *proxy.Config) string {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return "" // nothing is known, so there is nothing to say
	}
	return tooFewDescriptors(c, limit.Cur)
}

func tooFewDescriptors(c *proxy.Config, have uint64) string {
	need := uint64(c.MaxConnections) + descriptorsApart
	for _, b := range c.Backends {
		each := uint64(descriptorsPerLink)
		if b.URL != "" {
			each = descriptorsPerConnection
		}
		need += uint64(b.MaxLinks) * each
	}
	if need <= have {
		return ""
	}
	return fmt.Sprintf("--max-connections and --max-links need up to %d open files, and this process may have %d: raise that limit (ulimit -n), or lower the flags", need, have)
}
