package conformance

import (
	"bytes"
	"net"
	"os/exec"
	"testing"
	"time"
)

// startTries is how often a free port is looked for: between our closing it
// and the server's opening it, another process may take it.
const startTries = 5

// startServer starts the everything-server over its own HTTP until the test
// ends, and returns its URL. The server cannot tell which port it was given,
// so it gets one that was free a moment ago.
func startServer(t *testing.T, binary string) string {
	t.Helper()
	for range startTries {
		address := freeAddress(t)
		var log bytes.Buffer
		cmd := exec.Command(binary, "-http", address)
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
			return "http://" + address + "/mcp"
		}
		stop()
		t.Logf("the everything-server does not listen on %s:\n%s", address, &log)
	}
	t.Fatalf("the everything-server did not start in %d tries", startTries)
	return ""
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
	for range 1000 {
		if conn, err := net.Dial("tcp", address); err == nil {
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
