//go:build image

package image

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Bounds for what has to happen. They are generous, since a small machine may
// be busy; nothing asserts that less time was taken.
const (
	patience      = 2 * time.Minute
	buildPatience = 8 * time.Minute
)

// A podman is the program with a store and a configuration of its own: it sees
// no images and containers but these, and nobody else sees them.
type podman struct {
	dir string
	env []string
}

// settings ask of the machine as little as can be: no cgroup manager but the
// files, no limits that would have to be raised, no journal.
const settings = `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "%[1]s/tmp"
`

const storage = `[storage]
driver = "vfs"
graphroot = "%[1]s/store"
runroot = "%[1]s/run"
`

func newPodman(dir string) (*podman, error) {
	p := &podman{dir: dir, env: append(os.Environ(),
		"CONTAINERS_CONF="+filepath.Join(dir, "containers.conf"),
		"CONTAINERS_STORAGE_CONF="+filepath.Join(dir, "storage.conf"),
		"TMPDIR="+dir)}
	for name, text := range map[string]string{"containers.conf": settings, "storage.conf": storage} {
		if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, text, dir), 0o600); err != nil {
			return nil, err
		}
	}
	if out, err := p.try(patience, nil, "info"); err != nil {
		return nil, fmt.Errorf("podman does not work on this machine: %w\n%s", err, out)
	}
	return p, nil
}

// end removes all containers, so that their mounts are gone before the
// directory is removed.
func (p *podman) end() {
	if out, err := p.try(patience, nil, "rm", "--all", "--force", "--time=0", "--volumes"); err != nil {
		fmt.Fprintf(os.Stderr, "containers are left behind: %v\n%s", err, out)
	}
}

// try runs podman to its end and returns what it says on both outputs.
func (p *podman) try(patience time.Duration, input []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "podman", args...)
	cmd.Env, cmd.Stdin = p.env, bytes.NewReader(input)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end within %v", patience)
	}
	if err != nil {
		err = fmt.Errorf("podman %s: %w", strings.Join(args, " "), err)
	}
	return string(out), err
}

// do is try for what has to work. It returns the last line, since podman says
// before it what it thinks of a machine without systemd.
func (p *podman) do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.try(patience, nil, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

// A container is one that runs, or has run.
type container struct {
	*podman
	id string
}

// hardened is how the gate's containers run: the least that there is.
var hardened = []string{"--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"}

// start runs a container, which is removed with the test. args are podman's
// own, the image and its command.
func (p *podman) start(t *testing.T, args ...string) *container {
	t.Helper()
	c := &container{p, p.do(t, append([]string{"run", "--detach", "--pull=never"}, args...)...)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("container %v:\n%s", args, c.log())
		}
		p.do(t, "rm", "--force", "--time=0", "--volumes", c.id)
	})
	return c
}

func (c *container) log() string {
	out, _ := c.try(patience, nil, "logs", c.id)
	return out
}

// pid is the number of the container's first process on this machine.
func (c *container) pid(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(c.do(t, "inspect", "--format={{.State.Pid}}", c.id))
	if err != nil || pid == 0 {
		t.Fatalf("the container does not run: %d, %v\n%s", pid, err, c.log())
	}
	return pid
}

// exitCode waits for the container's end.
func (c *container) exitCode(t *testing.T) string {
	t.Helper()
	return c.do(t, "wait", c.id)
}

// saying waits until the container has said something with text in it, and
// returns the rest of that line.
func (c *container) saying(t *testing.T, text string) string {
	t.Helper()
	var rest string
	eventually(t, "the container says "+text, func() bool {
		_, after, ok := strings.Cut(c.log(), text)
		rest, _, _ = strings.Cut(after, "\n")
		return ok
	})
	return strings.TrimSpace(rest)
}

// eventually waits until condition holds, and fails the test if it never does.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}
