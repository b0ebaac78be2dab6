//go:build linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"golang.org/x/sys/unix"

	"sidegate/test/e2e/harness"
)

// A fault is something that goes wrong for a while.
type fault struct {
	name string
	hits []string // the servers whose calls it may have refused
	plan plan
	run  func(b *bed, while time.Duration)

	// What it goes on for until it is seen; nil where run itself does to
	// processes of the test what cannot fail.
	signs []sign
}

var (
	nobody   []string
	children = []string{sharedServer, ownServer}
	ready    = []string{sharedServer, webServer} // those that need no further process for a client
	listens  = []string{webServer}
	everyone = servers
	expired  = servers // sessions of clients who say nothing for so long may be over
)

// faults are one after the other; the last is several together.
var faults = []fault{
	{"children are killed", children, plan{}, killChildren, refusals(ownServer)},
	{"children are stopped", children, plan{}, stopChildren, refusals(ownServer)},
	{"the HTTP server is killed", listens, plan{}, killWeb, refusals(webServer)},
	{"the HTTP server is stopped", listens, plan{}, stopWeb, refusals(webServer)},
	{"half the clients are killed", nobody, plan{}, killClients, nil},
	{"half the clients are stopped", expired, plan{}, stopClients, []sign{halfStopped}},
	{"no descriptors are left", everyone, plan{front: true}, exhaust, []sign{tooManyFiles, cuts}},
	{"the disk under the log is full", children, plan{loud: true, full: true}, fillDisk, refusals(ownServer)},
	{"large messages in little memory", everyone, plan{small: true, only: ready}, squeeze, nil},
	{"clients are 200 ms away", nobody, plan{front: true, far: true, only: ready}, slowFront, []sign{farClients}},
	{"clients are cut off", nobody, plan{front: true}, cutFront, []sign{cuts}},
	{"clients stall", expired, plan{front: true}, stallFront, []sign{silence}},
	{"the HTTP server is 200 ms away", nobody, plan{far: true, only: ready}, slowBack, []sign{farServer}},
	{"the HTTP server is cut off", listens, plan{}, cutBack, refusals(webServer)},
	{"the HTTP server's answers are cut short", listens, plan{}, cutAnswers, refusals(webServer)},
	{"the HTTP server stalls", listens, plan{}, stallBack, refusals(webServer)},
	{"the clock jumps", nobody, plan{clock: true}, jump, []sign{clockAhead}},
	{"all together", everyone, plan{front: true, loud: true, full: true, clock: true, small: true}, together, append(refusals(servers...), cuts)},
}

func slowFront(b *bed, while time.Duration)  { b.slow(b.front, while) }
func slowBack(b *bed, while time.Duration)   { b.slow(b.back, while) }
func cutFront(b *bed, while time.Duration)   { b.cutOff(b.front, while) }
func cutBack(b *bed, while time.Duration)    { b.cutOff(b.back, while) }
func stallFront(b *bed, while time.Duration) { b.stall(b.front, while) }
func stallBack(b *bed, while time.Duration)  { b.stall(b.back, max(while, callTimeout+time.Second)) }

// killChildren kills a child every now and then.
func killChildren(b *bed, while time.Duration) {
	for began := time.Now(); b.lasting(began, while); time.Sleep(200 * time.Millisecond) {
		if list := b.gate.Children(); len(list) > 0 {
			kill(b.gate, list[rand.IntN(len(list))], syscall.SIGKILL)
		}
	}
}

// stopChildren stops some of the children for longer than a call may take.
func stopChildren(b *bed, while time.Duration) {
	list := b.gate.Children()
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list = list[:len(list)/2]
	for _, pid := range list {
		kill(b.gate, pid, syscall.SIGSTOP)
	}
	b.sit(max(while, callTimeout+time.Second))
	for _, pid := range list {
		kill(b.gate, pid, syscall.SIGCONT) // those that the gate has not ended
	}
}

// killWeb kills the server that listens, again and again; between its ends it
// is gone for a moment.
func killWeb(b *bed, while time.Duration) {
	for began := time.Now(); b.lasting(began, while); time.Sleep(500 * time.Millisecond) {
		b.web.process.kill()
		time.Sleep(200 * time.Millisecond)
		b.web.start()
	}
}

func stopWeb(b *bed, while time.Duration) {
	b.web.process.signal(syscall.SIGSTOP)
	b.sit(max(while, callTimeout+time.Second))
	b.web.process.signal(syscall.SIGCONT)
}

// half are crews with half of the clients of each server.
func (b *bed) half() (list []*crew) {
	other := map[string]bool{}
	for _, c := range b.working() {
		if c.orders.Plain {
			continue
		}
		if other[c.orders.Server] = !other[c.orders.Server]; other[c.orders.Server] {
			list = append(list, c)
		}
	}
	return list
}

