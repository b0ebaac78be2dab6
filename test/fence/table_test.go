//go:build linux

package fence

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"sidegate/test/netns"
)

// families are IPv4 and IPv6, as addresses show them.
var families = []string{"IPv4", "IPv6"}

// inside are the addresses by which the pod's own containers reach it, outside
// those by which another host does.
var (
	inside = map[string][]string{
		"IPv4": {"127.0.0.1", "127.0.0.5", "0.0.0.0", pod4},
		"IPv6": {"::1", "::", pod6, "link-local"},
	}
	outside = map[string][]string{"IPv4": {pod4}, "IPv6": {pod6, "link-local"}}
)

// others are all but the gate.
func (p *pod) others() []*netns.Person { return []*netns.Person{p.host, p.root, p.other, p.tool} }

// ways are where who may knock.
func (p *pod) ways(who *netns.Person, family, port string) []string {
	addresses := inside[family]
	if who == p.host {
		addresses = outside[family]
	}
	var all []string
	for _, a := range addresses {
		if a == "link-local" {
			a = p.linkLocal()
		}
		all = append(all, net.JoinHostPort(a, port))
	}
	return all
}

// linkLocal is the pod's address of that kind: both ends call their end eth0.
func (p *pod) linkLocal() string {
	p.t.Helper()
	out := p.run(nil, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link").stdout
	fields := strings.Fields(out)
	for i, f := range fields {
		if f == "inet6" && i+1 < len(fields) {
			address, _, _ := strings.Cut(fields[i+1], "/")
			return address + "%eth0"
		}
	}
	p.t.Fatalf("there is no link-local address: %s", out)
	return ""
}

// want knocks by every way of both families, and wants the gate's user to reach
// gate, and all others the other answer.
func (p *pod) want(when, port, gate, others string) {
	p.t.Helper()
	for _, family := range families {
		for _, who := range append(p.others(), p.gate) {
			for _, way := range p.ways(who, family, port) {
				want := others
				if who == p.gate {
					want = gate
				}
				if gate == "tool" && want == "gate" && who != p.host && strings.HasPrefix(way, "[fe80:") {
					want = refused // it cannot be led to ::1
				}
				if got := who.Ask("dial", way); got != want {
					p.t.Errorf("%s: %s → %s: %s; want %s", when, who.Name, way, got, want)
				}
			}
		}
	}
	if p.t.Failed() {
		p.t.Fatalf("%s: the rules are\n%s", when, p.rules())
	}
}

func testTable(t *testing.T, backend string) {
	p := serving(t, backend)
	p.want("without a fence", "8080", "tool", "tool")
	p.apply(standard...)
	p.want("behind the fence", "8080", "tool", "gate")
	p.remove()
	p.want("without a fence again", "8080", "tool", "tool")
}

func testRefuse(t *testing.T, backend string) {
	p := serving(t, backend)
	p.apply(append(standard, "--mode=refuse")...)
	p.want("refusing", "8080", "tool", refused)
	p.want("the gate's own port", "15006", "gate", "gate")
	if rules := p.rules(); strings.Contains(rules, "*nat") {
		t.Errorf("there is a nat table:\n%s", rules)
	}
	p.apply(standard...)
	p.want("redirecting instead", "8080", "tool", "gate")
	p.iptables("-t", "nat", "-F")
	p.want("with nat flushed", "8080", "tool", refused)
}

func testSeveralPorts(t *testing.T, backend string) {
	p := serving(t, backend)
	p.listen(p.tool, "tool", ":8081")
	p.listen(p.tool, "tool", ":8082")
	p.apply("--tool-uid=1000", "--tool-port=8080", "--tool-port=8081")
	p.want("the first", "8080", "tool", "gate")
	p.want("the second", "8081", "tool", "gate")
	p.want("one that is not fenced", "8082", "tool", "tool")
}

func testTwice(t *testing.T, backend string) {
	p := newPod(t, backend)
	flags := append(standard, "--tool-port=9090", "--egress-allow=10.0.0.0/8:443,[fd00::/16]:443,10.0.0.10:53/udp", "--egress-port=15001")
	p.apply(flags...)
	once := p.rules()
	for range 2 {
		if r := p.fence("apply", flags...); r.code != 0 || strings.Contains(r.stdout, "tables") {
			t.Errorf("once more: exit code %d\n%s%s", r.code, r.stdout, r.err)
		}
		if again := p.rules(); again != once {
			t.Fatalf("once:\n%s\nagain:\n%s", once, again)
		}
	}
	for _, hook := range []string{"INPUT", "OUTPUT", "PREROUTING"} {
		if n := strings.Count(once, "-A "+hook+" -j SIDEGATE_"); n != map[string]int{"INPUT": 2, "OUTPUT": 4, "PREROUTING": 2}[hook] {
			t.Errorf("%d jumps in %s:\n%s", n, hook, once)
		}
	}
}

// In a namespace that has rules already these are as they were; in one that has
// none there are none.
func testRemoved(t *testing.T, backend string) {
	p := newPod(t, backend)
	p.apply(standard...)
	p.remove()
	for line := range strings.Lines(p.rules()) {
		if strings.Contains(line, ": -A") || strings.Contains(line, "SIDEGATE") {
			t.Errorf("left behind: %s", line)
		}
	}
	p.iptables("-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
	p.iptables("-A", "OUTPUT", "-p", "udp", "--dport", "9", "-j", "DROP")
	p.iptables("-P", "FORWARD", "DROP")
	p.iptables("-t", "nat", "-N", "THEIRS")
	p.iptables("-t", "nat", "-A", "PREROUTING", "-j", "THEIRS")
	before := p.rules()
	for _, flags := range [][]string{nil, {"--mode=refuse"}, {"--egress-allow=none", "--egress-port=15001"}} {
		p.apply(append(standard, flags...)...)
		if p.rules() == before {
			t.Fatal("apply has changed nothing")
		}
		p.remove()
		if after := p.rules(); after != before {
			t.Fatalf("before:\n%s\nafter:\n%s", before, after)
		}
	}
	p.remove() // where there is nothing to remove
}

func testPlan(t *testing.T, backend string) {
	p := newPod(t, backend)
	flags := append(standard, "--tool-port=9090", "--egress-allow=10.0.0.0/8:443,[fd00::/16]:443", "--egress-port=15001")
	w := newWatch(t, p)
	plan := p.fence("plan", flags...)
	if plan.code != 0 || w.log() != "" || strings.Contains(p.rules(), "SIDEGATE") {
		t.Fatalf("plan: exit code %d, %s; it ran\n%s", plan.code, plan.err, w.log())
	}
	applied := p.fenceWith(w.env(0, ""), "apply", flags...)
	if applied.code != 0 {
		t.Fatal(applied.err)
	}
	want := withoutComments(plan.stdout)
	if got := w.log(); got != want {
		t.Errorf("planned:\n%s\nrun:\n%s", want, got)
	}
	if got := withoutComments(applied.stdout); got != want {
		t.Errorf("planned:\n%s\nprinted:\n%s", want, got)
	}
}

func withoutComments(s string) string {
	var kept strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "#") {
			fmt.Fprint(&kept, line)
		}
	}
	return kept.String()
}
