package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A runningShim is `sidegate shim` in a process of its own.
type runningShim struct {
	cmd   *exec.Cmd
	path  string // of its socket
	ended chan struct{}

	mu     sync.Mutex
	stderr bytes.Buffer
}

// The tool servers of these tests. Each says its process id first.
const (
	sayPID    = `echo '{"jsonrpc":"2.0","method":"pid","params":['$$']}'; `
	copying   = sayPID + `exec cat`
	deaf      = sayPID + `exec sleep 1000`
	answering = sayPID + `read line || exit; sleep 0.3; echo '{"jsonrpc":"2.0","id":1,"result":{}}'; cat >/dev/null`
)

// startShim runs the shim in front of a shell's script and waits until it says
// where it is.
func startShim(t *testing.T, script string, flags ...string) *runningShim {
	t.Helper()
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil { // for other users
		t.Fatal(err)
	}
	return startShimAt(t, filepath.Join(dir, "tool.sock"), script, flags...)
}

func startShimAt(t *testing.T, path, script string, flags ...string) *runningShim {
	t.Helper()
	s := &runningShim{path: path, ended: make(chan struct{})}
	args := append([]string{"shim", "--listen=unix://" + path, "--env=" + beGate}, flags...)
	s.cmd = gateProcess(t, append(args, "--", "sh", "-c", script, testBinary(t))...)
	s.cmd.Stderr = s
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // the state is looked at in exitCode
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
		if t.Failed() {
			t.Logf("the shim's log:\n%s", s.log())
		}
	})
	if want := "sidegate: tool server at unix://" + path + "\n"; err != nil || line != want {
		t.Fatalf("the shim says %q, %v; want %q", line, err, want)
	}
	return s
}

// Write takes the shim's standard error.
func (s *runningShim) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.Write(p)
}

func (s *runningShim) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

func (s *runningShim) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (s *runningShim) wantExit(t *testing.T, code int) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatal("the shim did not end")
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d; want %d", got, code)
	}
	if _, err := os.Lstat(s.path); err == nil {
		t.Error("the socket is left over")
	}
}

// A rawClient is a connection to a shim.
type rawClient struct {
	*net.UnixConn
	lines *bufio.Reader
	pid   int // of its child
}

// dial connects and reads the child's process id.
func (s *runningShim) dial(t *testing.T) *rawClient {
	t.Helper()
	c := s.dialOnly(t)
	if _, err := fmt.Sscanf(c.next(t), `{"jsonrpc":"2.0","method":"pid","params":[%d]}`, &c.pid); err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *runningShim) dialOnly(t *testing.T) *rawClient {
	t.Helper()
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &rawClient{UnixConn: c.(*net.UnixConn), lines: bufio.NewReaderSize(c, 64<<10)}
}

func (c *rawClient) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (c *rawClient) next(t *testing.T) string {
	t.Helper()
	line, err := c.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("nothing came: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// wantEnd wants nothing more to come.
// wantTurnedAway wants the shim to say why it does not take the connection, and
// the end.
func (c *rawClient) wantTurnedAway(t *testing.T, why string) {
	t.Helper()
	if got := c.next(t); !strings.HasPrefix(got, `{"jsonrpc":"2.0","error":`) || !strings.Contains(got, why) {
		t.Errorf("the shim says %s, want %s", got, why)
	}
	c.wantEnd(t)
}

func (c *rawClient) wantEnd(t *testing.T) {
	t.Helper()
	if line, err := c.lines.ReadString('\n'); err == nil || os.IsTimeout(err) {
		t.Errorf("the connection goes on: %q, %v", line, err)
	}
}

// wantDead wants the process to be gone, in time.
func wantDead(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

const request = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`
