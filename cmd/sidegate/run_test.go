package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A runningGate is `sidegate run` in a process of its own.
type runningGate struct {
	cmd    *exec.Cmd
	url    string   // from its first line
	stdout []string // what came before it was ready
	ended  chan struct{}

	mu     sync.Mutex
	stderr bytes.Buffer
	grown  chan struct{} // has an element when stderr has grown
}

// startGate runs the gate in front of the demo, or of command where it is
// given, and waits until it says where it is.
func startGate(t *testing.T, flags []string, command ...string) *runningGate {
	t.Helper()
	if command == nil {
		command = []string{testBinary(t), "demo"}
	}
	args := append([]string{"run", "--admin=off", "--env=" + beGate}, flags...)
	return launchGate(t, append(append(args, "--"), command...))
}

// launchGate starts a gate and waits until it says where it is.
func launchGate(t *testing.T, args []string) *runningGate {
	t.Helper()
	return launchProcess(t, gateProcess(t, args...))
}

// launchProcess is launchGate for a command that is prepared already.
func launchProcess(t *testing.T, cmd *exec.Cmd) *runningGate {
	t.Helper()
	g := &runningGate{cmd: cmd, ended: make(chan struct{}), grown: make(chan struct{}, 1)}
	g.cmd.Stderr = g
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.ended
		if t.Failed() {
			t.Logf("the gate's log:\n%s", g.log())
		}
	})
	g.readReady(t, out)
	return g
}

// readReady reads the lines that the gate prints at its start, up to the
// WebSocket's or, with --curl, the last curl line. It leaves the rest to a
// goroutine that ends with the process.
func (g *runningGate) readReady(t *testing.T, out io.Reader) {
	lines := make(chan string, 100) // more than there are
	go func() {
		defer close(g.ended)
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
		close(lines)
		_ = g.cmd.Wait() // the state is looked at in exitCode
	}()
	last := "sidegate: WebSocket at "
	if slices.Contains(g.cmd.Args, "--curl") {
		last = "curl -sS -N "
	}
	for len(g.stdout) == 0 || !strings.HasPrefix(g.stdout[len(g.stdout)-1], last) {
		select {
		case line, ok := <-lines:
			if !ok {
				<-g.ended
				t.Fatalf("the gate ended at once: %s", g.log())
			}
			g.stdout = append(g.stdout, line)
		case <-time.After(patience):
			t.Fatal("the gate did not say where it is")
		}
	}
	url, ok := strings.CutPrefix(g.stdout[0], "sidegate: MCP at ")
	if !ok {
		t.Fatalf("the first line is %q", g.stdout[0])
	}
	g.url = url
}

// Write takes the gate's standard error.
func (g *runningGate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case g.grown <- struct{}{}:
	default:
	}
	return g.stderr.Write(p)
}

func (g *runningGate) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stderr.String()
}

// waitFor waits until the log has text in it.
func (g *runningGate) waitFor(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(g.log(), text) {
		select {
		case <-g.grown:
		case <-deadline:
			t.Fatalf("no %q in the log", text)
		}
	}
}

func (g *runningGate) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (g *runningGate) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-g.ended:
	case <-time.After(patience):
		t.Fatal("the gate did not end")
	}
	return g.cmd.ProcessState.ExitCode()
}

// connect opens a session with the SDK's client.
func (g *runningGate) connect(t *testing.T, ctx context.Context) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, nil)
	transport := &mcp.StreamableClientTransport{Endpoint: g.url, HTTPClient: &http.Client{Transport: newTransport(t)}}
	session, err := client.Connect(ctx, transport, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// newTransport keeps its connections to itself and ends them with the test.
func newTransport(t *testing.T) *http.Transport {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestRunServesAndDrains(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		g := startGate(t, []string{"--listen=127.0.0.1:0"})
		ctx := limited(t)
		session := g.connect(t, ctx)
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]int{"n": 1}})
		if err != nil || result.Content[0].(*mcp.TextContent).Text != `{"n":1}` {
			t.Errorf("echo through the gate: %+v, %v", result, err)
		}
		if err := session.Close(); err != nil {
			t.Error(err)
		}
		g.signal(t, s)
		if code := g.exitCode(t); code != exitDone {
			t.Errorf("after %v the exit code is %d", s, code)
		}
	}
}

