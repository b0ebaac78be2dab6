//go:build linux

package fence

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sidegate/test/e2e/harness"
	"sidegate/test/netns"
)

// Variable makes TestFence run all its parts where it is set to 1.
const Variable = "TEST_FENCE"

// strict turns a skip into a failure where it is set to 1.
const strict = "TEST_STRICT"

// gateway is the gate's binary where every user may run it.
var gateway string

func TestMain(m *testing.M) {
	if code, person := netns.Main(errands); person {
		os.Exit(code)
	}
	os.Exit(harness.Main(m))
}

// The parts of TestFence, for each backend unless one is enough, as for what
// takes long and is the same code. The first is run in any case.
var parts = []struct {
	name string
	test func(*testing.T, string)
	only string // the one backend that is enough
}{
	{"table", testTable, ""},
	{"killed", testKilled, ""},
	{"failing", testFailing, "legacy"},
	{"changed", testChanged, "nft"},
	{"mended", testMended, ""},
	{"refuse", testRefuse, ""},
	{"several ports", testSeveralPorts, ""},
	{"twice is once", testTwice, ""},
	{"removed is before", testRemoved, ""},
	{"plan is what apply runs", testPlan, ""},
	{"whole", testWhole, ""},
	{"outward", testOutward, ""},
	{"outward by a listener", testOutwardListener, ""},
	{"gate on loopback alone", testLoopbackGate, ""},
	{"verify", testVerify, ""},
	{"tool's process", testToolProcess, ""},
	{"capabilities", testCapabilities, ""},
	{"users", testUsers, ""},
	{"no nat", testNoNAT, ""},
	{"no IPv6", testNoIPv6, ""},
	{"lock", testLock, ""},
	{"read-only root", testReadOnlyRoot, ""},
	{"real gate", testRealGate, ""},
}

// TestFence goes through one part, or all (Variable).
func TestFence(t *testing.T) {
	need(t)
	copyGate(t)
	for _, backend := range []string{"nft", "legacy"} {
		for _, p := range parts {
			if p.only != "" && p.only != backend {
				continue
			}
			t.Run(backend+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				p.test(t, backend)
			})
			if os.Getenv(Variable) != "1" {
				t.Logf("this is one part of many: %s=1, or make test-fence, runs all of them", Variable)
				return
			}
		}
	}
}

// need ends the test where something is missing.
func need(t *testing.T) {
	t.Helper()
	reason := ""
	if os.Getuid() != 0 {
		reason = "namespaces and packet filters need root"
	}
	for program, pack := range map[string]string{
		"ip": "iproute2", "iptables-nft": "iptables", "ip6tables-nft": "iptables", "iptables-legacy": "iptables", "ip6tables-legacy": "iptables",
		"nsenter": "util-linux", "setpriv": "util-linux", "unshare": "util-linux",
	} {
		if _, err := exec.LookPath(program); err != nil {
			reason = fmt.Sprintf("%s is not in PATH: install %s", program, pack)
		}
	}
	if reason == "" {
		return
	}
	if os.Getenv(strict) == "1" {
		t.Fatalf("%s (%s=1 lets nothing be missing)", reason, strict)
	}
	t.Skip(reason)
}

// copyGate puts the gate where other users reach it, which a test's own
// directory is not.
func copyGate(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sidegate-fence")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(harness.Binary())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	gateway = filepath.Join(dir, "sidegate")
	to, err := os.OpenFile(gateway, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}
