//go:build linux

package chaos

import (
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sidegate/test/e2e/harness"
	"sidegate/test/load/drive"
)

// A sign is what shows that a fault has taken place: without it a run in which
// all went well would prove nothing.
type sign struct {
	what string
	seen func(b *bed) bool
}

// refusals are a sign of what servers suffer: calls to each of them are refused.
func refusals(servers ...string) (list []sign) {
	for _, server := range servers {
		list = append(list, sign{"calls to " + server + " are refused", func(b *bed) bool {
			return b.count(server)[refused] > b.before[server][refused]
		}})
	}
	return list
}

var (
	cuts = sign{"calls are cut off", func(b *bed) bool {
		return slices.ContainsFunc(servers, func(s string) bool { return b.count(s)[cut] > b.before[s][cut] })
	}}

	// The gate's log says why a process could not be started.
	tooManyFiles = sign{"the gate has too many files open", func(b *bed) bool {
		return strings.Contains(b.gate.Log(), unix.EMFILE.Error())
	}}

	halfStopped = sign{"half the clients are stopped", func(b *bed) bool {
		return !slices.ContainsFunc(b.half(), func(c *crew) bool { return !c.isStopped() })
	}}

	silence = sign{"no call is answered", func(b *bed) bool {
		before := b.answered()
		time.Sleep(200 * time.Millisecond)
		return b.answered() == before
	}}

	farClients = sign{"a call from clients takes as long as the way", func(b *bed) bool {
		return far(drive.Door{Addr: b.front.Listen, Path: "/servers/" + sharedServer + "/mcp"})
	}}
	farServer = sign{"a call to " + webServer + " takes as long as the way", func(b *bed) bool {
		return far(drive.Door{Addr: b.gate.Addr, Path: "/servers/" + webServer + "/mcp"})
	}}
)

// far tells whether a call succeeds and takes at least what the way takes.
func far(d drive.Door) bool {
	began := time.Now()
	return try(d) == "" && time.Since(began) >= 2*(wayTakes-wayVaries)
}

// count is what has become of the calls to a server so far.
func (b *bed) count(server string) (t tally) {
	for _, c := range b.crews {
		if c.orders.Server == server {
			t.add(c.ledger.read())
		}
	}
	return t
}

func (b *bed) answered() (n int64) {
	for _, c := range b.crews {
		n += c.ledger[right].Load()
	}
	return n
}

// A watch looks out for the signs of a fault.
type watch struct {
	mu   sync.Mutex
	left []sign // not seen yet
}

// begin looks at what has become of calls before a fault, and looks out for
// its signs from now on.
func (b *bed) begin(signs []sign) {
	b.before = map[string]tally{}
	for _, server := range servers {
		b.before[server] = b.count(server)
	}
	b.watch.left = slices.Clone(signs)
}

// look looks for the signs that have not been seen yet.
func (w *watch) look(b *bed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = slices.DeleteFunc(w.left, func(s sign) bool { return s.seen(b) })
}

// missing says which signs have not been seen.
func (w *watch) missing() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, s := range w.left {
		list = append(list, s.what)
	}
	return strings.Join(list, ", ")
}

// lasting tells whether a fault that began some time ago goes on: for a while,
// and beyond that until its signs have been seen. So a slow machine only takes
// longer.
func (b *bed) lasting(began time.Time, while time.Duration) bool {
	b.watch.look(b)
	took := time.Since(began)
	return took < while || b.watch.missing() != "" && took < while+harness.Patience
}

// sit lets a fault last.
func (b *bed) sit(while time.Duration) {
	for began := time.Now(); b.lasting(began, while); {
		time.Sleep(10 * time.Millisecond)
	}
}
