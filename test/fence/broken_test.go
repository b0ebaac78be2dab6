//go:build linux

package fence

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A watch stands before the iptables programs in PATH: it writes down each
// command that changes something, and at one of them breaks off.
type watch struct {
	t    *testing.T
	pod  *pod
	dir  string
	file string
}

// script runs the program and then, at the command that is asked for, kills
// who has called it; or fails instead of running it.
const script = `#!/bin/sh
for word in "$@"; do
	case "$word" in
	-S | -C | --version) exec %[1]s "$@" ;;
	nat) if [ "$HOW" = no-nat ]; then
		echo "%[2]s v1.8.9 (legacy): can't initialize %[2]s table \` + "`nat'" + `: Table does not exist (do you need to insmod?)" >&2
		exit 3
	fi ;;
	esac
done
echo "%[2]s $*" >>"$WATCH_LOG"
n=$(wc -l <"$WATCH_LOG")
if [ "$n" = "$AT" ] && [ "$HOW" = fail ]; then
	echo "no more" >&2
	exit 4
fi
%[1]s "$@"
code=$?
if [ "$n" = "$AT" ] && [ "$HOW" = kill ]; then kill -9 "$PPID"; fi
exit $code
`

func newWatch(t *testing.T, p *pod) *watch {
	t.Helper()
	w := &watch{t, p, t.TempDir(), filepath.Join(t.TempDir(), "log")}
	for _, program := range []string{"iptables-" + p.backend, "ip6tables-" + p.backend} {
		real, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, program), fmt.Appendf(nil, script, real, program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// env puts the watch in place, with a log that is empty.
func (w *watch) env(at int, how string) []string {
	os.Remove(w.file)
	return []string{"PATH=" + w.dir + ":" + os.Getenv("PATH"), "WATCH_LOG=" + w.file, fmt.Sprint("AT=", at), "HOW=" + how}
}

func (w *watch) log() string {
	log, err := os.ReadFile(w.file)
	if err != nil {
		return ""
	}
	return string(log)
}

// state is "open" where all others reach the tool server, "shut" where none
// does, and else tells who does.
func (p *pod) state(family string) string {
	var in []string
	all := 0
	for _, who := range p.others() {
		for _, way := range p.ways(who, family, "8080") {
			all++
			if answer := who.Ask("dial", way); answer == "tool" {
				in = append(in, who.Name+" → "+way)
			} else if answer != "gate" && answer != refused {
				in = append(in, who.Name+" → "+way+" "+answer)
			}
		}
	}
	switch len(in) {
	case all:
		return "open"
	case 0:
		return "shut"
	}
	return "half-way: " + strings.Join(in, ", ")
}

// testKilled kills apply after each command in turn.
func testKilled(t *testing.T, backend string) {
	breakOff(t, backend, "kill", "open", func(p *pod) { p.remove() }, standard)
}

// testFailing lets each command in turn fail.
func testFailing(t *testing.T, backend string) {
	breakOff(t, backend, "fail", "open", func(p *pod) { p.remove() }, standard)
}

// testChanged kills an apply that puts another fence in the place of one: it is
// never open.
func testChanged(t *testing.T, backend string) {
	earlier := append(standard, "--mode=refuse", "--tool-port=8081")
	breakOff(t, backend, "kill", "shut", func(p *pod) { p.apply(earlier...) }, standard)
}

// breakOff breaks apply off at each command, from what begin makes. Each family
// is then as before, or shut, and a second apply completes.
func breakOff(t *testing.T, backend, how, before string, begin func(*pod), flags []string) {
	p := serving(t, backend)
	w := newWatch(t, p)
	for at := 1; ; at++ {
		begin(p)
		r := p.fenceWith(w.env(at, how), "apply", flags...)
		if strings.Count(w.log(), "\n") < at {
			if r.code != 0 || at < 20 {
				t.Fatalf("not broken off: exit code %d after %d commands\n%s", r.code, at-1, r.err)
			}
			p.want("completed", "8080", "tool", "gate")
			t.Logf("broken off at each of %d commands", at-1)
			return
		}
		if r.code == 0 || how == "fail" && (r.code != 1 || !strings.Contains(r.err, "no more")) {
			t.Fatalf("broken off at %d: exit code %d, %s", at, r.code, r.err)
		}
		for _, family := range families {
			if state := p.state(family); state != before && state != "shut" {
				t.Fatalf("broken off at %d, %s is %s; commands:\n%s", at, family, state, w.log())
			}
		}
		p.apply(flags...)
		for _, family := range families {
			if state, gate := p.state(family), p.gate.Ask("dial", p.ways(p.gate, family, "8080")[0]); state != "shut" || gate != "tool" {
				t.Fatalf("broken off at %d, and completed, %s is %s and the gate reaches %s", at, family, state, gate)
			}
		}
	}
}

// testMended changes a fence behind its back; apply puts it right.
func testMended(t *testing.T, backend string) {
	p := serving(t, backend)
	p.apply(standard...)
	good := p.rules()
	for _, harm := range []func(){
		func() { p.iptables("-t", "nat", "-F") },
		func() { p.iptables("-F") },
		func() { p.iptables("-F", "INPUT") },
		func() { p.iptables("-I", "INPUT", "1", "-i", "eth0", "-j", "ACCEPT") },
		func() { p.iptables("-F", chainOf(t, good, "OUT")) },
		func() { p.iptables("-A", chainOf(t, good, "IN"), "-j", "ACCEPT") },
	} {
		harm()
		if r := p.fence("verify", standard...); r.code != 1 {
			t.Errorf("verify: exit code %d\n%s%s", r.code, r.stdout, r.err)
		}
		p.apply(standard...)
		p.want("mended", "8080", "tool", "gate")
		if r := p.fence("verify", standard...); r.code != 0 {
			t.Errorf("mended, verify: exit code %d\n%s%s", r.code, r.stdout, r.err)
		}
	}
	p.remove()
	if rules := p.rules(); strings.Contains(rules, "SIDEGATE") {
		t.Errorf("left behind:\n%s", rules)
	}
}

// chainOf finds a chain of table filter by the beginning of its name.
func chainOf(t *testing.T, rules, short string) string {
	t.Helper()
	hook := map[string]string{"IN": "-A INPUT -j ", "OUT": "-A OUTPUT -j "}[short]
	filter := rules[strings.Index(rules, "*filter"):]
	_, rest, ok := strings.Cut(filter, hook)
	if !ok {
		t.Fatalf("no jump to %s:\n%s", short, rules)
	}
	name, _, _ := strings.Cut(rest, "\n")
	return name
}
