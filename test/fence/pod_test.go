//go:build linux

package fence

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"sidegate/test/e2e/harness"
)

// The pod's addresses, by family; the other host has 1 in the place of 2.
const (
	pod4, host4 = "10.9.0.2", "10.9.0.1"
	pod6, host6 = "fd00:9::2", "fd00:9::1"
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
	root, other, tool, gate, host *person
	env                           []string
}

// newPod starts everybody; nobody listens yet.
func newPod(t *testing.T, backend string) *pod {
	t.Helper()
	p := &pod{t: t, backend: backend, dir: t.TempDir()}
	p.env = []string{"XTABLES_LOCKFILE=" + filepath.Join(p.dir, "lock"), "PATH=" + os.Getenv("PATH"), "HOME=/"}
	own := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	p.root = newPerson(t, "root of another container", 0, own)
	p.host = newPerson(t, "another host", 0, own)
	p.wire()
	p.other = newPerson(t, "another container", otherUID, nil, p.enter()...)
	p.tool = newPerson(t, "tool", toolUID, nil, p.enter()...)
	p.gate = newPerson(t, "gate", gateUID, nil, p.enter()...)
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

func (p *pod) listen(who *person, name, at string) {
	p.t.Helper()
	if said := who.ask("listen", name, at); said != "ok" {
		p.t.Fatal(said)
	}
}

// wire joins the pod with the other host. Addresses are good at once: nobody
// else can have them.
func (p *pod) wire() {
	p.t.Helper()
	settle := "echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; ip -batch -"
	p.batch(p.root, settle, fmt.Sprintf(`link set lo up
link add eth0 type veth peer name eth0 netns %d
addr add %s/24 dev eth0
addr add %s/64 dev eth0 nodad
link set eth0 up
`, p.host.pid, pod4, pod6))
	p.batch(p.host, settle, fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\naddr add %s/64 dev eth0 nodad\nlink set eth0 up\n", host4, host6))
	for _, where := range []*person{p.root, p.host} {
		harness.Eventually(p.t, where.name+" has a link-local address, and a way to others", func() bool {
			out, err := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", where.pid), "sh", "-c", "ip -6 -o addr show dev eth0 scope link -tentative; ip -6 route show dev eth0").Output()
			return err == nil && strings.Contains(string(out), "inet6 fe80:") && strings.Contains(string(out), "fe80::/64")
		})
	}
}

func (p *pod) batch(where *person, command, in string) {
	p.t.Helper()
	cmd := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", where.pid), "sh", "-ec", command)
	cmd.Stdin = strings.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// enter begins a command line that is run in the pod.
func (p *pod) enter() []string {
	return []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", p.root.pid), "--"}
}

// A result is how a command ended.
type result struct {
	code        int // -1: by a signal
	stdout, err string
}

// run runs a command line in the pod.
func (p *pod) run(env []string, line ...string) result {
	p.t.Helper()
	line = append(p.enter(), line...)
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
