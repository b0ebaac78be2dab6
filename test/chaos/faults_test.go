//go:build linux

package chaos

import (
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
}

var (
	nobody   []string
	children = []string{sharedServer, ownServer}
	everyone = servers
	expired  = servers // sessions of clients who say nothing for so long may be over
)

// faults are one after the other; the last is several together.
var faults = []fault{
	{"children are killed", children, plan{}, killChildren},
	{"children are stopped", children, plan{}, stopChildren},
	{"the HTTP server is killed", []string{webServer}, plan{}, killWeb},
	{"the HTTP server is stopped", []string{webServer}, plan{}, stopWeb},
	{"half the clients are killed", nobody, plan{}, killClients},
	{"half the clients are stopped", expired, plan{}, stopClients},
	{"no descriptors are left", everyone, plan{front: true}, exhaust},
	{"the disk under the log is full", children, plan{loud: true, full: true}, fillDisk},
	{"clients are 200 ms away", nobody, plan{front: true}, func(b *bed, while time.Duration) { b.slow(b.front, while) }},
	{"clients are cut off", nobody, plan{front: true}, func(b *bed, while time.Duration) { b.cutOff(b.front, while) }},
	{"clients stall", expired, plan{front: true}, func(b *bed, while time.Duration) { b.stall(b.front, while) }},
	{"the HTTP server is 200 ms away", nobody, plan{}, func(b *bed, while time.Duration) { b.slow(b.back, while) }},
	{"the HTTP server is cut off", []string{webServer}, plan{}, func(b *bed, while time.Duration) { b.cutOff(b.back, while) }},
	{"the HTTP server's answers are cut short", []string{webServer}, plan{}, cutAnswers},
	{"the HTTP server stalls", []string{webServer}, plan{}, func(b *bed, while time.Duration) { b.stall(b.back, while) }},
	{"all together", everyone, plan{front: true, loud: true, full: true}, together},
}

// killChildren kills a child every now and then.
func killChildren(b *bed, while time.Duration) {
	for end := time.Now().Add(while); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
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
	time.Sleep(max(while, callTimeout+time.Second))
	for _, pid := range list {
		kill(b.gate, pid, syscall.SIGCONT) // those that the gate has not ended
	}
}

// killWeb kills the server that listens, again and again; between its ends it
// is gone for a moment.
func killWeb(b *bed, while time.Duration) {
	for end := time.Now().Add(while); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		b.web.process.kill()
		time.Sleep(200 * time.Millisecond)
		b.web.start()
	}
}

func stopWeb(b *bed, while time.Duration) {
	b.web.process.signal(syscall.SIGSTOP)
	time.Sleep(max(while, callTimeout+time.Second))
	b.web.process.signal(syscall.SIGCONT)
}

// half are crews with half of the clients of each server.
func (b *bed) half() []*crew {
	var list []*crew
	for i, c := range b.crews {
		if i%2 == 0 && !c.killed {
			list = append(list, c)
		}
	}
	return list
}

// killClients kills half of the clients, for whom others come.
func killClients(b *bed, while time.Duration) {
	for range 2 {
		for _, c := range b.half() {
			c.process.kill()
			c.killed = true
		}
		time.Sleep(while / 4)
		for _, c := range slices.Clone(b.crews) {
			if c.killed && len(b.working()) < 2*len(servers) {
				b.again(c)
			}
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
	time.Sleep(while)
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

// slow is 200 ms of way, there and back.
func (b *bed) slow(p *toxiproxy.Proxy, while time.Duration) {
	cure := b.poison(p, "latency", `{"latency":200,"jitter":20}`, "upstream", "downstream")
	time.Sleep(while)
	cure()
}

// stall holds up what is said, either way, and lets it go on afterwards.
func (b *bed) stall(p *toxiproxy.Proxy, while time.Duration) {
	if p == b.back {
		while = max(while, callTimeout+time.Second)
	}
	cure := b.poison(p, "latency", `{"latency":3600000}`, "upstream", "downstream")
	time.Sleep(while)
	cure()
}

// cutOff cuts all connections, three times.
func (b *bed) cutOff(p *toxiproxy.Proxy, while time.Duration) {
	for range 3 {
		b.away(p, 100*time.Millisecond)
		time.Sleep(while / 3)
	}
}

// cutAnswers cuts each connection of the HTTP server in the middle of an answer.
func cutAnswers(b *bed, while time.Duration) {
	cure := b.poison(b.back, "limit_data", `{"bytes":3000}`, "downstream")
	time.Sleep(while)
	cure()
}

// together is most of the above at once.
func together(b *bed, while time.Duration) {
	b.log.fill()
	killClients(b, while/2)
	var running sync.WaitGroup
	for _, run := range []func(*bed, time.Duration){killChildren, killWeb, stopClients} {
		running.Go(func() { run(b, while) })
	}
	b.cutOff(b.front, while/2)
	b.slow(b.front, while/2)
	running.Wait()
	for _, run := range []func(*bed, time.Duration){stopChildren, killChildren, func(b *bed, while time.Duration) { b.stall(b.back, while) }} {
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
	s.want(t, b.cuts)
	for _, server := range servers {
		if !f.hit(server) {
			s.untouched(t, server)
		}
	}
}
