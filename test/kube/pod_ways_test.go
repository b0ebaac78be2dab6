//go:build linux

package kube

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"sidegate/test/netns"
)

// A socket is one of the pod's network, as the kernel lists it.
type socket struct {
	port    int
	uid     int64
	listens bool
}

// sockets are the pod's of TCP and UDP.
func (p *pod) sockets() []socket {
	p.t.Helper()
	const listening = "0A"
	var all []socket
	for _, kind := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.net.Pod.PID, kind))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			f := strings.Fields(line)
			_, digits, _ := strings.Cut(f[1], ":")
			port, err := strconv.ParseInt(digits, 16, 32)
			uid, err2 := strconv.ParseInt(f[7], 10, 64)
			if err != nil || err2 != nil {
				p.t.Fatalf("not understood: %s", line)
			}
			all = append(all, socket{int(port), uid, f[3] == listening || strings.HasPrefix(kind, "udp")})
		}
	}
	return all
}

// wantSockets wants each container to listen at the ports that the manifest
// gives it, with its own user, and nobody anywhere else. One that has no ports
// has no sockets at all: in the hardened profile there is no way to the tool
// server, and none from it, but the Unix socket.
func (p *pod) wantSockets() {
	p.t.Helper()
	var want, got []socket
	var silent []int64
	for _, c := range p.all() {
		uid, _ := p.user(c.Container)
		if len(c.Ports) == 0 {
			silent = append(silent, uid)
		}
		for _, port := range c.Ports {
			want = append(want, socket{int(port.ContainerPort), uid, true})
		}
	}
	for _, s := range p.sockets() {
		if s.listens {
			got = append(got, s)
		}
		if slices.Contains(silent, s.uid) {
			p.t.Errorf("user %d has a socket at port %d", s.uid, s.port)
		}
	}
	order := func(a, b socket) int { return a.port - b.port }
	slices.SortFunc(want, order)
	slices.SortFunc(got, order)
	if !slices.Equal(got, want) {
		p.t.Errorf("ports and users that listen: %v; the manifest says %v", got, want)
	}
}

// wantNoWayRound goes to the tool server's own port, where it has one, by every
// address, from another host and as every user that a container could have: the
// gate answers. Only the gate itself gets to the tool server.
func (p *pod) wantNoWayRound() {
	p.t.Helper()
	if len(p.sidecars) == 0 || len(p.containers[0].Ports) == 0 {
		return
	}
	gate, tool := p.sidecars[0], p.containers[0]
	gateUID, _ := p.user(gate.Container)
	toolUID, _ := p.user(tool.Container)
	port := strconv.Itoa(int(tool.Ports[0].ContainerPort))
	addresses := []string{netns.Pod4, netns.Pod6}
	local := append(addresses, "127.0.0.1", "::1")
	p.wantAnswer(p.net.Host, addresses, port, true)
	p.wantAnswer(p.net.Pod, local, port, true)
	p.wantAnswer(p.person("another container", 2000), local, port, true)
	p.wantAnswer(p.person("the tool server", toolUID), local, port, true)
	p.wantAnswer(p.person("the gate", gateUID), local, port, false)
}

// person is somebody in the pod.
func (p *pod) person(name string, uid int64) *netns.Person {
	p.t.Helper()
	who := netns.NewPerson(p.t, name, int(uid), nil, p.net.Pod.Enter()...)
	p.persons = append(p.persons, who)
	return who
}

// wantAnswer asks for what neither the gate nor the tool server has: the gate
// counts what it refuses. A gate that is reached over loopback, as who is led
// there inside of the pod reaches it, takes no other Host than loopback's.
func (p *pod) wantAnswer(who *netns.Person, addresses []string, port string, byGate bool) {
	p.t.Helper()
	for _, address := range addresses {
		to := net.JoinHostPort(address, port)
		before := p.refusals()
		said := who.Ask("exchange", to, nowhere)
		answer, err := hex.DecodeString(said)
		if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 404")) {
			p.t.Errorf("%s → %s: %s %s", who.Name, to, said, answer)
			continue
		}
		if counted := p.refusals() - before; counted != 1 && byGate {
			p.t.Errorf("%s → %s: it was not the gate that answered", who.Name, to)
		} else if counted != 0 && !byGate {
			p.t.Errorf("%s → %s: the gate answered, and not the tool server", who.Name, to)
		}
	}
}

var nowhere = hex.EncodeToString([]byte("GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))

// refusals is how often the gate has refused a path.
func (p *pod) refusals() int {
	p.t.Helper()
	url := "http://" + p.address(portOf(p.sidecars[0].Container, intstr.FromString("sidegate-admin"))) + "/metrics"
	response, err := p.node.Get(url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nsidegate_refusals_total{reason=\"path\"} ")
	count, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(count)
	if err != nil && count != "" {
		p.t.Fatal(err)
	}
	return n
}
