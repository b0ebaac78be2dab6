package fence

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Answers to a probe.
const (
	toolAnswers   = "tool"
	gateAnswers   = "gate"
	egressAnswers = "egress listener"
	otherAnswers  = "reached"   // what was meant, where that is neither of them
	refused       = "refused"   // a reset, or an ICMP message
	silent        = "no answer" // within probeTime
)

// A Row is one probe: who reaches what.
type Row struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Answers string `json:"answers"`
	Fault   string `json:"fault,omitempty"` // what is wrong with that, or ""
}

// A Report is what Verify has found.
type Report struct {
	Rows   []Row    `json:"rows"`
	Faults []string `json:"faults,omitempty"` // of the rules
	Notes  []string `json:"notes,omitempty"`  // what was not looked at
}

// Err says how many leaks and other faults there are; nil: none.
func (r *Report) Err() error {
	n := len(r.Faults)
	for _, row := range r.Rows {
		if row.Fault != "" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("the fence does not hold: %d faults, marked above", n)
}

// Verify connects to the tool server's ports on every address of this network
// namespace, as the gate's user, the tool server's, root and another, and tells
// who answered. Where nobody listens it listens there itself meanwhile, as it
// does in an init container, where neither gate nor tool server has started.
// That other hosts are kept out it can only tell by the rules, which it reads
// too. It needs CAP_NET_ADMIN, CAP_SETUID and CAP_NET_BIND_SERVICE, and CheckHere
// must have passed.
func Verify(c Config, b Backend, families []Family) (*Report, error) {
	if err := b.lacks(); err != nil {
		return nil, err
	}
	if err := lacksCapability(capSetUID, errSetUID); err != nil {
		return nil, err
	}
	v := &verifier{config: &c, families: families}
	v.report.Notes = append(v.report.Notes, "another host: not probed, since no packet comes in from outside here; that the rules are in place says what becomes of it")
	if err := v.rules(b); err != nil {
		return nil, err
	}
	defer v.close()
	if err := v.standIn(); err != nil {
		return nil, err
	}
	if err := v.inward(); err != nil {
		return nil, err
	}
	if c.Egress != nil {
		if err := v.outward(); err != nil {
			return nil, err
		}
	}
	return &v.report, nil
}

var errSetUID = errors.New("CAP_SETUID is missing, by which probes are made as other users: give it to the container that runs this, and to no other")

// A verifier is one Verify under way.
type verifier struct {
	config    *Config
	families  []Family
	listeners []*standIn
	report    Report
}

func (v *verifier) close() {
	for _, l := range v.listeners {
		l.close()
	}
}

// rules sees that every chain is whole and comes first in its hook.
func (v *verifier) rules(b Backend) error {
	for _, family := range v.families {
		w, err := b.work(family, func(Command) {})
		if err != nil {
			return err
		}
		for _, ch := range v.config.chains(family) {
			reason, err := w.wrong(&ch)
			if err != nil {
				return err
			}
			if reason != "" {
				v.report.Faults = append(v.report.Faults, fmt.Sprintf("%s, table %s, %s: %s", family, ch.table, ch.hook, reason))
			}
		}
	}
	return nil
}

// wrong says what is wrong with a chain and the way to it, or "".
func (w *work) wrong(ch *chain) (string, error) {
	exists, place, err := w.find(ch)
	if err != nil {
		return "", err
	}
	if !exists || place == 0 {
		return "the rules are not in place: run apply", nil
	}
	if place > 1 {
		return fmt.Sprintf("%d rules of others come before the fence's: see whether they let anybody pass", place-1), nil
	}
	whole, err := w.whole(ch)
	if err != nil {
		return "", err
	}
	if !whole {
		return "somebody has changed the rules: run apply", nil
	}
	for _, bolt := range ch.bolts {
		if there, err := w.exists(ch, bolt); err != nil || there {
			return "the fence was not finished, so the gate is shut out too: run apply", err
		}
	}
	return "", nil
}

// standIn listens where nobody does.
func (v *verifier) standIn() error {
	type place struct {
		port int
		uid  uint32
	}
	places := []place{{v.config.GatePort, v.config.GateUID}}
	for _, port := range v.config.ToolPorts {
		places = append(places, place{port, v.config.ToolUID})
	}
	if e := v.config.Egress; e != nil && e.Port != 0 {
		places = append(places, place{e.Port, v.config.GateUID})
	}
	for _, p := range places {
		l, err := listenAs(p.uid, p.port)
		if errors.Is(err, errTaken) {
			continue // the real one
		}
		if err != nil {
			return err
		}
		v.listeners = append(v.listeners, l)
	}
	return nil
}

// A prober is a user as whom probes are made.
type prober struct {
	name string
	uid  uint32
}

func (v *verifier) probers() []prober {
	return []prober{
		{"gate", v.config.GateUID}, {"tool", v.config.ToolUID}, {"root", 0}, {"another", v.another()},
	}
}

// another is a user who is none of the others, and is mapped.
func (v *verifier) another() uint32 {
	for uid := uint32(65534); uid > 0; uid-- {
		if uid != v.config.GateUID && uid != v.config.ToolUID && unmapped("", uid) == nil {
			return uid
		}
	}
	return 0
}

func (p prober) String() string { return fmt.Sprintf("%s (uid %d)", p.name, p.uid) }

// inward probes the tool server's ports.
func (v *verifier) inward() error {
	addresses, err := v.addresses()
	if err != nil {
		return err
	}
	for _, port := range v.config.ToolPorts {
		for _, p := range v.probers() {
			for _, a := range addresses {
				to := netip.AddrPortFrom(a, uint16(port))
				answers, err := v.connect(p.uid, to)
				if err != nil {
					return err
				}
				v.report.Rows = append(v.report.Rows, Row{p.String(), to.String(), answers, v.judge(p, a, answers)})
			}
		}
	}
	return nil
}

// judge says what is wrong where p knocks at an address of the tool server's
// and answers does, or "".
func (v *verifier) judge(p prober, at netip.Addr, answers string) string {
	want := gateAnswers
	switch {
	case p.uid == v.config.GateUID:
		want = toolAnswers
	case v.config.Mode == Refuse, linkLocal.Contains(at.WithZone("")):
		want = refused
	}
	switch {
	case answers == want:
		return ""
	case want != toolAnswers && answers != refused && answers != silent && answers != gateAnswers:
		return "leak: it must be " + want
	}
	return "must be " + want
}

// maxAddresses bounds the probes on a host with very many.
const maxAddresses = 32

// addresses are those of this network namespace, and one more by which it is
// reached.
func (v *verifier) addresses() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cannot tell which addresses there are: %w", err)
	}
	var all []netip.Addr
	for _, i := range interfaces {
		own, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("cannot tell the addresses of %s: %w", i.Name, err)
		}
		for _, a := range own {
			if p, err := netip.ParsePrefix(a.String()); err == nil && i.Flags&net.FlagUp != 0 {
				all = append(all, zoned(p.Addr().Unmap(), i.Name))
			}
		}
	}
	if slices.ContainsFunc(all, func(a netip.Addr) bool { return a.Is4() && a.IsLoopback() }) {
		all = append(all, netip.AddrFrom4([4]byte{127, 0, 0, 5}))
	}
	if len(all) > maxAddresses {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("%d of %d addresses were not probed", len(all)-maxAddresses, len(all)))
		all = all[:maxAddresses]
	}
	return all, nil
}

