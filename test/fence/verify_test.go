//go:build linux

package fence

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// A report is what verify prints as JSON.
type report struct {
	Rows []struct{ From, To, Answers, Fault string }
}

// testVerify looks where nobody listens, as in an init container, and where
// everybody does.
func testVerify(t *testing.T, backend string) {
	p := newPod(t, backend)
	p.wantVerdict("no fence, nobody listens", 1, "tool", "leak")
	p.apply(standard...)
	p.wantVerdict("fenced, nobody listens", 0, "gate", "")
	if got := p.other.Ask("dial", "127.0.0.1:15006"); got != refused {
		t.Errorf("verify still listens: %s", got)
	}
	p.listen(p.tool, "tool", ":8080")
	p.listen(p.gate, "gate", ":15006")
	p.wantVerdict("fenced, all listen", 0, "gate", "")
	p.remove()
	p.wantVerdict("no fence, all listen", 1, "tool", "leak")
	if r := p.run(nil, "setpriv", "--bounding-set", "-setuid", gateway, "fence", "verify", "--iptables="+backend, "--tool-port=8080", "--tool-uid=1000"); r.code != 1 || !strings.Contains(r.err, "CAP_SETUID is missing") {
		t.Errorf("without CAP_SETUID: exit code %d, %s", r.code, r.err)
	}
}

// wantVerdict wants the gate to reach the tool server, by every address, and
// the others what is said.
func (p *pod) wantVerdict(when string, code int, others, fault string) {
	p.t.Helper()
	r := p.fence("verify", append(standard, "--output=json")...)
	var got report
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != code {
		p.t.Fatalf("%s: exit code %d, want %d; %v\n%s%s", when, r.code, code, err, r.stdout, r.err)
	}
	seen := map[string]bool{}
	for _, row := range got.Rows {
		seen[row.To] = true
		want, wantFault := others, fault
		if strings.HasPrefix(row.From, "gate ") {
			want, wantFault = "tool", ""
		}
		if want == "gate" && strings.HasPrefix(row.To, "[fe80:") {
			want = refused
		}
		if row.Answers != want || !strings.HasPrefix(row.Fault, wantFault) || wantFault == "" && row.Fault != "" {
			p.t.Errorf("%s: %+v; want %s", when, row, want)
		}
	}
	for _, to := range []string{"127.0.0.1:8080", "127.0.0.5:8080", pod4 + ":8080", "[::1]:8080", "[" + pod6 + "]:8080", "[" + p.linkLocal() + "]:8080"} {
		if !seen[to] {
			p.t.Errorf("%s: %s was not probed", when, to)
		}
	}
	if len(got.Rows) != 4*6 {
		p.t.Errorf("%s: %d probes", when, len(got.Rows))
	}
}

// testToolProcess shows the fence tool servers that could pass it by.
func testToolProcess(t *testing.T, backend string) {
	p := newPod(t, backend)
	as := func(options ...string) []string {
		return append(append([]string{"setpriv"}, options...), "--")
	}
	bare := []string{"--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"}
	raw := []string{"--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=+net_raw", "--ambient-caps=+net_raw", "--no-new-privs"}
	for _, c := range []struct {
		line   []string
		inside bool
		want   string // "": let pass
	}{
		{as(append(bare, "--no-new-privs")...), true, ""},
		{as(append(bare, "--no-new-privs")...), false, "it is in another network namespace"},
		{as(bare...), true, "it may gain privileges by a setuid program"},
		{as(raw...), true, "it has CAP_NET_RAW"},
		{as("--reuid=2000", "--clear-groups", "--no-new-privs"), true, "its users are 2000 2000 2000 2000, and --tool-uid is 1000"},
		{as("--no-new-privs"), true, "its users are 0 0 0 0"},
	} {
		line := append(c.line, "sleep", "1000")
		if c.inside {
			line = append(p.root.Enter(), line...)
		}
		pid := started(t, line)
		for _, command := range []string{"apply", "verify"} {
			r := p.fence(command, append(standard, fmt.Sprint("--tool-pid=", pid))...)
			if good := c.want == ""; good != (r.code == 0) || !good && (r.code != 1 || !strings.Contains(r.err, c.want)) {
				t.Errorf("%v: %s: exit code %d, %s; want %q", c.line, command, r.code, r.err, c.want)
			}
			if c.want != "" && strings.Contains(r.stdout, "tables") {
				t.Errorf("%v: %s has gone on: %s", c.line, command, r.stdout)
			}
		}
	}
	if r := p.fence("apply", append(standard, "--tool-pid=4194305")...); r.code != 1 || !strings.Contains(r.err, "cannot look at process 4194305") {
		t.Errorf("no such process: exit code %d, %s", r.code, r.err)
	}
}

// started starts a command that execs another, as each of these does, and waits
// until it is that one.
func started(t *testing.T, line []string) int {
	t.Helper()
	cmd := exec.Command(line[0], line[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	awaitProgram(t, cmd.Process.Pid, line[len(line)-2])
	return cmd.Process.Pid
}
