//go:build linux

package netns

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The addresses of the two, by family.
const (
	Pod4  = "10.9.0.2"
	Pod6  = "fd00:9::2"
	Host4 = "10.9.0.1"
	Host6 = "fd00:9::1"
)

// A Pair is the two namespaces, each held by a person who is root.
type Pair struct {
	Pod, Host *Person
}

// NewPair makes them, and joins them by a veth pair; both call their end eth0.
// They end with the test.
func NewPair(t testing.TB) Pair {
	t.Helper()
	own := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	p := Pair{NewPerson(t, "root of another container", 0, own), NewPerson(t, "another host", 0, own)}
	p.wire(t)
	return p
}

// wire joins the pod with the other host. Addresses are good at once: nobody
// else can have them.
func (p Pair) wire(t testing.TB) {
	t.Helper()
	const settle = "echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; ip -batch -"
	p.Pod.Shell(t, settle, fmt.Sprintf(`link set lo up
link add eth0 type veth peer name eth0 netns %d
addr add %s/24 dev eth0
addr add %s/64 dev eth0 nodad
link set eth0 up
`, p.Host.PID, Pod4, Pod6))
	p.Host.Shell(t, settle, fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\naddr add %s/64 dev eth0 nodad\nlink set eth0 up\n", Host4, Host6))
	p.Pod.awaitLinkLocal(t)
	p.Host.awaitLinkLocal(t)
}

// awaitLinkLocal waits for what the kernel does in its own time.
func (p *Person) awaitLinkLocal(t testing.TB) {
	t.Helper()
	line := append(p.Enter(), "sh", "-c", "ip -6 -o addr show dev eth0 scope link -tentative; ip -6 route show dev eth0")
	for end := time.Now().Add(6 * Patience); ; time.Sleep(10 * time.Millisecond) {
		out, err := exec.Command(line[0], line[1:]...).Output()
		if err == nil && strings.Contains(string(out), "inet6 fe80:") && strings.Contains(string(out), "fe80::/64") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s has no link-local address, or no way to others: %v\n%s", p.Name, err, out)
		}
	}
}