func zoned(a netip.Addr, zone string) netip.Addr {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return a.WithZone(zone)
	}
	return a
}

// outward probes, as the tool server's user, a listener of its own on this
// host, whose port is not among those that are allowed.
func (v *verifier) outward() error {
	p := prober{"tool", v.config.ToolUID}
	canary, err := v.canary()
	if err != nil {
		return err
	}
	for _, family := range v.families {
		to := netip.AddrPortFrom(loopback(family).Addr(), uint16(canary.port))
		control, err := v.connect(0, to)
		if err != nil {
			return err
		}
		if control != otherAnswers {
			v.report.Notes = append(v.report.Notes, fmt.Sprintf("the way out by %s: not probed, as %s cannot be reached by root either", family, to.Addr()))
			continue
		}
		tcp, err := v.connect(p.uid, to)
		if err != nil {
			return err
		}
		udp, err := v.datagram(p.uid, to, canary)
		if err != nil {
			return err
		}
		want := refused
		if v.config.Egress.Port != 0 {
			want = egressAnswers
		}
		v.report.Rows = append(v.report.Rows,
			Row{p.String(), to.String() + ", not allowed", tcp, judgeOutward(tcp, want)},
			Row{p.String(), to.String() + "/udp, not allowed", udp, judgeOutward(udp, refused)})
	}
	return nil
}

func judgeOutward(answers, want string) string {
	switch answers {
	case want:
		return ""
	case refused, silent:
		return "must be " + want
	}
	return "leak: it must be " + want
}

// canary listens on a free port, for TCP and UDP, that is not allowed.
func (v *verifier) canary() (*standIn, error) {
	for range 16 {
		l, err := listenAs(0, 0)
		if err != nil {
			return nil, err
		}
		v.listeners = append(v.listeners, l)
		if !slices.ContainsFunc(v.config.Egress.Allow, func(d Destination) bool { return d.Port == l.port }) {
			return l, nil
		}
	}
	return nil, errors.New("cannot find a port for a probe that --egress-allow does not name")
}
