package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"sidegate/deploy/fence"
)

// fenceSettings are what fence is told.
type fenceSettings struct {
	config  fence.Config
	backend string
	output  string
	toolPID int

	mode        string
	egressPort  int
	egressAllow []egressAllow
}

// An egressAllow is a destination, or nowhere.
type egressAllow struct {
	nowhere bool
	fence.Destination
}

// nobody is a user's number that stands for none: the flag was not given.
const nobody = math.MaxUint32

func fenceDefaults() *fenceSettings {
	return &fenceSettings{
		config:  fence.Config{GatePort: 15006, GateUID: 1337, ToolUID: nobody},
		backend: "auto",
		output:  "text",
		mode:    string(fence.Redirect),
	}
}

// flags are over s, whose values are the defaults.
func (s *fenceSettings) flags() *pflag.FlagSet {
	fs := newFlags()
	fs.Var(&list[int]{&s.config.ToolPorts, "PORT", true, parseCount}, "tool-port", "where the tool server listens; repeatable")
	fs.Var(uidValue(&s.config.ToolUID), "tool-uid", "the user who runs the tool server, by number")
	fs.Var(portValue(&s.config.GatePort), "gate-port", "where the gate listens, on all addresses")
	fs.Var(uidValue(&s.config.GateUID), "gate-uid", "the user who runs the gate, and nothing else, by number")
	fs.Var(choiceValue(&s.mode, string(fence.Redirect), string(fence.Refuse)), "mode", "what becomes of others than the gate: led to the gate, or refused")
	fs.Var(&list[egressAllow]{&s.egressAllow, "CIDR:PORT", true, parseEgressAllow}, "egress-allow", `let the tool server reach these, by TCP (CIDR:PORT/udp: by UDP), and nothing else; "none": nowhere; repeatable`)
	fs.Var(portValue(&s.egressPort), "egress-port", "lead all other TCP of the tool server to a listener on this port, instead of refusing it")
	fs.Var(&value[int]{&s.toolPID, "PID", parseCount, portFormat}, "tool-pid", "refuse to go on if this process of the tool server's could pass the fence by: by another user, capabilities, or setuid programs")
	fs.Var(choiceValue(&s.backend, "auto", fence.NFT, fence.Legacy), "iptables", "the kernel's interface; auto: nft if it works here, else legacy")
	fs.Var(choiceValue(&s.output, "text", "json"), "output", "how to print")
	return fs
}

// portValue shows no default where there is none.
func portValue(p *int) *value[int] { return &value[int]{p, "PORT", parseCount, portFormat} }

func portFormat(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func uidValue(p *uint32) *value[uint32] {
	return &value[uint32]{p, "UID", parseUID, func(n uint32) string {
		if n == nobody {
			return ""
		}
		return strconv.FormatUint(uint64(n), 10)
	}}
}

// parseEgressAllow reads 10.0.0.0/8:443, [2001:db8::/32]:443, 10.0.0.10:53/udp
// and none.
func parseEgressAllow(s string) (egressAllow, error) {
	if s == "none" {
		return egressAllow{nowhere: true}, nil
	}
	wrong := fmt.Errorf(`must be a network and a port, as in 10.0.0.0/8:443, [2001:db8::/32]:443 or 10.0.0.10:53/udp, or none; it is %q`, s)
	rest, udp := strings.CutSuffix(s, "/udp")
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 {
		return egressAllow{}, wrong
	}
	network, err := parsePrefix(strings.TrimSuffix(strings.TrimPrefix(rest[:colon], "["), "]"))
	if err != nil || network.Addr().Is4In6() { // which on the wire is IPv4, and would match nothing
		return egressAllow{}, wrong
	}
	port, err := strconv.Atoi(rest[colon+1:])
	if err != nil || port < 1 || port > math.MaxUint16 {
		return egressAllow{}, wrong
	}
	protocol := "tcp"
	if udp {
		protocol = "udp"
	}
	return egressAllow{Destination: fence.Destination{Net: network, Port: port, Protocol: protocol}}, nil
}

// validate reports what is wrong with values that are well-formed each by
// itself, and completes the configuration.
func (s *fenceSettings) validate(add func(flag, reason string)) {
	if s.config.ToolUID == nobody {
		add("tool-uid", "is missing: name the user who runs the tool server, by number, as the fence tells it from the gate by that")
	}
	if s.toolPID < 0 {
		add("tool-pid", fmt.Sprintf("must be a process's number; it is %d", s.toolPID))
	}
	slices.Sort(s.config.ToolPorts) // so that their order makes no other fence
	s.config.ToolPorts = slices.Compact(s.config.ToolPorts)
	s.config.Mode = fence.Mode(s.mode)
	egress, err := s.egress()
	if err != nil {
		add("egress-allow", err.Error())
	}
	s.config.Egress = egress
	s.config.Validate(add)
}

// egress is nil where nothing is said about the way out.
func (s *fenceSettings) egress() (*fence.Egress, error) {
	if len(s.egressAllow) == 0 && s.egressPort == 0 {
		return nil, nil
	}
	e := &fence.Egress{Port: s.egressPort}
	for _, a := range s.egressAllow {
		if a.nowhere && len(s.egressAllow) > 1 {
			return e, errors.New("must not be none and something as well")
		}
		if !a.nowhere {
			e.Allow = append(e.Allow, a.Destination)
		}
	}
	return e, nil
}
