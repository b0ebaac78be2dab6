//go:build image

package image

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// startGate runs a gate on this machine's network, on any free port of
// loopback. args are podman's own, then what follows the listeners' flags.
func (p *podman) startGate(t *testing.T, podmanArgs, args []string) *container {
	t.Helper()
	return p.start(t, slices.Concat(hardened, []string{"--network=host"}, podmanArgs,
		[]string{gate, "run", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"}, args)...)
}

// fixture mounts the tool server into the gate's container.
func fixture(p *podman) []string {
	return []string{"--volume=" + filepath.Join(p.dir, "fixture") + ":/fixture:ro"}
}

// connect opens a session with the SDK's client at the gate in the container.
func (c *container) connect(t *testing.T) *mcp.ClientSession {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	url := c.saying(t, "MCP at ")
	web := &http.Transport{}
	t.Cleanup(web.CloseIdleConnections)
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: web}},
		&mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatalf("%v\n%s", err, c.log())
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// call calls a tool and returns its structured result.
func call(t *testing.T, session *mcp.ClientSession, name string, arguments map[string]any) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	values, _ := result.StructuredContent.(map[string]any)
	return values
}

// metric waits until the gate says so much of something.
func (c *container) metric(t *testing.T, line string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	url := c.saying(t, "admin at ") + "/metrics"
	eventually(t, "the metrics have "+line, func() bool {
		response, err := client.Get(url)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return err == nil && strings.Contains(string(text), line+"\n")
	})
}

// The gate runs as a user of its own without any capability, on a tree that it
// cannot write to.
func TestPrivileges(t *testing.T) {
	p := bed(t)
	c := p.startGate(t, nil, []string{"--", "/bin/sidegate", "demo"})
	session := c.connect(t)
	if _, err := session.ListTools(t.Context(), nil); err != nil {
		t.Error(err)
	}
	pid := c.pid(t)
	status := processStatus(t, pid)
	for field, want := range map[string]string{
		"Uid": "1337 1337 1337 1337", "Gid": "1337 1337 1337 1337", "NoNewPrivs": "1",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
	} {
		if status[field] != want {
			t.Errorf("%s is %q; want %q", field, status[field], want)
		}
	}
	if mount := mountOf(t, pid, "/"); !slices.Contains(strings.Split(mount, ","), "ro") {
		t.Errorf("the root is mounted %s", mount)
	}
}

const none = "0000000000000000"

// SIGTERM lets a call end that is in flight, and the exit code is 0.
func TestSignals(t *testing.T) {
	p := bed(t)
	c := p.startGate(t, fixture(p), []string{"--", "/fixture"})
	session := c.connect(t)
	slept := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "sleep", Arguments: map[string]any{"ms": 3000}})
		slept <- err
	}()
	c.metric(t, `sidegate_calls_in_flight{backend="default"} 1`)
	c.do(t, "kill", "--signal=TERM", c.id)
	if err := <-slept; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if code := c.exitCode(t); code != "0" {
		t.Errorf("exit code %s\n%s", code, c.log())
	}
	if log := c.log(); !strings.Contains(log, `"draining"`) {
		t.Errorf("it has not drained:\n%s", log)
	}
}

// The healthcheck works inside, where there is nothing else to ask with, and
// tells a gate from none.
func TestHealthcheck(t *testing.T) {
	p := bed(t)
	c := p.start(t, slices.Concat(hardened, []string{"--network=none"}, []string{gate, "run", "--", "/bin/sidegate", "demo"})...)
	c.saying(t, "MCP at ")
	for _, args := range [][]string{nil, {"--ready"}} {
		if got := c.do(t, append([]string{"exec", c.id, "/bin/sidegate", "healthcheck"}, args...)...); got != "ok" {
			t.Errorf("%q: %s", args, got)
		}
	}
	if out, err := c.try(patience, nil, "healthcheck", "run", c.id); err != nil {
		t.Errorf("as the image says: %v\n%s", err, out)
	}
	out, err := c.try(patience, nil, "exec", c.id, "/bin/sidegate", "healthcheck", "--admin=127.0.0.1:1")
	if err == nil || !strings.Contains(out, "no answer from 127.0.0.1:1") {
		t.Errorf("where nobody listens: %v, %s", err, out)
	}
}

// The wrapped profile: an init container copies the program to a volume, and
// the tool server's own image, with another user, runs its command by it.
func TestCopySelf(t *testing.T) {
	p := bed(t)
	volume := p.do(t, "volume", "create")
	defer p.do(t, "volume", "rm", "--force", volume)
	for range 2 { // as a pod whose init container runs again
		args := slices.Concat([]string{"run", "--rm", "--network=none", "--volume=" + volume + ":/copy"}, hardened, []string{gate, "copy-self", "/copy"})
		if got := p.do(t, args...); got != "sidegate: copied to /copy/sidegate" {
			t.Fatal(got)
		}
	}
	c := p.start(t, slices.Concat(hardened, []string{"--network=host", "--user=4321:4321", "--volume=" + volume + ":/sidegate:ro"},
		[]string{tool, "/sidegate/sidegate", "run", "--listen=127.0.0.1:0", "--admin=off", "--", "/fixture"})...)
	if got := call(t, c.connect(t), "echo", map[string]any{"text": "through"}); got["text"] != "through" {
		t.Errorf("the tool answers %v", got)
	}
	if got := processStatus(t, c.pid(t))["Uid"]; got != "4321 4321 4321 4321" {
		t.Errorf("the gate runs as %s", got)
	}
}

// processStatus is what the kernel says of a process.
func processStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	status := map[string]string{}
	for line := range strings.Lines(procFile(t, pid, "status")) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	return status
}

// mountOf are the options of what a process has mounted at a path.
func mountOf(t *testing.T, pid int, at string) string {
	t.Helper()
	for line := range strings.Lines(procFile(t, pid, "mountinfo")) {
		if fields := strings.Fields(line); len(fields) > 5 && fields[4] == at {
			return fields[5]
		}
	}
	t.Fatalf("process %d has nothing mounted at %s", pid, at)
	return ""
}

func procFile(t *testing.T, pid int, name string) string {
	t.Helper()
	text, err := os.ReadFile(procPath(pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
