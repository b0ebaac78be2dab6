package fence

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// nft is the backend of most cases: legacy differs in the programs' names.
var nft = backend(NFT, "iptables-nft")

func config(change func(*Config)) Config {
	c := Config{ToolPorts: []int{8080}, GatePort: 15006, GateUID: 1337, ToolUID: 1000, Mode: Redirect}
	change(&c)
	return c
}

func to(network string, port int, protocol string) Destination {
	return Destination{netip.MustParsePrefix(network), port, protocol}
}

var planCases = []struct {
	name    string
	config  Config
	backend Backend
}{
	{"redirect", config(func(*Config) {}), nft},
	{"redirect-legacy", config(func(*Config) {}), backend(Legacy, "iptables-legacy")},
	{"redirect-two-ports", config(func(c *Config) { c.ToolPorts = []int{8080, 9090} }), nft},
	{"refuse", config(func(c *Config) { c.Mode = Refuse }), nft},
	{"refuse-two-ports", config(func(c *Config) { c.Mode = Refuse; c.ToolPorts = []int{8080, 9090} }), nft},
	{"egress-nowhere", config(func(c *Config) { c.Egress = &Egress{} }), nft},
	{"egress-allow", config(func(c *Config) {
		c.Egress = &Egress{Allow: []Destination{to("10.0.0.0/8", 443, "tcp"), to("2001:db8::/32", 443, "tcp"), to("10.0.0.10/32", 53, "udp")}}
	}), nft},
	{"egress-port", config(func(c *Config) {
		c.Egress = &Egress{Port: 15001, Allow: []Destination{to("10.0.0.0/8", 443, "tcp"), to("10.0.0.10/32", 53, "udp")}}
	}), nft},
	{"refuse-egress-allow", config(func(c *Config) {
		c.Mode, c.Egress = Refuse, &Egress{Allow: []Destination{to("10.0.0.0/8", 443, "tcp")}}
	}), nft},
	{"refuse-egress-port", config(func(c *Config) { c.Mode, c.Egress = Refuse, &Egress{Port: 15001} }), nft},
}

func TestPlan(t *testing.T) {
	for _, c := range planCases {
		var text strings.Builder
		for _, command := range Plan(c.config, c.backend, families) {
			fmt.Fprintf(&text, "%s  # %s\n", strings.Join(command.Argv, " "), command.Why)
		}
		compareGolden(t, "plan-"+c.name+".golden", text.String())
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at the change, then run: go test ./deploy/fence -update\n%s", name, got)
	}
}

// What holds for every plan, whatever the golden files say.
func TestPlansAreShutFirst(t *testing.T) {
	for _, c := range planCases {
		for _, family := range families {
			var args []string
			for _, command := range Plan(c.config, c.backend, families) {
				if command.Family == family {
					args = append(args, strings.Join(command.Argv[1:], " "))
				}
			}
			firstJump, firstNAT := index(args, " -I "), index(args, "-t nat")
			if firstJump < 0 || !strings.Contains(args[firstJump], "-I INPUT 1") {
				t.Errorf("%s, %s: the first command that changes anything is not the jump in INPUT", c.name, family)
			}
			if firstNAT >= 0 && firstNAT < index(args, "-I OUTPUT 1") {
				t.Errorf("%s, %s: nat comes before filter is shut", c.name, family)
			}
			if last := args[len(args)-1]; !strings.Contains(last, " -D ") {
				t.Errorf("%s, %s: the bolt is not drawn last: %s", c.name, family, last)
			}
		}
	}
}

func index(args []string, part string) int {
	for i, a := range args {
		if strings.Contains(a, part) {
			return i
		}
	}
	return -1
}

// A chain's name is another where its rules are, fits the kernel's 28
// characters, and is the same for the same rules.
func TestChainsAreNamedAfterTheirRules(t *testing.T) {
	names := map[string]string{}
	for _, c := range planCases {
		for _, family := range families {
			for _, ch := range c.config.chains(family) {
				rules := fmt.Sprint(ch.table)
				for _, r := range ch.rules {
					rules += fmt.Sprintln(r.spec)
				}
				key := ch.table + ch.name
				if other, ok := names[key]; ok && other != rules {
					t.Errorf("%s is the name of two chains:\n%s\n%s", ch.name, rules, other)
				}
				names[key] = rules
				if len(ch.name) > 28 {
					t.Errorf("%s is too long", ch.name)
				}
			}
		}
	}
	if len(names) < 12 {
		t.Errorf("there are only %d names", len(names))
	}
}
