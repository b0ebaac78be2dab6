package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
)

// childVariable makes the test binary a child that behaves as its value says.
const childVariable = "SIDEGATE_TEST_CHILD"

func TestMain(m *testing.M) {
	if behaviour, ok := os.LookupEnv(childVariable); ok {
		os.Exit(child(behaviour))
	}
	goleak.VerifyTestMain(m)
}

func TestContract(t *testing.T) {
	contract.Run(t, func(t *testing.T, s contract.Settings) backend.Backend {
		return newBackend(t, s.Peer, func(c *Config) {
			c.MaxMessage = s.MaxMessage
			c.MaxQueue = s.MaxQueue
			c.Budget = s.Budget
			c.StopTimeout = s.StopTimeout
		})
	})
}

// newBackend makes a backend whose child is this test binary, with time enough
// to end by itself on a busy machine.
func newBackend(t testing.TB, behaviour string, change ...func(*Config)) *Backend {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		Name:        "test",
		Command:     []string{self},
		Env:         childEnv(behaviour),
		StopTimeout: time.Second,
	}
	for _, f := range change {
		f(&config)
	}
	b, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// childEnv makes the test binary a child. One with the race detector would
// otherwise sleep for a second before it exits.
func childEnv(behaviour string) []string {
	return []string{childVariable + "=" + behaviour, "GORACE=atexit_sleep_ms=0"}
}

// recorder keeps nothing of what is no message: some children never stop writing
// it.
type recorder struct{ *contract.Recorder }

func (recorder) Garbage([]byte) {}

// open starts a child and ends it with the test.
func open(t testing.TB, b *Backend) (*conn, recorder) {
	t.Helper()
	r := recorder{contract.NewRecorder()}
	c, err := b.Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c.(*conn), r
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		config   Config
		says     string
		notFound bool
	}{
		{"nothing", Config{}, "write it after --", false},
		{"empty", Config{Command: []string{""}}, "write it after --", false},
		{"not in PATH", Config{Command: []string{"no-such-tool-server"}}, "install it", true},
		{"no such path", Config{Command: []string{"./no-such-tool-server"}}, "no such file", true},
		{"not executable", Config{Command: []string{plain}}, "mode", true},
		{"a directory", Config{Command: []string{dir}}, "cannot run", true},
		{"no such path in Dir", Config{Command: []string{"bin/server"}, Dir: dir}, "no such file", true},
		{"no such Dir", Config{Command: []string{"ls"}, Dir: dir + "/none"}, "working directory", false},
		{"Dir is a file", Config{Command: []string{"ls"}, Dir: plain}, "not a directory", false},
		{"variable without a name", Config{Command: []string{"ls"}, Env: []string{"=x"}}, "NAME=VALUE", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.config)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("New: %v, want something with %q", err, test.says)
			}
			if got := errors.Is(err, exec.ErrNotFound); got != test.notFound {
				t.Errorf("errors.Is(%v, exec.ErrNotFound) = %t", err, got)
			}
		})
	}
}

func TestNameHidesArguments(t *testing.T) {
	b, err := New(Config{Command: []string{"/bin/sh", "--token=secret"}})
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != "sh" {
		t.Errorf("the backend is called %q, want sh", b)
	}
}

func TestProgramRelativeToDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "server"), []byte("#!/bin/sh\npwd >&2; exit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Command: []string{"./server"}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, r := open(t, b)
	if err := r.End(t); err == nil || !strings.Contains(err.Error(), filepath.Base(dir)) {
		t.Errorf("Closed: %v, want the working directory among the last words", err)
	}
}

func TestEnvironment(t *testing.T) {
	for _, name := range inherited {
		t.Setenv(name, "value of "+name)
	}
	t.Setenv("SHELL", "() { echo a function; }")
	t.Setenv("SECRET", "not for children")
	t.Setenv("PASSED", "on")
	env, missing, err := environment([]string{"PASSED", "GIVEN=a=b", "NOT_SET", "TERM=dumb", "GIVEN=c", "EMPTY="})
	if err != nil {
		t.Fatal(err)
	}
	want := "HOME=value of HOME LOGNAME=value of LOGNAME PATH=value of PATH USER=value of USER PASSED=on TERM=dumb GIVEN=c EMPTY="
	if got := strings.Join(env, " "); got != want {
		t.Errorf("environment:\n%s\nwant\n%s", got, want)
	}
	if len(missing) != 1 || missing[0] != "NOT_SET" {
		t.Errorf("missing: %q", missing)
	}
}

