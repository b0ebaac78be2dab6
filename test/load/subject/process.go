// Package subject starts what the harness measures, each in front of the same
// servers: nothing, a relay, plain reverse proxies, gates that others wrote,
// and Sidegate; and says which version of each it was.
package subject

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// A process is one that this package has started.
type process struct {
	cmd   *exec.Cmd
	log   *tail
	ended chan struct{}
}

// launch starts a program in a process group of its own.
func launch(name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), log: &tail{said: make(chan struct{})}, ended: make(chan struct{})}
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// says waits until the output matches, and returns what the first group did.
func (p *process) says(what *regexp.Regexp) (string, error) {
	deadline := time.After(20 * time.Second)
	for {
		said := p.log.wait()
		if found := what.FindSubmatch(p.log.bytes()); found != nil {
			return string(found[1]), nil
		}
		select {
		case <-said:
		case <-p.ended:
			return "", fmt.Errorf("%s ended: %s", p.cmd.Path, p.log.bytes())
		case <-deadline:
			return "", fmt.Errorf("%s does not say %q: %s", p.cmd.Path, what, p.log.bytes())
		}
	}
}

// listens waits until somebody listens at addr.
func (p *process) listens(addr string) error {
	for range 1000 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.cmd.Path, p.log.bytes())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not listen at %s: %s", p.cmd.Path, addr, p.log.bytes())
}

// stop asks the process to end, and kills what is left of its group.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
	}
	syscall.Kill(-p.pid(), syscall.SIGKILL)
	<-p.ended
}

// tail keeps the last of what a process prints.
type tail struct {
	mu   sync.Mutex
	b    []byte
	said chan struct{} // closed when there is more
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if len(t.b) > 64<<10 {
		t.b = append(t.b[:0], t.b[len(t.b)-16<<10:]...)
	}
	close(t.said)
	t.said = make(chan struct{})
	return len(b), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.b)
}

func (t *tail) wait() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said
}

// FreeAddr is an address on loopback at which nobody listens now.
func FreeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // no loopback, no measurement
	}
	defer l.Close()
	return l.Addr().String()
}

// find looks for a program where Debian puts it, too.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := "/usr/sbin/" + name
	if _, err := os.Stat(path); err != nil {
		return "", &Missing{name, "it is not installed"}
	}
	return path, nil
}

// firstLine is the first line that a program prints.
func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	line, _, rerr := bufio.NewReader(bytes.NewReader(out)).ReadLine()
	if err != nil || (rerr != nil && !errors.Is(rerr, io.EOF)) {
		return "unknown"
	}
	return string(line)
}

// Missing says why something cannot be measured here.
type Missing struct{ Name, Reason string }

func (m *Missing) Error() string { return m.Name + " is left out: " + m.Reason }
