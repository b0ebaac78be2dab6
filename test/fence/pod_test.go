//go:build linux

package fence

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sidegate/test/netns"
)

// The pod's addresses and the other host's, by family.
const (
	pod4, host4 = netns.Pod4, netns.Host4
	pod6, host6 = netns.Pod6, netns.Host6
)

// Users.
const (
	toolUID  = 1000
	gateUID  = 1337
	otherUID = 2000
)

// A pod is a network namespace with a tool server and a gate in it, and another
// host beside it.
type pod struct {
	t                             *testing.T
	backend                       string
	dir                           string
	root, other, tool, gate, host *netns.Person
	env                           []string
}

// newPod starts everybody; nobody listens yet.
func newPod(t *testing.T, backend string) *pod {
	t.Helper()
	p := &pod{t: t, backend: backend, dir: t.TempDir()}
	p.env = []string{"XTABLES_LOCKFILE=" + filepath.Join(p.dir, "lock"), "PATH=" + os.Getenv("PATH"), "HOME=/"}
	pair := netns.NewPair(t)
	p.root, p.host = pair.Pod, pair.Host
	p.other = netns.NewPerson(t, "another container", otherUID, nil, p.root.Enter()...)
	p.tool = netns.NewPerson(t, "tool", toolUID, nil, p.root.Enter()...)
	p.gate = netns.NewPerson(t, "gate", gateUID, nil, p.root.Enter()...)
	return p
}

// serving is a pod in which tool server and gate listen, on all addresses.
func serving(t *testing.T, backend string) *pod {
	t.Helper()
	p := newPod(t, backend)
	p.listen(p.tool, "tool", ":8080")
	p.listen(p.gate, "gate", ":15006")
	return p
}

func (p *pod) listen(who *netns.Person, name, at string) {
	p.t.Helper()
	if said := who.Ask("listen", name, at); said != "ok" {
		p.t.Fatal(said)
	}
}

// A result is how a command ended.
type result struct {
	code        int // -1: by a signal
	stdout, err string
}

// run runs a command line in the pod.
func (p *pod) run(env []string, line ...string) result {
	p.t.Helper()
	line = append(p.root.Enter(), line...)
	return runCommand(p.t, exec.Command(line[0], line[1:]...), append(p.env, env...))
}

func runCommand(t *testing.T, cmd *exec.Cmd, env []string) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, env
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// standard are the flags of most tests.
var standard = []string{"--tool-port=8080", "--tool-uid=1000"}

// fence runs a subcommand with the pod's backend.
func (p *pod) fence(command string, flags ...string) result {
	p.t.Helper()
	return p.fenceWith(nil, command, flags...)
}

func (p *pod) fenceWith(env []string, command string, flags ...string) result {
	p.t.Helper()
	return p.run(env, append([]string{gateway, "fence", command, "--iptables=" + p.backend}, flags...)...)
}

// apply must do.
func (p *pod) apply(flags ...string) {
	p.t.Helper()
	if r := p.fence("apply", flags...); r.code != 0 {
		p.t.Fatalf("apply %v: exit code %d\n%s%s", flags, r.code, r.stdout, r.err)
	}
}

func (p *pod) remove() {
	p.t.Helper()
	if r := p.run(nil, gateway, "fence", "remove"); r.code != 0 {
		p.t.Fatalf("remove: exit code %d\n%s%s", r.code, r.stdout, r.err)
	}
}

var counters = regexp.MustCompile(`\[\d+:\d+\]`)

// rules is all that iptables-save tells, of both families and backends, but for
// counters and times.
func (p *pod) rules() string {
	p.t.Helper()
	var all strings.Builder
	for _, program := range []string{"iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"} {
		r := p.run(nil, program)
		if r.code != 0 {
			p.t.Fatalf("%s: %s", program, r.err)
		}
		for line := range strings.Lines(r.stdout) {
			if !strings.HasPrefix(line, "#") {
				all.WriteString(program + ": " + counters.ReplaceAllString(line, ""))
			}
		}
	}
	return all.String()
}

// iptables runs the backend's program of each family.
func (p *pod) iptables(args ...string) {
	p.t.Helper()
	for _, program := range []string{"iptables-", "ip6tables-"} {
		if r := p.run(nil, append([]string{program + p.backend}, args...)...); r.code != 0 {
			p.t.Fatalf("%s %v: %s", program, args, r.err)
		}
	}
}
