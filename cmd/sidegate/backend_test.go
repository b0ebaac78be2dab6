package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// startGateFor runs the gate in front of backends.
func startGateFor(t *testing.T, flags ...string) *runningGate {
	t.Helper()
	return launchGate(t, append([]string{"run", "--admin=off", "--listen=127.0.0.1:0"}, flags...))
}

// callEcho calls the demo's tool in a session of its own.
func callEcho(t *testing.T, url string, n int) error {
	ctx := limited(t)
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, nil)
	transport := &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: newTransport(t)}}
	session, err := client.Connect(ctx, transport, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		return err
	}
	defer session.Close()
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]int{"n": n}})
	if err != nil {
		return err
	}
	if text, ok := result.Content[0].(*mcp.TextContent); !ok || text.Text != fmt.Sprintf(`{"n":%d}`, n) {
		return fmt.Errorf("call %d was answered with %v", n, result.Content[0])
	}
	return nil
}

// TestGateAndShim: the gate in front of a shim in front of the demo.
func TestGateAndShim(t *testing.T) {
	s := startShim(t, `exec "$0" demo`)
	g := startGateFor(t, "--backend=unix://"+s.path)
	var calling sync.WaitGroup
	for n := range 10 {
		calling.Go(func() {
			if err := callEcho(t, g.url, n); err != nil {
				t.Error(err)
			}
		})
	}
	calling.Wait()
	g.signal(t, syscall.SIGTERM)
	if code := g.exitCode(t); code != exitDone {
		t.Errorf("the gate's exit code is %d", code)
	}
	s.signal(t, syscall.SIGTERM)
	s.wantExit(t, exitDone)
}

// TestShimComesLate, goes and comes again: the gate serves whenever it is there, or
// soon after, where it has failed so often meanwhile that it is tried less often.
func TestShimComesLate(t *testing.T) {
	path := filepath.Join(shortDir(t), "tool.sock")
	g := startGateFor(t, "--backend=unix://"+path, "--link-wait=20s")
	for n := range 2 {
		s := startShimAt(t, path, `exec "$0" demo`)
		err := callEcho(t, g.url, n)
		for began := time.Now(); err != nil && strings.Contains(g.log(), "failures\":5") && time.Since(began) < patience; err = callEcho(t, g.url, n) {
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("round %d: %v; the gate's log:\n%s", n, err, g.log())
		}
		s.signal(t, syscall.SIGTERM)
		s.wantExit(t, exitDone)
	}
	if !strings.Contains(g.log(), "there is no such socket: is the tool server running?") {
		t.Error("the log does not tell what was missing")
	}
}

// TestShimDoesNotKnowTheGate: a gate whose user the shim does not let in serves
// nobody, and says what to look at.
func TestShimDoesNotKnowTheGate(t *testing.T) {
	s := startShim(t, copying, "--allow-uid=4000000000")
	g := startGateFor(t, "--backend=unix://"+s.path, "--link-wait=1s")
	if err := callEcho(t, g.url, 1); err == nil {
		t.Error("a call went through")
	}
	g.waitFor(t, "--allow-uid")
}

// TestRunSeveralBackends: each of several is served under its name, the first
// one at /mcp too.
func TestRunSeveralBackends(t *testing.T) {
	s := startShim(t, `exec "$0" demo`)
	tcp := serveDemo(t)
	web := serveWebDemo(t)
	g := startGateFor(t, "--backend=one=unix://"+s.path, "--backend=two=tcp://"+tcp, "--backend=three="+web+"/mcp")
	base := strings.TrimSuffix(g.url, "/mcp")
	for n, url := range []string{g.url, base + "/servers/one/mcp", base + "/servers/two/mcp", base + "/servers/three/mcp"} {
		if err := callEcho(t, url, n); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if err := callEcho(t, base+"/servers/four/mcp", 0); err == nil {
		t.Error("a server that does not exist has answered")
	}
	g.waitFor(t, `"backends":["one","two","three"]`)
}

// serveDemo is the demo on TCP, one message a line, and returns its address.
func serveDemo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				if err := demo(ctx, &mcp.IOTransport{Reader: c, Writer: c}); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
					t.Log("the demo ended:", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		serving.Wait()
	})
	return ln.Addr().String()
}

// serveWebDemo is the demo as a Streamable HTTP server, and returns its origin.
// Sessions that nobody has ended end with the test.
func serveWebDemo(t *testing.T) string {
	t.Helper()
	demo := newDemo()
	server := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return demo }, nil))
	t.Cleanup(func() {
		server.Close()
		for session := range demo.Sessions() {
			_ = session.Close() // it is the library's, and the test is over
		}
	})
	return server.URL
}

// TestRunSaysItsDoors, to a person.
func TestRunSaysItsDoors(t *testing.T) {
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{nil, "MCP at http://ADDR/mcp, SSE at http://ADDR/sse, WebSocket at ws://ADDR/ws"},
		{[]string{"--no-sse"}, "MCP at http://ADDR/mcp, WebSocket at ws://ADDR/ws"},
	} {
		g := startGateFor(t, append(c.flags, "--backend=tcp://127.0.0.1:1")...)
		address := strings.TrimSuffix(strings.TrimPrefix(g.url, "http://"), "/mcp")
		got := strings.ReplaceAll(strings.Join(g.stdout, ", "), "sidegate: ", "")
		if got = strings.ReplaceAll(got, address, "ADDR"); got != c.want {
			t.Errorf("%q: said %s; want %s", c.flags, got, c.want)
		}
	}
}

// TestCheckDoesNotConnect: a tool server may start later than its gate.
func TestCheckDoesNotConnect(t *testing.T) {
	cmd := gateProcess(t, "check", "--backend=unix:///nowhere/tool.sock")
	if out, errs, code := finish(t, cmd); code != exitDone || !strings.Contains(out, "backend  default: unix:///nowhere/tool.sock") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}