// TestChildIsItsOwn: a session and a group of its own, pipes that block, and no
// variable that is not for it.
func TestChildIsItsOwn(t *testing.T) {
	t.Setenv("SECRET", "not for children")
	c, r := open(t, newBackend(t, "describe"))
	got := r.Next(t)
	want := fmt.Sprintf(`{"jsonrpc":"2.0","method":"self","params":{"blocking":true,"group":%d,"secret":"","session":%d}}`, c.process.pid, c.process.pid)
	if got != want {
		t.Errorf("the child says\n%s\nwant\n%s", got, want)
	}
}

func TestStartFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(file, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Command: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	descriptors := contract.Descriptors()
	if _, err = b.Open(context.Background(), contract.NewRecorder()); err == nil || !strings.Contains(err.Error(), "interpreter in its first line") {
		t.Errorf("Open: %v", err)
	}
	if now := contract.Descriptors(); now != descriptors {
		t.Errorf("%d descriptors, %d before", now, descriptors)
	}
}

func TestExitAtOnceQuotesStderr(t *testing.T) {
	_, r := open(t, newBackend(t, "complain"))
	err := r.End(t)
	var end *EndError
	if !errors.As(err, &end) {
		t.Fatalf("Closed: %v", err)
	}
	if end.How != "ended with exit status 7" || len(end.LastWords) != keptWords || end.LastWords[keptWords-1] != "fatal: no API_KEY in the environment" {
		t.Errorf("Closed: %+v", end)
	}
	if text := err.Error(); !strings.HasPrefix(text, `the tool server "test" ended with exit status 7 `) || !strings.Contains(text, "its last words: complaint 3 |") {
		t.Errorf("Closed: %s", text)
	}
	if strings.Contains(end.Brief(), "complaint") {
		t.Errorf("Brief quotes the last words: %s", end.Brief())
	}
}

// TestClosesItsEnds: a child that closes an end of its own and lives on is
// ended, and the reason says why.
func TestClosesItsEnds(t *testing.T) {
	for behaviour, says := range map[string]string{
		"close stdout": "closed its output",
		"close stdin":  "closed its input and was ended for that",
	} {
		t.Run(behaviour, func(t *testing.T) {
			c, r := open(t, newBackend(t, behaviour, func(c *Config) { c.StopTimeout = 500 * time.Millisecond }))
			r.Next(t)
			if behaviour == "close stdin" {
				if err := c.Send(contract.Message(`{}`)); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.End(t); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("Closed: %v, want %q", err, says)
			}
		})
	}
}

// TestLastAnswerIsRead: what a child wrote right before its end arrives, and
// the end is told, although another holds the pipe and goes on writing.
func TestLastAnswerIsRead(t *testing.T) {
	for range 20 {
		c, r := open(t, newBackend(t, "last words", func(c *Config) { c.StopTimeout = contract.Patience }))
		for n := range 100 {
			if got, want := r.Next(t), fmt.Sprintf(`{"jsonrpc":"2.0","method":"n","params":[%d]}`, n); got != want {
				t.Fatalf("message %s, want %s", got, want)
			}
		}
		r.End(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.Close(ctx)
	}
}

func TestNothingStays(t *testing.T) {
	b := newBackend(t, contract.Echo, func(c *Config) { c.StopTimeout = contract.Patience })
	descriptors := contract.Descriptors()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 50 {
				r := contract.NewRecorder()
				c, err := b.Open(context.Background(), r)
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.Send(contract.Message(`{"jsonrpc":"2.0","id":1,"method":"echo","params":{}}`)); err != nil {
					t.Error(err)
				}
				c.Close(context.Background())
				if got := r.Next(t); got != `{"jsonrpc":"2.0","id":1,"result":{}}` {
					t.Errorf("answer: %s", got)
				}
			}
		})
	}
	group.Wait()
	goleak.VerifyNone(t)
	if now := contract.Descriptors(); now != descriptors {
		t.Errorf("%d descriptors, %d before", now, descriptors)
	}
	if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
		t.Errorf("a child is left over: wait4: %v", err)
	}
}