// killClients kills half of the clients, for whom others come.
func killClients(b *bed, while time.Duration) {
	for range 2 {
		half := b.half()
		for _, c := range half {
			c.process.kill()
			c.killed = true
		}
		time.Sleep(while / 4)
		for _, c := range half {
			b.again(c)
		}
		time.Sleep(while / 4)
	}
}

// working are the crews that have not been killed.
func (b *bed) working() []*crew {
	return slices.DeleteFunc(slices.Clone(b.crews), func(c *crew) bool { return c.killed })
}

func stopClients(b *bed, while time.Duration) {
	list := b.half()
	for _, c := range list {
		c.signal(syscall.SIGSTOP)
	}
	b.sit(while)
	for _, c := range list {
		c.signal(syscall.SIGCONT)
	}
}

// exhaust takes from the gate the right to open any more files, and ends
// connections and children, for which there will be no others. The clients who
// come in vain wait in the kernel's queue.
func exhaust(b *bed, while time.Duration) {
	before := b.limit(uint64(max(b.gate.Descriptors()-20, 16)))
	b.away(b.front, 0)
	killChildren(b, while)
	b.limit(before)
}

// limit is how many files the gate may have open from now on, and before.
func (b *bed) limit(n uint64) (before uint64) {
	var old unix.Rlimit
	if err := unix.Prlimit(b.gate.PID(), unix.RLIMIT_NOFILE, nil, &old); err != nil {
		b.t.Fatal(err)
	}
	if err := unix.Prlimit(b.gate.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: old.Max}, nil); err != nil {
		b.t.Fatal(err)
	}
	return old.Cur
}

// fillDisk fills the disk while there is much to log, and wants the log to go
// on when there is room again.
func fillDisk(b *bed, while time.Duration) {
	b.log.fill()
	killChildren(b, while)
	b.log.free()
	harness.Eventually(b.t, "the log goes on when the disk has room again", b.log.grows)
}

// What the way takes, each way, and how much more or less.
const (
	wayTakes  = 200 * time.Millisecond
	wayVaries = 20 * time.Millisecond
)

// slow is a long way, there and back.
func (b *bed) slow(p *toxiproxy.Proxy, while time.Duration) {
	cure := b.poison(p, "latency", fmt.Sprintf(`{"latency":%d,"jitter":%d}`, wayTakes.Milliseconds(), wayVaries.Milliseconds()), "upstream", "downstream")
	b.sit(while)
	cure()
}

// stall holds up what is said, either way, and lets it go on afterwards.
func (b *bed) stall(p *toxiproxy.Proxy, while time.Duration) {
	cure := b.poison(p, "latency", `{"latency":3600000}`, "upstream", "downstream")
	b.sit(while)
	cure()
}

// cutOff cuts all connections, now and then.
func (b *bed) cutOff(p *toxiproxy.Proxy, while time.Duration) {
	for began := time.Now(); b.lasting(began, while); time.Sleep(while / 3) {
		b.away(p, 100*time.Millisecond)
	}
}

// cutAnswers cuts each connection of the HTTP server in the middle of an answer.
func cutAnswers(b *bed, while time.Duration) {
	cure := b.poison(b.back, "limit_data", `{"bytes":3000}`, "downstream")
	b.sit(while)
	cure()
}

// together is the above at once, in parts: clients are killed; then what is
// killed and cut, and then what stands still. All the while there are large
// messages, and no room for the log.
func together(b *bed, while time.Duration) {
	b.log.fill()
	b.hireLarge(1)
	killClients(b, while/2)
	var running sync.WaitGroup
	for _, run := range []func(*bed, time.Duration){killChildren, killWeb, stopClients, slowBack, jump} {
		running.Go(func() { run(b, while) })
	}
	b.cutOff(b.front, while/2)
	b.slow(b.front, while/2)
	running.Wait()
	for _, run := range []func(*bed, time.Duration){stopChildren, killChildren, stallBack, stopWeb} {
		running.Go(func() { run(b, while) })
	}
	exhaust(b, while)
	running.Wait()
	b.log.free()
}

// hit tells whether a fault may have touched a server.
func (f *fault) hit(server string) bool { return slices.Contains(f.hits, server) }

// judge wants the balance of a run to come out even.
func (f *fault) judge(t *testing.T, b *bed, s *balance) {
	t.Helper()
	if missing := b.watch.missing(); missing != "" {
		t.Errorf("nothing shows that the fault has taken place: it was not seen that %s", missing)
	}
	for _, wrong := range s.wrongs(b.cuts) {
		t.Error(wrong)
	}
	for _, server := range servers {
		if !f.hit(server) {
			s.untouched(t, server)
		}
	}
}
