//go:build linux

package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
	"sidegate/test/load/drive"
)

// A footprint is what a gate holds when nothing is going on.
type footprint struct{ goroutines, descriptors, children int }

func look(t *testing.T, g *harness.Gate) footprint {
	t.Helper()
	return footprint{int(g.Metric(t, "go_goroutines")), g.Descriptors(), len(g.Children())}
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d children", f.goroutines, f.descriptors, f.children)
}

// restful is how long a gate that comes to rest is left alone: to look takes
// its time, and that of another which is under load meanwhile.
const restful = 250 * time.Millisecond

// rest waits until nothing is left of the clients but so many children, and
// returns what the gate holds then. What a reading itself takes is not always
// the same, so it is the least of a few.
func (b *bed) rest(children int) footprint {
	b.t.Helper()
	var now string
	defer func() {
		if b.t.Failed() {
			b.t.Log("left over: " + now)
		}
	}()
	harness.EventuallyWithin(b.t, 2*harness.Patience, "the gate comes to rest", func() bool {
		sessions, streams := b.gate.Metric(b.t, "sidegate_sessions"), b.gate.Metric(b.t, "sidegate_streams")
		calls, left := b.gate.Metric(b.t, "sidegate_calls_in_flight"), len(b.gate.Children())
		time.Sleep(restful)
		now = fmt.Sprintf("%v sessions, %v streams, %v calls, %d children", sessions, streams, calls, left)
		return sessions == 0 && streams == 0 && calls == 0 && left <= children
	})
	least := look(b.t, b.gate)
	for range 10 {
		f := look(b.t, b.gate)
		least = footprint{min(least.goroutines, f.goroutines), min(least.descriptors, f.descriptors), min(least.children, f.children)}
	}
	return least
}

// whole wants the gate to be as it was before: calls succeed at every door,
// and nothing is left behind. Links that were shared stay for half a minute
// when nobody uses them any more.
func (b *bed) whole(before footprint) {
	b.t.Helper()
	b.works()
	b.rest(before.children)
	const room = 8 // what a reading needs, and what comes and goes by itself
	var now footprint
	defer func() { b.t.Logf("before: %v; after: %v", before, now) }()
	harness.EventuallyWithin(b.t, 2*harness.Patience, "the gate holds no more than before", func() bool {
		time.Sleep(restful)
		now = look(b.t, b.gate)
		return now.goroutines <= before.goroutines+room && now.descriptors <= before.descriptors+room && now.children <= before.children
	})
}

// works waits until calls succeed at every door of every server.
func (b *bed) works() {
	b.t.Helper()
	for _, server := range servers {
		var why string
		defer func() {
			if b.t.Failed() && why != "" {
				b.t.Logf("%s does not work: %s", server, why)
			}
		}()
		harness.Eventually(b.t, "calls to "+server+" succeed", func() bool {
			why = b.probe(server)
			return why == ""
		})
	}
}

// try makes a few calls at a door, and says what is wrong.
func try(d drive.Door) (why string) {
	c, err := drive.Open(d, drive.Work{Size: smallest})
	if err != nil {
		return err.Error()
	}
	defer c.End()
	for range 3 {
		switch verdict, again, reason := c.Try(); {
		case verdict != drive.Right:
			return reason
		case again > 0:
			return "it is answered twice"
		}
	}
	return ""
}

// probe makes a few calls at every door of a server, and says what is wrong.
func (b *bed) probe(server string) (why string) {
	path := "/servers/" + server
	for _, door := range []drive.Door{{Path: path + "/mcp"}, {Path: path + "/mcp", Modern: true}} {
		door.Addr = b.gate.Addr
		if why := try(door); why != "" {
			return why
		}
	}
	s, err := drive.OpenSocket(drive.Door{Addr: b.gate.Addr, Path: path + "/ws"}, smallest)
	if err != nil {
		return err.Error()
	}
	defer s.Close()
	if balance := s.Run(context.Background(), burst, 0).Balance; !balance.Good() {
		return balance.String()
	}
	return ""
}
