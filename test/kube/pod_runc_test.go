//go:build linux

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"sidegate/test/e2e/harness"
)

// A container is one that runs, or has run, by runc: the program by which
// containers are made under Kubernetes, too.
type container struct {
	*core.Container

	pod   *pod
	id    string
	dir   string
	ended chan struct{} // closed when it has
	code  int           // its exit code, once it has
}

// run starts a container, which is gone when the test is over.
func (p *pod) run(c *core.Container) *container {
	p.t.Helper()
	run := &container{Container: c, pod: p, id: fmt.Sprintf("sidegate-%d-%s-%s", os.Getpid(), p.name, c.Name), ended: make(chan struct{})}
	run.dir = filepath.Join(p.dir, "containers", c.Name)
	rootfs := filepath.Join(run.dir, "rootfs")
	imageOf(p.t, c.Image).unpack(p.t, rootfs)
	err := run.write("config.json", p.config(c, run.id, rootfs))
	if err != nil {
		p.t.Fatal(err)
	}
	log, err := os.Create(run.file("log"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := p.runc(context.Background(), "run", "--bundle", run.dir, "--pid-file", run.file("pid"), run.id)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(run.ended)
		_ = cmd.Wait() // the exit code says it
		run.code = cmd.ProcessState.ExitCode()
	}()
	p.t.Cleanup(run.gone)
	harness.Eventually(p.t, c.Name+" starts", func() bool { return run.hasEnded() || run.has("pid") })
	return run
}

// gone leaves nothing of it behind, and shows its log where something failed.
func (c *container) gone() {
	if !c.hasEnded() {
		_ = c.pod.runc(context.Background(), "delete", "--force", c.id).Run()
		<-c.ended
	}
	if c.pod.t.Failed() {
		c.pod.t.Logf("%s, exit code %d:\n%s", c.Name, c.code, c.log())
	}
}

// runc is a command line of runc's, with the pod's containers alone.
func (p *pod) runc(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "runc", append([]string{"--root", filepath.Join(p.dir, "runc")}, args...)...)
	cmd.WaitDelay = time.Second
	return cmd
}

// exec runs a command line in the container as the kubelet does for a hook or
// a probe: with the user, the variables and the rights of the container's own.
// name is unique in the container.
func (c *container) exec(ctx context.Context, name string, argv []string) error {
	if err := c.write(name+".json", c.pod.process(c.Container, argv)); err != nil {
		return err
	}
	out, err := c.pod.runc(ctx, "exec", "--process", c.file(name+".json"), c.id).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// signal tells its first process something.
func (c *container) signal(name string) {
	out, err := c.pod.runc(context.Background(), "kill", c.id, name).CombinedOutput()
	if err != nil && !c.hasEnded() {
		c.pod.t.Errorf("%s: %s: %v: %s", c.Name, name, err, out)
	}
}

func (c *container) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

func (c *container) file(name string) string { return filepath.Join(c.dir, name) }

func (c *container) has(name string) bool {
	_, err := os.Stat(c.file(name))
	return err == nil
}

func (c *container) log() string {
	text, err := os.ReadFile(c.file("log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (c *container) write(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(c.file(name), text, 0o600)
}

// memoryIsLimited tells whether groups of processes can have a limit of memory
// here, which they cannot in every container that tests run in.
var memoryIsLimited = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("/sys/fs/cgroup/memory", "sidegate-") // cgroup v1
	if err == nil {
		defer os.Remove(dir)
		return true
	}
	controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control") // v2
	return err == nil && strings.Contains(string(controllers), "memory")
})

// needMemory says where limits of memory are left out.
func needMemory(t testing.TB) {
	t.Helper()
	if !memoryIsLimited() {
		t.Log("no cgroup can limit memory here, so limits.memory of the manifests is not applied")
	}
}
