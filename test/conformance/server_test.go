package conformance

import (
	"bytes"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// startTries is how often a free port is looked for: between our closing it
// and the server's opening it, another process may take it.
const startTries = 5

// startServer starts the everything-server over its own HTTP until the test
// ends, and returns its URL.
func startServer(t *testing.T, binary string, flags ...string) string {
	t.Helper()
	return "http://" + startAt(t, func(address string) []string { return append([]string{binary, "-http", address}, flags...) }) + "/mcp"
}

// startAt starts a server until the test ends, and returns the address at which
// it listens. Servers cannot tell which port they were given, so they get one
// that was free a moment ago.
func startAt(t *testing.T, command func(address string) []string) string {
	t.Helper()
	for range startTries {
		address := freeAddress(t)
		if tryAt(t, address, command(address)) {
			return address
		}
	}
	t.Fatalf("the server did not start in %d tries", startTries)
	return ""
}

// tryAt starts a server until the test ends, or not at all.
func tryAt(t *testing.T, address string, command []string) bool {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it serves until it is killed
		close(ended)
	}()
	stop := func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	}
	if listens(address, ended) {
		t.Cleanup(stop)
		return true
	}
	stop()
	t.Logf("%q does not listen on %s:\n%s", command, address, &log)
	return false
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// listens waits until address takes connections; false if the server ended, or
// in vain.
func listens(address string, ended <-chan struct{}) bool {
	network := "tcp"
	if filepath.IsAbs(address) {
		network = "unix"
	}
	for range 1000 {
		if conn, err := net.Dial(network, address); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}
