//go:build linux

package fence

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sidegate/test/e2e/harness"
)

// wantSentence wants a command to fail with one line that says what is missing.
func wantSentence(t *testing.T, what string, r result, sentence string) {
	t.Helper()
	if r.code != 1 || !strings.HasPrefix(r.err, "sidegate: ") || !strings.Contains(r.err, sentence) || strings.Count(r.err, "\n") != 1 {
		t.Errorf("%s: exit code %d, %q; want %q", what, r.code, r.err, sentence)
	}
}

func awaitProgram(t *testing.T, pid int, name string) {
	t.Helper()
	harness.Eventually(t, name+" runs", func() bool {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return err == nil && strings.TrimSpace(string(comm)) == name
	})
}

func testCapabilities(t *testing.T, backend string) {
	p := newPod(t, backend)
	before := p.rules()
	for _, command := range []string{"apply", "verify", "remove"} {
		line := append([]string{gateway, "fence", command, "--iptables=" + backend}, standard...)
		r := p.run(nil, append([]string{"setpriv", "--bounding-set", "-net_admin"}, line...)...)
		wantSentence(t, command+" without CAP_NET_ADMIN", r, "CAP_NET_ADMIN over this network namespace is missing")
		r = p.run(nil, append([]string{"setpriv", "--reuid=1000", "--clear-groups"}, line...)...)
		wantSentence(t, command+" as a user", r, "CAP_NET_ADMIN over this network namespace is missing")
		if backend == "legacy" && command != "remove" {
			r = p.run(nil, append([]string{"setpriv", "--bounding-set", "-net_raw"}, line...)...)
			wantSentence(t, command+" without CAP_NET_RAW", r, "CAP_NET_RAW is missing")
		}
	}
	if after := p.rules(); after != before {
		t.Errorf("something has changed:\n%s", after)
	}
}

// testUsers runs in user namespaces: one that has the users of the rules, and one
// that has root alone.
func testUsers(t *testing.T, backend string) {
	for users, want := range map[int]string{65536: "", 1: "user 1337 is not mapped in this user namespace", 1338: ""} {
		cmd := exec.Command(gateway, append([]string{"fence", "apply", "--iptables=" + backend}, standard...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: users}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: users}},
		}
		r := runCommand(t, cmd, []string{"PATH=" + os.Getenv("PATH"), "XTABLES_LOCKFILE=" + filepath.Join(t.TempDir(), "lock")})
		if want != "" {
			wantSentence(t, fmt.Sprint(users, " users"), r, want)
		} else if r.code != 0 {
			t.Errorf("%d users: exit code %d, %s", users, r.code, r.err)
		}
	}
}

// testNoNAT has a program that says what it says on a kernel without the nat
// modules, which this one cannot be made to be. The filter table is real.
func testNoNAT(t *testing.T, backend string) {
	p := serving(t, backend)
	w := newWatch(t, p)
	wantSentence(t, "redirect", p.fenceWith(w.env(0, "no-nat"), "apply", standard...), "this kernel cannot redirect")
	for _, family := range families {
		if state := p.state(family); state != "shut" {
			t.Errorf("%s is %s", family, state)
		}
	}
	p.remove()
	if backend == "legacy" { // which looks for rules to take out only in tables that there are
		if r := p.fenceWith(w.env(0, "no-nat"), "apply", append(standard, "--mode=refuse")...); r.code != 0 {
			t.Errorf("refuse: exit code %d, %s", r.code, r.err)
		}
		p.want("refusing", "8080", "tool", refused)
	}
}

// testNoIPv6 switches IPv6 off, and on again when the fence is up.
func testNoIPv6(t *testing.T, backend string) {
	p := serving(t, backend)
	p.root.Shell(p.t, "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6", "")
	p.apply(standard...)
	r := p.fence("verify", standard...)
	if r.code != 0 || strings.Contains(r.stdout, "::1") {
		t.Errorf("verify: exit code %d\n%s%s", r.code, r.stdout, r.err)
	}
	p.root.Shell(p.t, "echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6; ip addr replace "+pod6+"/64 dev eth0 nodad; ip addr replace ::1/128 dev lo", "")
	p.want("switched on again", "8080", "tool", "gate")
}

// testLock holds the lock that the legacy backend waits for.
func testLock(t *testing.T, backend string) {
	p := newPod(t, backend)
	lock, err := os.Create(filepath.Join(p.dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r := p.fence("apply", standard...)
	if backend == "nft" { // which has none
		if r.code != 0 {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
		return
	}
	wantSentence(t, "apply", r, "another program has held the lock of the rules for 5s")
	if rules := p.rules(); strings.Contains(rules, "SIDEGATE") {
		t.Error(rules)
	}
}

// testReadOnlyRoot has nothing to write to but what XTABLES_LOCKFILE names.
func testReadOnlyRoot(t *testing.T, backend string) {
	p := newPod(t, backend)
	apply := func(env ...string) result {
		line := strings.Join(append([]string{gateway, "fence", "apply", "--iptables=" + backend}, standard...), " ")
		return p.run(env, "unshare", "--mount", "sh", "-ec", "mount -t tmpfs -o ro none /run; exec "+line)
	}
	if backend == "nft" {
		if r := apply("XTABLES_LOCKFILE="); r.code != 0 {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
		return
	}
	wantSentence(t, "apply", apply("XTABLES_LOCKFILE="), "the legacy backend's lock file cannot be written: mount something writable at /run, or set XTABLES_LOCKFILE")
	if r := apply(); r.code != 0 {
		t.Errorf("with XTABLES_LOCKFILE: exit code %d, %s", r.code, r.err)
	}
}
