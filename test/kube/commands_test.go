package kube

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	core "k8s.io/api/core/v1"
)

// A line is one command line of a manifest's, with its container's variables.
type line struct {
	where string
	argv  []string
	env   []string
}

func (l line) String() string { return fmt.Sprintf("%s: %s", l.where, l.argv) }

// lines are all that run sidegate: the containers' own and their hooks'.
func lines(where string, pod *core.PodSpec) []line {
	var all []line
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		var env []string
		for _, v := range c.Env {
			if v.ValueFrom == nil {
				env = append(env, v.Name+"="+v.Value)
			}
		}
		add := func(what string, argv []string) {
			if len(argv) > 0 && filepath.Base(argv[0]) == "sidegate" {
				all = append(all, line{where + " " + c.Name + what, argv, env})
			}
		}
		add("", slices.Concat(c.Command, c.Args))
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Exec != nil {
			add(" preStop", c.Lifecycle.PreStop.Exec.Command)
		}
	}
	return all
}

// tryable is the line as it can be run here: it starts nothing and changes
// nothing outside of dir, but reads and looks at all that it was given.
func (l line) tryable(t testing.TB, dir string) line {
	t.Helper()
	local := strings.NewReplacer("/run/sidegate", dir, "/etc/sidegate", dir, "/copy", dir, "15081", closedPort(t))
	var env []string
	for _, v := range l.env {
		env = append(env, local.Replace(v))
	}
	argv := []string{gate(t)}
	for i, arg := range l.argv[1:] {
		if l.argv[i] == "--" {
			arg = gate(t) // the tool server's own program is not here
		}
		argv = append(argv, local.Replace(arg))
	}
	switch {
	case argv[1] == "run":
		argv[1] = "check"
	case argv[1] == "fence" && argv[2] == "apply":
		argv[2] = "plan"
	}
	return line{l.where, argv, env}
}

// closedPort is where nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// try runs a line. A drain finds no gate, which is another error than a command
// line that cannot be read: that is exit code 2.
func (l line) try(t testing.TB) (said string, ok bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), l.argv[0], l.argv[1:]...)
	cmd.Env = append(l.env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir())
	if l.argv[1] == "shim" {
		return served(t, cmd)
	}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if l.argv[1] == "drain" && errors.As(err, &ended) {
		return string(out), ended.ExitCode() != 2
	}
	return string(out), err == nil
}

// served starts a shim, which knows no check, and ends it when it listens.
func served(t testing.TB, cmd *exec.Cmd) (said string, ok bool) {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first, _ := bufio.NewReader(stdout).ReadString('\n')
	if first != "" {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	err = cmd.Wait()
	return first + stderr.String(), err == nil && strings.Contains(first, "tool server at")
}

// The binary takes every command line of ours, with its variables.
func TestCommandLines(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte("idle-timeout: 10m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var all []line
	for _, profile := range profiles {
		for _, pod := range pods(decode(t, render(t, profile))) {
			all = append(all, lines(profile, &pod.Spec)...)
		}
	}
	for name, out := range injected(t) {
		for _, pod := range pods(decode(t, out)) {
			all = append(all, lines(name, &pod.Spec)...)
		}
	}
	seen := map[string]bool{}
	for _, l := range all {
		seen[l.argv[1]] = true
		said, ok := l.tryable(t, dir).try(t)
		judge(t, l, said, ok)
	}
	for _, sub := range []string{"run", "shim", "copy-self", "drain", "fence"} {
		if !seen[sub] {
			t.Errorf("no manifest runs sidegate %s", sub)
		}
	}
}

func judge(t *testing.T, l line, said string, ok bool) {
	t.Helper()
	if !ok {
		t.Errorf("%s\n%s", l, said)
	}
}

// What is wrong with a line is found.
func TestCommandLinesAreJudged(t *testing.T) {
	for _, l := range []line{
		{"", []string{"/bin/sidegate", "run", "--listen=nowhere", "--", "x"}, nil},
		{"", []string{"/bin/sidegate", "run", "--", "x"}, []string{"SIDEGATE_GRACES=25s"}},
		{"", []string{"/bin/sidegate", "shim", "--mode=0999", "--listen=unix:///run/sidegate/x", "--", "x"}, nil},
	} {
		if said, ok := l.tryable(t, t.TempDir()).try(t); ok {
			t.Errorf("%s passes\n%s", l, said)
		}
	}
}
