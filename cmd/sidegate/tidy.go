package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// tidyEvery is how often is looked whether there is something to tidy.
	tidyEvery = 5 * time.Second
	// tidyLeast is how many bytes there must be of what is looked for.
	tidyLeast = 1 << 20
)

// tidy gives memory back that is not needed any more when things get quiet, until
// the returned function has returned. The runtime collects only when the heap
// has doubled: after a crowd has come, what its coming took would stay as long
// as the crowd says nothing. The system drops pages when it lacks memory, and
// meanwhile counts what the start has run as the gate's.
func tidy() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var tidying sync.WaitGroup
	tidying.Go(func() {
		tick := time.NewTicker(tidyEvery)
		defer tick.Stop()
		for t := (tidier{}); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if t.due(allocated()) {
					debug.FreeOSMemory()
					dropPages()
				}
			}
		}
	})
	return func() {
		cancel()
		tidying.Wait()
	}
}

// allocated is how many bytes have been allocated so far, and how many of them
// take room in the heap.
func allocated() (ever, now uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// A tidier knows what there was when it last looked, and when it last tidied.
type tidier struct{ looked, tidied uint64 }

// due tells whether it is quiet, and worth it: little was allocated since the last
// look, compared with what there is, and a good part since the heap was tidied.
// A process at work is never tidied; one that is idle once, and no more.
func (t *tidier) due(ever, now uint64) bool {
	quiet := ever-t.looked <= max(now/8, tidyLeast)
	t.looked = ever
	if !quiet || ever-t.tidied < max(now/4, tidyLeast) {
		return false
	}
	t.tidied = ever
	return true
}
