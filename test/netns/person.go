//go:build linux

package netns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// variable makes a test binary a person: a process of the user whose number it
// holds.
const variable = "NETNS_TEST_BE_PERSON"

// An Errand is what a person can be told to do. It is given the words behind
// its name, and returns what came of it.
type Errand func(words []string) string

// Main makes this process a person who knows these errands, if NewPerson has
// started it, and returns its exit code when it has done all it was told.
// TestMain asks it first.
func Main(errands map[string]Errand) (code int, person bool) {
	uid := os.Getenv(variable)
	if uid == "" {
		return 0, false
	}
	return be(uid, errands, os.Stdin, os.Stdout), true
}

// be does what it is told, line by line, until there are no more lines.
func be(uid string, errands map[string]Errand, in io.Reader, out io.Writer) int {
	n, err := strconv.Atoi(uid)
	if err == nil {
		err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(n), syscall.Setuid(n))
	}
	if err != nil {
		fmt.Fprintln(out, "cannot be", uid, err)
		return 1
	}
	fmt.Fprintln(out, "ready")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		words := strings.Fields(lines.Text())
		fmt.Fprintln(out, strings.ReplaceAll(errands[words[0]](words[1:]), "\n", " "))
	}
	return 0
}

// A Person is one of them, seen from the test.
type Person struct {
	Name string
	PID  int

	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
}

// NewPerson starts one, by a command line that ends in the test binary's. It
// ends with the test, when its input does.
func NewPerson(t testing.TB, name string, uid int, attr *syscall.SysProcAttr, before ...string) *Person {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append(before, self)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), variable+"="+strconv.Itoa(uid))
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	p := &Person{Name: name, PID: cmd.Process.Pid, in: in, out: bufio.NewReader(out)}
	if said := p.read(); said != "ready" {
		t.Fatalf("%s says: %s", name, said)
	}
	return p
}

func (p *Person) read() string {
	said, err := p.out.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(said)
}

// Ask gives p an errand and returns what came of it.
func (p *Person) Ask(words ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.in, strings.Join(words, " "))
	return p.read()
}

// Namespace is the file that stands for the network namespace in which p lives.
func (p *Person) Namespace() string { return fmt.Sprintf("/proc/%d/ns/net", p.PID) }

// Enter begins a command line that is run in p's network namespace.
func (p *Person) Enter() []string { return []string{"nsenter", "--net=" + p.Namespace(), "--"} }

// Shell runs a script where p lives, as root, with a text on its standard input.
func (p *Person) Shell(t testing.TB, script, in string) {
	t.Helper()
	line := append(p.Enter(), "sh", "-ec", script)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}
