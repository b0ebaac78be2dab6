package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// beGate makes the test binary the command: a child in these tests is this
// binary run again, so that nothing has to be built or installed for them.
const beGate = "GATE_TEST_BE_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(beGate) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// gateProcess is a command line to be run in a process of its own. Its
// environment holds nothing of the caller's that the gate would read.
func gateProcess(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(testBinary(t), args...)
	cmd.Env = append(cleanEnviron(), beGate+"=1")
	return cmd
}

func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func cleanEnviron() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, envPrefix) {
			env = append(env, e)
		}
	}
	return env
}

// finish runs cmd to its end.
func finish(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// writeFile puts text into a file gate.yaml of its own and returns its path.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
