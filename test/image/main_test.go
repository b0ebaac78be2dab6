//go:build image

package image

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"sidegate/test/clients/need"
)

// What the tests share, made once: a podman with a store of its own, and in it
// the image of the gate and one of a tool server.
var (
	shared  *podman
	lacking string // why the tests cannot run here; "" where they can
	broken  error  // why they could not be prepared, though nothing was lacking
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if lacking = missing(); lacking != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "sgi") // short: sockets are in it
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared, broken = newPodman(dir)
	if broken == nil {
		defer shared.end()
		broken = buildImages(shared)
	}
	return m.Run()
}

// missing is what the tests need and this machine has not.
func missing() string {
	if os.Geteuid() != 0 {
		return "the image is built and run as root: podman needs more of others than most machines grant"
	}
	for _, program := range []string{"podman", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed"
		}
	}
	return ""
}

// bed returns what the tests share, or ends the test where it could not be had.
func bed(t *testing.T) *podman {
	t.Helper()
	if lacking != "" {
		need.Missing(t, lacking)
	}
	if broken != nil {
		t.Fatal(broken)
	}
	return shared
}
