package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sidegate/test/clients/need"
	"sidegate/test/e2e/harness"
)

func TestMain(m *testing.M) {
	code := harness.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// everything is the COMMAND of server-everything.
func everything(t *testing.T) []string {
	t.Helper()
	node, script := need.Program(t, "ts", "mcp-server-everything")
	return []string{node, script, "stdio"}
}

// filesystem is the COMMAND of server-filesystem, which may use directory.
func filesystem(t *testing.T, directory string) []string {
	t.Helper()
	node, script := need.Program(t, "ts", "mcp-server-filesystem")
	return []string{node, script, directory}
}

// A running is a gate in front of a server whose processes leave traces in a
// folder: PID.pid for each server, and PID.stdin with what one was sent, named
// by the shell above it, which is the child that the gate knows.
type running struct {
	URL    string // of the MCP endpoint
	folder string
}

// wrapper runs the COMMAND in $@ so that it leaves its traces in the folder $0.
// The server finds its pid in its environment.
const wrapper = `tee "$0/$$.stdin" | sh -c 'SERVER_PID=$$; export SERVER_PID; : >"$0/$$.pid"; exec "$@"' "$0" "$@"`

// start puts the gate in front of command until the test ends. The gate must
// then end in good order, and leave no process behind.
func start(t *testing.T, command []string) *running {
	t.Helper()
	r := &running{folder: t.TempDir()}
	t.Cleanup(func() { // after the gate's own: the last in is the first out
		for _, pid := range r.pids(t) {
			waitGone(t, pid)
		}
	})
	gate := harness.Start(t, harness.Setup{
		Flags:   []string{"--admin", "off"},
		Command: append([]string{"sh", "-c", wrapper, r.folder}, command...),
	})
	r.URL = "http://" + gate.Addr + "/mcp"
	return r
}

// pids returns every process that has left a trace so far.
func (r *running) pids(t *testing.T) []int {
	t.Helper()
	var pids []int
	for _, path := range r.traces(t, "*") {
		name := filepath.Base(path)
		pid, err := strconv.Atoi(strings.TrimSuffix(name, filepath.Ext(name)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// traces returns the paths of the files in the folder that match pattern.
func (r *running) traces(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(r.folder, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// waitGone waits until no process with this pid is running.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	harness.Eventually(t, "process "+strconv.Itoa(pid)+" is gone", func() bool { return !harness.Alive(pid) })
}

// command is a command that is killed when the test ends, or when patience
// does.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}
