//go:build image

package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Who runs what in the hardened profile. The group is what Kubernetes' fsGroup
// is: it owns the volume, and both containers are in it.
const (
	toolUser    = "4321"
	gateUser    = "1337"
	socketGroup = 2000
)

// The hardened stdio profile: the tool server's container has no network and a
// user of its own; the gate's has another; a volume with the socket is all that
// they share, and a call goes through it. Whoever else gets at the socket is
// turned away.
func TestHardenedProfile(t *testing.T) {
	p := bed(t)
	program, volume := filepath.Join(p.dir, "program"), filepath.Join(p.dir, "socket")
	makeVolume(t, program)
	makeVolume(t, volume)
	p.do(t, slices.Concat([]string{"run", "--rm", "--network=none", "--group-add=2000", "--volume=" + program + ":/copy"}, hardened, []string{gate, "copy-self", "/copy"})...)

	shim := p.start(t, slices.Concat(hardened, []string{"--network=none", "--user=" + toolUser + ":" + toolUser, "--group-add=2000",
		"--volume=" + program + ":/sidegate:ro", "--volume=" + volume + ":/run/mcp"},
		[]string{tool, "/sidegate/sidegate", "shim", "--listen=unix:///run/mcp/tool.sock", "--allow-uid=" + gateUser, "--", "/fixture"})...)
	shim.saying(t, "tool server at ")
	door := []string{"--backend=unix:///run/mcp/tool.sock"}
	share := []string{"--group-add=2000", "--volume=" + volume + ":/run/mcp"}
	c := p.startGate(t, share, door)

	session := c.connect(t)
	if got := call(t, session, "echo", map[string]any{"text": "through"}); got["text"] != "through" {
		t.Errorf("the tool answers %v", got)
	}
	server := find(t, shim.pid(t), "/fixture")
	if got := processStatus(t, server.pid)["Uid"]; !strings.HasPrefix(got, toolUser+" ") {
		t.Errorf("the tool server runs as %s", got)
	}
	wantApart(t, shim.pid(t), c.pid(t), volume)

	stranger := p.startGate(t, append(share, "--user=5555:5555"), door)
	stranger.saying(t, "MCP at ")
	shim.saying(t, "5555")
	if got := stranger.do(t, "exec", stranger.id, "/bin/sidegate", "version"); got == "" {
		t.Error("the stranger's container does not run, so that it was turned away tells nothing")
	}
	call(t, session, "echo", nil) // and the gate is served as before

	shim.do(t, "kill", "--signal=TERM", shim.id)
	if code := shim.exitCode(t); code != "0" {
		t.Errorf("the shim's exit code is %s", code)
	}
}

// makeVolume is an emptyDir whose group may write to it.
func makeVolume(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 0, socketGroup); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o770|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
}

// wantApart fails unless two containers share the volume and nothing else, and
// the first has no network but its own loopback.
func wantApart(t *testing.T, shim, gate int, volume string) {
	t.Helper()
	for _, kind := range []string{"net", "pid", "mnt", "ipc", "uts"} {
		a, err := os.Readlink(procPath(shim, "ns/"+kind))
		b, err2 := os.Readlink(procPath(gate, "ns/"+kind))
		if err != nil || err2 != nil || a == b {
			t.Errorf("both have the namespace %s %s (%v, %v)", kind, a, err, err2)
		}
	}
	for line := range strings.Lines(procFile(t, shim, "net/dev")) {
		if name, _, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) != "lo" {
			t.Errorf("the tool server's container has a network: %s", name)
		}
	}
	if routes := strings.Count(procFile(t, shim, "net/route"), "\n"); routes > 1 { // its head is a line
		t.Errorf("the tool server's container has routes:\n%s", procFile(t, shim, "net/route"))
	}
	bound := func(pid int) (roots []string) {
		for line := range strings.Lines(procFile(t, pid, "mountinfo")) {
			if fields := strings.Fields(line); len(fields) > 4 && strings.Contains(fields[3], "/") && fields[4] == "/run/mcp" {
				roots = append(roots, fields[3])
			}
		}
		return roots
	}
	a, b := bound(shim), bound(gate)
	if len(a) != 1 || !slices.Equal(a, b) || !strings.HasSuffix(a[0], filepath.Base(volume)) {
		t.Errorf("the volume is %q for one and %q for the other", a, b)
	}
}
