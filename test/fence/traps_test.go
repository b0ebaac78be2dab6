//go:build linux

package fence

import (
	"strconv"
	"strings"
	"testing"

	"sidegate/test/netns"
)

// What is sent through one connection, and how much of it the receiver leaves
// until the sender has closed: the sender's buffer holds that, its own does not.
const (
	wholeBytes = 600_000
	lastBytes  = 300_000
)

// testWhole lets the gate close a connection first, with bytes still to go out:
// the kernel sends them for nobody. The rule looks at the first packet alone, so
// they arrive; with a rule that looks at all of them they do not.
func testWhole(t *testing.T, backend string) {
	whole := strconv.Itoa(wholeBytes)
	p := newPod(t, backend)
	p.listen(p.tool, "sink", ":8080")
	p.apply(standard...)
	for _, way := range []string{"127.0.0.1:8080", pod4 + ":8080", "[::1]:8080", "[" + pod6 + "]:8080"} {
		if got := p.pushed(way); got != whole {
			t.Errorf("%s: %s of %s bytes arrived", way, got, whole)
		}
	}
	p.iptables("-I", "OUTPUT", "1", "-o", "lo", "-p", "tcp", "--dport", "8080", "-m", "owner", "!", "--uid-owner", "1337", "-j", "REJECT", "--reject-with", "tcp-reset")
	for _, way := range []string{"127.0.0.1:8080", "[::1]:8080"} {
		if got := p.pushed(way); got == whole {
			t.Errorf("%s: a rule that looks at every packet lets all bytes through, so this test cannot tell", way)
		}
	}
}

func (p *pod) pushed(way string) string {
	p.t.Helper()
	if said := p.gate.Ask("push", way, strconv.Itoa(wholeBytes)); said != "ok" {
		p.t.Fatalf("%s: %s", way, said)
	}
	return p.tool.Ask("sunk")
}

// testOutward bounds the tool server's way out, and nobody else's.
func testOutward(t *testing.T, backend string) {
	p := serving(t, backend)
	p.listen(p.host, "allowed", ":443")
	p.listen(p.host, "far", ":444")
	p.listen(p.root, "near", ":5432")
	for port, who := range map[string]*netns.Person{":53": p.host, ":54": p.host} {
		if said := who.Ask("hear", port); said != "ok" {
			t.Fatal(said)
		}
	}
	far := []string{host4 + ":444", "[" + host6 + "]:444", "127.0.0.1:5432", "[::1]:5432", pod4 + ":5432"}
	for _, way := range far {
		if got := p.tool.Ask("dial", way); got != "far" && got != "near" {
			t.Fatalf("without a fence %s: %s", way, got)
		}
	}
	p.apply(append(standard, "--egress-allow=10.9.0.0/24:443,[fd00:9::/64]:443,"+host4+":54/udp")...)
	p.want("inward nothing changes", "8080", "tool", "gate")
	for _, way := range far {
		if got := p.tool.Ask("dial", way); got != refused {
			t.Errorf("the tool server → %s: %s", way, got)
		}
		if got := p.other.Ask("dial", way); got != "far" && got != "near" {
			t.Errorf("another container → %s: %s", way, got)
		}
	}
	for _, way := range []string{host4 + ":443", "[" + host6 + "]:443"} {
		if got := p.tool.Ask("dial", way); got != "allowed" {
			t.Errorf("the tool server → %s: %s", way, got)
		}
	}
	wantDatagram := func(who *netns.Person, way, want string) {
		t.Helper()
		if got := who.Ask("udp", way); got != want {
			t.Errorf("%s → %s/udp: %s; want %s", who.Name, way, got, want)
		}
	}
	wantDatagram(p.tool, host4+":53", refused)
	wantDatagram(p.tool, "["+host6+"]:53", refused)
	wantDatagram(p.tool, host4+":54", "sent")
	wantDatagram(p.other, host4+":53", "sent")
	if got := p.host.Ask("heard"); got != "2" {
		t.Errorf("the other host got %s datagrams", got)
	}
	if r := p.fence("verify", append(standard, "--egress-allow=10.9.0.0/24:443,[fd00:9::/64]:443,"+host4+":54/udp")...); r.code != 0 {
		t.Errorf("verify: exit code %d\n%s%s", r.code, r.stdout, r.err)
	}
	p.apply(append(standard, "--egress-allow=none")...)
	if got := p.tool.Ask("dial", host4+":443"); got != refused {
		t.Errorf("with none allowed: %s", got)
	}
}

// testOutwardListener leads what is not allowed to a listener; on its way it
// still has the interface on which it would have gone out.
func testOutwardListener(t *testing.T, backend string) {
	p := serving(t, backend)
	p.listen(p.gate, "egress", ":15001")
	p.listen(p.host, "allowed", ":443")
	p.listen(p.host, "far", ":444")
	for _, mode := range []string{"redirect", "refuse"} {
		flags := append(standard, "--mode="+mode, "--egress-port=15001", "--egress-allow="+host4+":443,["+host6+"]:443")
		p.apply(flags...)
		others := map[string]string{"redirect": "gate", "refuse": refused}[mode]
		p.want(mode+", inward", "8080", "tool", others)
		for way, want := range map[string]string{
			host4 + ":443": "allowed", "[" + host6 + "]:443": "allowed",
			host4 + ":444": "egress", "[" + host6 + "]:444": "egress", "198.51.100.1:80": "egress",
			"127.0.0.1:9": "egress", "[::1]:9": "egress",
		} {
			if way == "198.51.100.1:80" {
				p.root.Shell(p.t, "ip route replace default via "+host4, "")
			}
			if got := p.tool.Ask("dial", way); got != want {
				t.Errorf("%s: the tool server → %s: %s; want %s", mode, way, got, want)
			}
		}
		if got := p.tool.Ask("udp", host4+":53"); got != refused {
			t.Errorf("%s: udp: %s", mode, got)
		}
		if r := p.fence("verify", flags...); r.code != 0 {
			t.Errorf("verify: exit code %d\n%s%s", r.code, r.stdout, r.err)
		}
	}
}

// testLoopbackGate shows why the gate has to listen on all addresses: what comes
// from another host is led to the address of the interface.
func testLoopbackGate(t *testing.T, backend string) {
	p := newPod(t, backend)
	p.listen(p.tool, "tool", ":8080")
	p.listen(p.gate, "gate", "127.0.0.1:15006")
	p.apply(standard...)
	if got := p.host.Ask("dial", pod4+":8080"); got != refused {
		t.Errorf("another host: %s", got)
	}
	if got := p.other.Ask("dial", pod4+":8080"); got != "gate" {
		t.Errorf("another container: %s", got)
	}
	r := p.fence("verify", standard...)
	if r.code != 1 || !strings.Contains(r.stdout, "[::1]:8080") || strings.Contains(r.stdout, "leak") {
		t.Errorf("verify: exit code %d\n%s%s", r.code, r.stdout, r.err)
	}
}
