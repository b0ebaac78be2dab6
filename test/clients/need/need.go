// Package need finds what a test needs beside Go: Node.js, programs that npm
// installed, a Python with its packages. Where something is missing the test
// skips with the reason, or fails where TEST_STRICT=1 says that
// nothing may be missing.
package need

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// StrictVariable turns a skip into a failure where it is set to 1. It does not
// begin with SIDEGATE_, as the gate refuses such variables that it does not
// know.
const StrictVariable = "TEST_STRICT"

// Program returns Node.js and the script of a program that `npm ci` installed
// in dir. It is the Node.js that the lock file there pins, else, on platforms
// for which npm has none, the one in PATH.
func Program(t testing.TB, dir, name string) (node, script string) {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(dir, "node_modules", ".bin"))
	if err != nil {
		t.Fatal(err)
	}
	script = filepath.Join(bin, name)
	if _, err := os.Stat(script); err != nil {
		Missing(t, name+" is not installed: run make node")
	}
	node = filepath.Join(bin, "node")
	if _, err := os.Stat(node); err == nil {
		return node, script
	}
	node, err = exec.LookPath("node")
	if err != nil {
		Missing(t, "there is no Node.js: install version 22")
	}
	return node, script
}

// Python returns the interpreter of the virtual environment in dir.
func Python(t testing.TB, dir string) string {
	t.Helper()
	python := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(python); err != nil {
		Missing(t, "the Python SDK is not installed: run make python")
	}
	return python
}

// Missing ends the test for the reason that something is not there.
func Missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv(StrictVariable) == "1" {
		t.Fatalf("%s (%s=1 lets nothing be missing)", reason, StrictVariable)
	}
	t.Skip(reason)
}
