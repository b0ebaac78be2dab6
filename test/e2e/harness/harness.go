// Package harness runs the real gate for the tests in package e2e: it builds
// the binary and the fixture once, starts them, and hands out typed handles: a
// Gate, a Session in it, the Exchange of one request, the Events of a stream.
//
// It speaks HTTP by writing bytes to a connection, because a client library is
// too polite to misbehave, and it shares no code with the gate: what it knows
// of the protocol it knows from the specification.
package harness

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Patience bounds every wait for something that has to happen. It is generous,
// since a small machine may be busy; nothing asserts that less time was taken.
const Patience = 60 * time.Second

// The programs under test, built by Main.
var binary, fixture string

// Main builds the gate and the fixture, runs the tests and returns the exit
// code. With the race detector on in the tests, the gate has it too. Whatever
// the tests leave running is a failure, but for what others says.
func Main(m *testing.M, others ...goleak.Option) int {
	dir, err := os.MkdirTemp("", "sidegate-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary, fixture = filepath.Join(dir, "sidegate"), filepath.Join(dir, "fixture")
	if err := build(binary, "./cmd/sidegate", raceEnabled); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := build(fixture, "./test/fixture", false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	moreAtOnce()
	code := m.Run()
	if err := goleak.Find(others...); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "the tests themselves leave something behind:", err)
		return 1
	}
	return code
}

// moreAtOnce lets more tests run at a time than there are processors, unless
// the command line says how many: they wait more than they work.
func moreAtOnce() {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0)))
	}
}

// build compiles a program of this module.
func build(to, pkg string, race bool) error {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("cannot find the module: %w", err)
	}
	args := []string{"build", "-o", to}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = filepath.Dir(strings.TrimSpace(string(mod)))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Binary is the path of the gate's binary.
func Binary() string { return binary }

// Fixture is the command line of the fixture with the given flags.
func Fixture(flags ...string) []string { return append([]string{fixture}, flags...) }

// Eventually waits until condition holds, and fails the test if it never does.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	EventuallyWithin(t, Patience, what, condition)
}

// EventuallyWithin is Eventually for what may take longer than usual.
func EventuallyWithin(t testing.TB, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}
