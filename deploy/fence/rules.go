package fence

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Family is one of the two kinds of addresses, each with rules of its own.
type Family string

// The families.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

var families = []Family{IPv4, IPv6}

// Tables, in the order in which they are filled: with filter alone the tool
// server is shut, with nat alone it is not.
const (
	filter = "filter"
	nat    = "nat"
)

// A rule is what follows a chain's name on a command line.
type rule struct {
	spec []string
	why  string
}

// A chain is one of ours: it is built whole before hook, one of the table's
// own, leads to it. Its name says what is in it, so that a chain to which the
// hook leads is whole, and one that changes is built beside the old one.
type chain struct {
	table, hook, name string
	why               string // of the jump
	rules             []rule
	bolts             []rule // they stand at the end until the fence is whole
}

// prefix begins the name of every chain of ours, and of nobody else's.
const prefix = "SIDEGATE_"

// name is at most 28 characters, which is all that the kernel takes.
func (c *chain) setName(short string) {
	hash := sha256.New()
	for _, r := range c.rules {
		fmt.Fprintln(hash, strings.Join(r.spec, " "))
	}
	c.name = fmt.Sprintf("%s%s_%x", prefix, short, hash.Sum(nil)[:4])
}

// chains are the whole fence of one family, in the order in which it is built.
func (c *Config) chains(family Family) []chain {
	all := []chain{
		c.filterIn(), c.filterOut(family),
		c.natIn(), c.natOut(family),
	}
	used := all[:0]
	for i, short := range []string{"IN", "OUT", "IN", "OUT"} {
		if len(all[i].rules) > 0 {
			all[i].setName(short)
			used = append(used, all[i])
		}
	}
	return used
}

// filterIn stops other hosts. Until filterOut stops the other containers, whose
// packets it cannot tell from the gate's, its bolts stop them all: so one
// command shuts the tool server, and there is no moment between open and shut.
func (c *Config) filterIn() chain {
	in := chain{table: filter, hook: "INPUT", why: "from here on nobody reaches the tool server"}
	for _, port := range c.ToolPorts {
		in.add("other hosts do not reach the tool server past the gate", "! -i lo -p tcp --dport %d -j REJECT --reject-with tcp-reset", port)
		in.bolts = append(in.bolts, newRule("until the fence is whole nobody on this host does", "-i lo -p tcp --dport %d --syn -j REJECT --reject-with tcp-reset", port))
	}
	return in
}

// filterOut stops who is on this host. It looks at the first packet of a
// connection only: those of a socket that the gate has closed, and whose last
// bytes are still on their way, have no owner any more.
func (c *Config) filterOut(family Family) chain {
	out := chain{table: filter, hook: "OUTPUT", why: "from here on the gate alone would, but for the bolts"}
	for _, port := range c.ToolPorts {
		out.add("nobody on this host but the gate opens a connection to the tool server", "-o lo -p tcp --dport %d --syn -m owner ! --uid-owner %d -j REJECT --reject-with tcp-reset", port, c.GateUID)
	}
	if c.Egress == nil {
		return out
	}
	out.add("the tool server may answer, and go on with what it was allowed", "-m owner --uid-owner %d -m conntrack --ctstate ESTABLISHED -j RETURN", c.ToolUID)
	for _, d := range c.Egress.of(family) {
		out.add("the tool server may reach "+d.String(), "-m owner --uid-owner %d -p %s -d %s --dport %d -j RETURN", c.ToolUID, d.Protocol, d.Net, d.Port)
	}
	if c.Mode == Redirect {
		out.add("the tool server may reach the gate", "-m owner --uid-owner %d -o lo -p tcp --dport %d -j RETURN", c.ToolUID, c.GatePort)
	}
	if c.Egress.Port != 0 {
		// What was redirected still has the interface of its first way.
		out.add("what was led to the egress listener may reach it", "-m owner --uid-owner %d -p tcp -d %s --dport %d -j RETURN", c.ToolUID, loopback(family), c.Egress.Port)
	}
	out.add("the tool server opens no other connection", "-m owner --uid-owner %d -p tcp -j REJECT --reject-with tcp-reset", c.ToolUID)
	out.add("the tool server sends nothing else, nor asks a name server", "-m owner --uid-owner %d -j REJECT", c.ToolUID)
	return out
}