// Programs find the address in the log, whose every line is a JSON object.
func TestRunLogsItsAddress(t *testing.T) {
	g := startGate(t, []string{"--listen=127.0.0.1:0"})
	g.waitFor(t, `"listening"`)
	g.signal(t, syscall.SIGTERM)
	g.exitCode(t)
	found := false
	for line := range strings.Lines(g.log()) {
		var entry struct{ Msg, Level, Address string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if entry.Level == "warn" || entry.Level == "error" {
			t.Errorf("a gate on loopback logged %s", line)
		}
		if entry.Msg == "listening" {
			found = true
			if got := "http://" + entry.Address + mcpPath; got != g.url {
				t.Errorf("the log says %s, standard output %s", got, g.url)
			}
		}
	}
	if !found {
		t.Errorf("no listening in %s", g.log())
	}
}

// firstLine is what the shell's command, which does not end by itself, prints
// first.
func firstLine(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.CommandContext(limited(t), "sh", "-c", "exec "+command)
	cmd.Env = append(cleanEnviron(), "TOKEN=secret-token-of-mine", "no_proxy=*")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n') // "" tells enough
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return line
}

// The lines that --curl prints work when they are pasted.
func TestRunCurlLine(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	socket := filepath.Join(shortDir(t), "it's a gate.sock")
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("me=secret-token-of-mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{
		{"--curl", "--listen=127.0.0.1:0"},
		{"--curl", "--listen=0.0.0.0:0", "--token-file=" + tokens},
		{"--curl", "--listen=unix://" + socket},
	} {
		g := startGate(t, flags)
		lines := g.stdout[len(g.stdout)-2:]
		curl := exec.Command("sh", "-c", lines[0])
		curl.Env = append(cleanEnviron(), "TOKEN=secret-token-of-mine", "no_proxy=*")
		out, err := curl.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "HTTP/1.1 200") || !strings.Contains(string(out), "sidegate-demo") {
			t.Errorf("%s\n%v: %s", lines[0], err, out)
		}
		if got := firstLine(t, lines[1]); got != "event: endpoint\n" {
			t.Errorf("%s\n%s", lines[1], got)
		}
		if strings.Contains(g.log(), "secret-token-of-mine") {
			t.Errorf("the token is in the log")
		}
		g.signal(t, syscall.SIGTERM)
		if code := g.exitCode(t); code != exitDone {
			t.Errorf("%q: exit code %d", flags, code)
		}
	}
}

// shortDir is a directory whose sockets have a path that the system takes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestRunWarnsBeyondLoopback(t *testing.T) {
	g := startGate(t, []string{"--listen=0.0.0.0:0"})
	g.signal(t, syscall.SIGTERM)
	g.exitCode(t)
	if n := strings.Count(g.log(), "no token is asked for"); n != 1 {
		t.Errorf("%d warnings; want 1", n)
	}
}

