// Package fence closes every way to a tool server's ports but the one through
// the gate, with packet-filter rules of the network namespace in which it runs,
// and, where that is asked for, all ways out for the tool server but some.
//
// It is the only package that touches packet filters, and the gate itself does
// not import it: the rules are put in once, before gate and tool server start,
// by somebody who has CAP_NET_ADMIN, and neither of the two needs it.
//
// The rules are data (rules.go), from which Plan, Apply, Remove and Verify are
// made.
package fence

import (
	"fmt"
	"net/netip"
	"slices"
)

// A Mode says what becomes of those who knock at the tool server's port.
type Mode string

// The modes.
const (
	Redirect Mode = "redirect" // they are led to the gate
	Refuse   Mode = "refuse"   // they get a reset
)

// A Config says what is fenced. Ports are from 1 to 65535.
type Config struct {
	ToolPorts []int
	GatePort  int // where the gate listens, on all addresses
	GateUID   uint32
	ToolUID   uint32
	Mode      Mode
	Egress    *Egress // nil: the tool server's way out stays open
}

// Egress is how the tool server, told by its user, may reach others.
type Egress struct {
	Port  int           // of a local listener that gets all TCP that is not allowed; 0: it is refused
	Allow []Destination // none: nowhere
}

// A Destination is a network and a port.
type Destination struct {
	Net      netip.Prefix
	Port     int
	Protocol string // "tcp" or "udp"
}

// Validate tells add what is wrong, by the flag it concerns. A fence that would
// mean nothing is wrong.
func (c *Config) Validate(add func(flag, reason string)) {
	if len(c.ToolPorts) == 0 {
		add("tool-port", "is missing: name the port on which the tool server listens")
	}
	for _, p := range c.ToolPorts {
		addPort(add, "tool-port", p)
	}
	addPort(add, "gate-port", c.GatePort)
	if slices.Contains(c.ToolPorts, c.GatePort) {
		add("gate-port", fmt.Sprintf("must not be a tool port: %d is both, and gate and tool server would be one", c.GatePort))
	}
	c.validateUsers(add)
	if c.Egress != nil {
		c.Egress.validate(c, add)
	}
}

// validateUsers refuses users by whom gate and tool server could not be told
// apart: that is all that the rules tell them by.
func (c *Config) validateUsers(add func(flag, reason string)) {
	switch {
	case c.ToolUID == 0:
		add("tool-uid", "must not be 0: root may become the gate's user, or take the rules out, so the fence would mean nothing; run the tool server as another user")
	case c.ToolUID == c.GateUID:
		add("tool-uid", fmt.Sprintf("must not be the gate's: with %d for both the tool server passes for the gate, so the fence would mean nothing", c.ToolUID))
	}
	if c.GateUID == 0 {
		add("gate-uid", "must not be 0: root of every other container would pass for the gate; run the gate as a user of its own")
	}
}

func (e *Egress) validate(c *Config, add func(flag, reason string)) {
	if e.Port != 0 {
		addPort(add, "egress-port", e.Port)
		if e.Port == c.GatePort || slices.Contains(c.ToolPorts, e.Port) {
			add("egress-port", fmt.Sprintf("must be a listener of its own: %d is the gate's or a tool port", e.Port))
		}
	}
	for _, d := range e.Allow {
		addPort(add, "egress-allow", d.Port)
	}
}

func addPort(add func(flag, reason string), flag string, port int) {
	if port < 1 || port > 65535 {
		add(flag, fmt.Sprintf("must be a port from 1 to 65535; it is %d", port))
	}
}