// natIn leads other hosts to the gate; those that only pass through this one
// are not meant.
func (c *Config) natIn() chain {
	in := chain{table: nat, hook: "PREROUTING", why: "from here on other hosts reach the gate"}
	if c.Mode == Redirect {
		for _, port := range c.ToolPorts {
			in.add("other hosts are led to the gate", "-p tcp --dport %d -m addrtype --dst-type LOCAL -j REDIRECT --to-ports %d", port, c.GatePort)
		}
	}
	return in
}

// natOut leads who is on this host to the gate, and the tool server's own
// connections to the egress listener.
func (c *Config) natOut(family Family) chain {
	out := chain{table: nat, hook: "OUTPUT", why: "from here on everybody on this host reaches the gate"}
	redirects := c.Mode == Redirect || c.Egress != nil && c.Egress.Port != 0
	if redirects && family == IPv6 {
		out.add("a connection between link-local addresses cannot be led to ::1, so it is left to be refused", "-d %s -j RETURN", linkLocal)
	}
	if c.Mode == Redirect {
		out.add("the gate goes its own way", "-m owner --uid-owner %d -j RETURN", c.GateUID)
		for _, port := range c.ToolPorts {
			out.add("the others on this host are led to the gate", "-o lo -p tcp --dport %d -j REDIRECT --to-ports %d", port, c.GatePort)
		}
	}
	if c.Egress == nil || c.Egress.Port == 0 {
		return out
	}
	for _, d := range c.Egress.of(family) {
		if d.Protocol == "tcp" {
			out.add("what is allowed needs no help", "-m owner --uid-owner %d -p tcp -d %s --dport %d -j RETURN", c.ToolUID, d.Net, d.Port)
		}
	}
	for _, port := range c.notOutward() {
		out.add("what is meant for the gate, or refused, is not led elsewhere", "-m owner --uid-owner %d -o lo -p tcp --dport %d -j RETURN", c.ToolUID, port)
	}
	out.add("all other TCP of the tool server is led to the egress listener", "-m owner --uid-owner %d -p tcp -j REDIRECT --to-ports %d", c.ToolUID, c.Egress.Port)
	return out
}

// notOutward are the local ports whose connections filterOut decides about.
func (c *Config) notOutward() []int {
	if c.Mode == Redirect {
		return []int{c.GatePort}
	}
	return c.ToolPorts
}

func (e *Egress) of(family Family) []Destination {
	var those []Destination
	for _, d := range e.Allow {
		if d.Net.Addr().Is4() == (family == IPv4) {
			those = append(those, d)
		}
	}
	return those
}

// linkLocal addresses are good on one interface alone.
var linkLocal = netip.MustParsePrefix("fe80::/10")

func loopback(family Family) netip.Prefix {
	if family == IPv4 {
		return netip.MustParsePrefix("127.0.0.1/32")
	}
	return netip.MustParsePrefix("::1/128")
}

// String is d as the flag takes it.
func (d Destination) String() string {
	s := d.Net.String() + ":" + strconv.Itoa(d.Port)
	if d.Net.Addr().Is6() {
		s = "[" + d.Net.String() + "]:" + strconv.Itoa(d.Port)
	}
	if d.Protocol == "udp" {
		s += "/udp"
	}
	return s
}

func (c *chain) add(why, format string, args ...any) {
	c.rules = append(c.rules, newRule(why, format, args...))
}

func newRule(why, format string, args ...any) rule {
	return rule{spec: strings.Fields(fmt.Sprintf(format, args...)), why: why}
}
