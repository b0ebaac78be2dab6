package harness

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Setup says how a gate is started. The zero Setup is a gate in front of a
// fixture that behaves.
type Setup struct {
	Flags   []string // of sidegate run, after the harness's own, so that they win
	Fixture []string // flags of the fixture
	Command []string // the tool server instead of the fixture
	Env     []string // added to the gate's environment, NAME=value
	Stderr  *os.File // where the gate's log goes; nil: into Log
	Binary  string   // the gate itself, if it is not the one that Main built
}

// Gate is a running sidegate.
type Gate struct {
	Addr  string // host:port of /mcp, or the path of its Unix socket
	Admin string // host:port of the admin listener, or unix:// and the path of its socket; empty when it is off

	cmd     *exec.Cmd
	network string // tcp or unix
	out     *logBuffer
	ended   chan struct{} // closed when the process has been waited for
	harmed  bool          // the test makes it end its own way
	told    bool          // it was sent a signal
}

// standing are the flags that every gate of the tests gets: ports that are
// free, and ends that do not take long.
var standing = []string{
	"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
	"--grace", "3s", "--drain-delay", "0s", "--stop-timeout", "2s", "--log-format", "json",
}

var (
	mcpAt   = regexp.MustCompile(`MCP at ([^\s"]+)`)
	adminAt = regexp.MustCompile(`admin at (?:http://)?(unix://[^\s"]+|[^\s"/]+)|"admin":\s*"([^"]+:\d+)"`)
)

// Start starts a gate and returns once it says where it listens. At the end of
// the test it is told to drain, and the test fails if it does not end, dies
// badly, or leaves a child behind.
func Start(t testing.TB, s Setup) *Gate {
	t.Helper()
	g := launch(t, s)
	g.awaitAddresses(t, !contains(s.Flags, "off"))
	return g
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s || strings.HasSuffix(e, "="+s) {
			return true
		}
	}
	return false
}

func launch(t testing.TB, s Setup) *Gate {
	t.Helper()
	command := s.Command
	if command == nil {
		command = Fixture(s.Fixture...)
	}
	args := append([]string{"run"}, standing...)
	args = append(args, s.Flags...)
	args = append(append(args, "--"), command...)
	path := s.Binary
	if path == "" {
		path = binary
	}
	g := &Gate{cmd: exec.Command(path, args...), out: &logBuffer{}, ended: make(chan struct{})}
	g.cmd.Env = append(os.Environ(), s.Env...)
	if raceEnabled {
		g.cmd.Env = append(g.cmd.Env, "GORACE=atexit_sleep_ms=0") // else each end takes a second
	}
	g.cmd.Stdout, g.cmd.Stderr = g.out, g.out
	if s.Stderr != nil {
		g.cmd.Stderr = s.Stderr
	}
	g.cmd.SysProcAttr = endWithUs()
	// A grandchild that outlives the gate may hold its stderr; do not wait for it.
	g.cmd.WaitDelay = time.Second
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		g.cmd.Wait()
		close(g.ended)
	}()
	t.Cleanup(func() { g.cleanUp(t) })
	return g
}

// awaitAddresses reads where the gate listens from what it prints.
func (g *Gate) awaitAddresses(t testing.TB, admin bool) {
	t.Helper()
	Eventually(t, "the gate says where it listens", func() bool {
		select {
		case <-g.ended:
			g.Harm()
			t.Fatalf("the gate ended at its start with code %d:\n%s", g.cmd.ProcessState.ExitCode(), g.Log())
		default:
		}
		log := g.Log()
		at, adm := mcpAt.FindStringSubmatch(log), adminAt.FindStringSubmatch(log)
		if at == nil || admin && adm == nil {
			return false
		}
		if adm != nil {
			g.Admin = adm[1] + adm[2]
		}
		g.network, g.Addr = "tcp", strings.TrimSuffix(strings.TrimPrefix(at[1], "http://"), "/mcp")
		if path, ok := strings.CutPrefix(at[1], "unix://"); ok {
			g.network, g.Addr = "unix", path
		}
		return true
	})
}

// cleanUp ends the gate at the end of its test.
func (g *Gate) cleanUp(t testing.TB) {
	children := g.Children()
	if !g.told {
		g.Signal(syscall.SIGTERM) // a second one would kill
	}
	select {
	case <-g.ended:
	case <-time.After(Patience):
		t.Errorf("the gate did not end within %v of SIGTERM", Patience)
		g.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-g.ended:
		case <-time.After(5 * time.Second):
			g.cmd.Process.Kill()
			<-g.ended
		}
	}
	code := g.cmd.ProcessState.ExitCode()
	if !g.harmed && code != 0 && code != 4 {
		t.Errorf("the gate ended with code %d after SIGTERM", code)
	}
	for _, pid := range children {
		if !g.harmed && Alive(pid) {
			t.Errorf("child %d outlived the gate", pid)
		}
		syscall.Kill(-pid, syscall.SIGKILL)
	}
	log := g.Log()
	for _, bad := range []string{"DATA RACE", "panic:", "panicked", "fatal error:", "goroutine 1 ["} {
		if strings.Contains(log, bad) {
			t.Errorf("the gate's log has %q", bad)
			break
		}
	}
	if t.Failed() {
		t.Logf("the gate's log, its last part:\n%s", tail(log, 6000))
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// PID is the gate's process id.
func (g *Gate) PID() int { return g.cmd.Process.Pid }

// Log is everything the gate has printed so far, stdout and stderr.
func (g *Gate) Log() string { return g.out.String() }

// Signal sends a signal to the gate, unless it has ended.
func (g *Gate) Signal(s syscall.Signal) {
	g.told = true
	select {
	case <-g.ended:
	default:
		g.cmd.Process.Signal(s)
	}
}

// Kill kills the gate at once, which gives it no chance to clean up.
func (g *Gate) Kill() {
	g.Harm()
	g.Signal(syscall.SIGKILL)
	<-g.ended
}

// Harm says that the test makes the gate end its own way, so that the end is
// not checked again.
func (g *Gate) Harm() { g.harmed = true }

// Wait waits for the gate to end and returns its exit code, -1 for a signal.
func (g *Gate) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-g.ended:
	case <-time.After(Patience):
		t.Fatalf("the gate did not end within %v", Patience)
	}
	return g.cmd.ProcessState.ExitCode()
}

// Ended tells whether the gate has ended.
func (g *Gate) Ended() bool {
	select {
	case <-g.ended:
		return true
	default:
		return false
	}
}

// logBuffer collects output; it may be read while it grows.
type logBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}
