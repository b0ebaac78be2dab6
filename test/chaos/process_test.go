//go:build linux

package chaos

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"sidegate/test/e2e/harness"
)

// A process is one that a test has started and may kill.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	ended bool
}

// start starts a role, which ends with its test.
func start(t *testing.T, command []string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// isStopped tells whether a signal has stopped the process.
func (p *process) isStopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	return err == nil && strings.Contains(string(stat), ") T ")
}

func (p *process) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// kill kills the process at once.
func (p *process) kill() {
	if p.ended {
		return
	}
	p.ended = true
	p.signal(syscall.SIGKILL)
	p.cmd.Wait()
}

// finish lets the process end by itself, and returns what it still says.
func (p *process) finish(t *testing.T) []byte {
	t.Helper()
	p.in.Close()
	said, err := io.ReadAll(p.out)
	if err != nil {
		t.Fatal(err)
	}
	p.ended = true
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("a process of clients: %v", err)
	}
	return said
}

// A web is the server that listens.
type web struct {
	t       *testing.T
	addr    string
	process *process
}

// serveHTTP starts it.
func serveHTTP(t *testing.T) *web {
	t.Helper()
	w := &web{t: t, addr: "127.0.0.1:0"}
	w.start()
	return w
}

// start starts it where it was.
func (w *web) start() {
	w.t.Helper()
	w.process = start(w.t, role("chaos-http", w.addr))
	line, err := w.process.out.ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "serves at ")
	if !ok {
		w.t.Fatalf("the HTTP server says %q (%v)", line, err)
	}
	w.addr = addr
}

// kill kills one of the gate's children, if it still is one.
func kill(g *harness.Gate, pid int, s syscall.Signal) {
	for _, child := range g.Children() {
		if child == pid {
			syscall.Kill(pid, s)
		}
	}
}