// What cannot be served ends at once, with a reason and its exit code.
func TestRunCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	file := writeFile(t, "")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--listen=" + address, "--admin=off", "--", "sh"}, exitListen, "--listen: " + address + " is in use"},
		{[]string{"--listen=127.0.0.1:0", "--admin=" + address, "--", "sh"}, exitListen, "--admin: " + address + " is in use"},
		{[]string{"--listen=unix:///nowhere/gate.sock", "--admin=off", "--", "sh"}, exitListen, "--listen: "},
		{[]string{"--listen=unix://" + file, "--admin=off", "--", "sh"}, exitListen, "--listen: cannot listen on unix://" + file + ": something that is no socket stands there"},
		{[]string{"--listen=127.0.0.1:0", "--", "no-such-program-here"}, exitUsage, "no such program in PATH"},
		{[]string{"--listen=127.0.0.1:0", "--token-file=/nowhere/tokens", "--", "sh"}, exitUsage, "/nowhere/tokens"},
		{[]string{"--listen=here", "--", "sh"}, exitUsage, "--listen: must be HOST:PORT"},
	} {
		out, errs, code := finish(t, gateProcess(t, append([]string{"run"}, c.args...)...))
		if code != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%q: exit code %d, %s%s\nwant %d and %s", c.args, code, out, errs, c.code, c.want)
		}
	}
}

// callSlow starts a call that nobody will see the end of, and returns once the
// tool server works on it.
func callSlow(t *testing.T, g *runningGate) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var calling sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		calling.Wait()
	})
	begun := make(chan struct{}, 1)
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) {
			select {
			case begun <- struct{}{}:
			default:
			}
		},
	})
	transport := &mcp.StreamableClientTransport{Endpoint: g.url, HTTPClient: &http.Client{Transport: newTransport(t)}, MaxRetries: -1}
	session, err := client.Connect(ctx, transport, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	params := &mcp.CallToolParams{Name: "slow", Arguments: slowInput{DurationMS: 3_600_000, Steps: 10_000}}
	params.SetProgressToken("token")
	calling.Go(func() {
		_, _ = session.CallTool(ctx, params) // it is cut
		_ = session.Close()
	})
	receive(t, limited(t), begun)
}

func TestRunGraceRunsOut(t *testing.T) {
	g := startGate(t, []string{"--listen=127.0.0.1:0", "--grace=100ms"})
	callSlow(t, g)
	g.signal(t, syscall.SIGTERM)
	if code := g.exitCode(t); code != exitGrace {
		t.Errorf("exit code %d; want %d", code, exitGrace)
	}
	if !strings.Contains(g.log(), "sidegate: the grace ran out") {
		t.Errorf("no reason was given")
	}
}

// stubborn serves like the demo, and goes on when its input ends, and after
// SIGTERM.
const stubborn = `trap "" TERM; echo $$ >>"$0"; "$1" demo; while :; do sleep 1; done`

// A second signal ends everything at once, the tool servers too, also one that
// does not mind its input's end nor SIGTERM.
func TestRunSecondSignalKills(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	g := startGate(t, []string{"--listen=127.0.0.1:0", "--grace=1h", "--stop-timeout=1h"}, "sh", "-c", stubborn, pidFile, testBinary(t))
	callSlow(t, g)
	g.signal(t, syscall.SIGTERM)
	g.waitFor(t, `"draining"`)
	g.signal(t, syscall.SIGTERM)
	if code := g.exitCode(t); code != exitGrace {
		t.Errorf("exit code %d; want %d", code, exitGrace)
	}
	wantKilled(t, pidFile)
}

// Without a call in flight nothing is cut, which is no failure.
func TestRunSecondSignalIdle(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	g := startGate(t, []string{"--listen=127.0.0.1:0", "--grace=1h", "--stop-timeout=1h"}, "sh", "-c", stubborn, pidFile, testBinary(t))
	session := g.connect(t, limited(t))
	g.signal(t, syscall.SIGTERM)
	g.waitFor(t, `"draining"`)
	g.signal(t, syscall.SIGTERM)
	if code := g.exitCode(t); code != exitDone {
		t.Errorf("exit code %d; want %d", code, exitDone)
	}
	if strings.Contains(g.log(), "has been cut") {
		t.Error("it is said that something was cut")
	}
	_ = session.Close() // there is nobody to tell
	wantKilled(t, pidFile)
}

// wantKilled is that none of the processes lives whose ids are in the file.
func wantKilled(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("the tool server %d outlived the gate: %v", pid, err)
		}
	}
}
