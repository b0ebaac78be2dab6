package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

const (
	manyStreams = 1600 // GET streams, each of a session of its own
	manyListens = 400
)

// TestDrainManyStreams: where thousands listen and say nothing, each of them
// hears goodbye in good order, and the gate ends.
func TestDrainManyStreams(t *testing.T) {
	t.Parallel()
	g := gate(t, "--isolation", "shared", "--grace", "50s")
	streams, listens := make([]*harness.Events, manyStreams), make([]*harness.Events, manyListens)
	var opening sync.WaitGroup
	var next atomic.Int64
	for range 8 { // at a time
		opening.Go(func() {
			for i := int(next.Add(1)) - 1; i < manyStreams+manyListens; i = int(next.Add(1)) - 1 {
				if i < manyListens {
					listens[i] = hear(t, g, fmt.Sprint(i), `{"toolsListChanged":true}`, `"toolsListChanged":true`)
				} else {
					streams[i-manyListens] = open(t, g).Stream(t, "")
				}
			}
		})
	}
	opening.Wait()
	if t.Failed() {
		return
	}
	if n := g.Metric(t, "sidegate_streams", `frontend="streamable"`); n != manyStreams+manyListens {
		t.Fatalf("%v streams are open", n)
	}

	begun := time.Now()
	g.Signal(syscall.SIGTERM)
	for _, stream := range streams {
		wantResumable(t, stream)
	}
	for i, l := range listens {
		_, m := l.NextMessage(t)
		if string(m.ID) != fmt.Sprint(i) || !strings.Contains(string(m.Result), `"resultType":"complete"`) {
			t.Errorf("listen %d ended with %s", i, m.Raw)
		}
		l.WantProperEnd(t)
	}
	if code := g.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Logf("all had heard it, and the gate had ended, after %v", time.Since(begun).Round(time.Millisecond))
}
