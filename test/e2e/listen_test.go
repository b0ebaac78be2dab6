package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sidegate/test/e2e/harness"
)

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "gate") // a short path: a socket's may have 100 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	g := gate(t, "--listen", "unix://"+path)
	s := open(t, g)
	alive(t, s)
	s.Do(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":2}`)).WantStatus(t, 200)
	g.Do(t, harness.Get().Add("Origin", "http://evil.example")).WantRefusal(t, 403, invalidRequest, "")
	s.End(t)
	g.Signal(syscall.SIGTERM)
	if code := g.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket's file is left behind: %v", err)
	}
	t.Run("one left behind by a killed gate", func(t *testing.T) {
		first := gate(t, "--listen", "unix://"+path)
		first.Kill()
		alive(t, open(t, gate(t, "--listen", "unix://"+path)))
	})
}

// TestBeyondLoopback: without tokens it warns, in one line.
func TestBeyondLoopback(t *testing.T) {
	t.Parallel()
	warnings := func(g *harness.Gate) (n int) {
		for line := range strings.Lines(g.Log()) {
			if strings.Contains(line, `"level":"warn"`) && strings.Contains(line, "--token-file") {
				n++
			}
		}
		return n
	}
	if n := warnings(gate(t, "--listen", "0.0.0.0:0")); n != 1 {
		t.Errorf("%d warnings without tokens, want one", n)
	}
	if n := warnings(gate(t, "--listen", "0.0.0.0:0", "--token-file", tokenFile(t, "0123456789abcdef"))); n != 0 {
		t.Errorf("%d warnings with tokens", n)
	}
	if n := warnings(gate(t)); n != 0 {
		t.Errorf("%d warnings on loopback", n)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	free := "127.0.0.1:0"
	for name, args := range map[string][]string{
		"listen": {"--listen", l.Addr().String(), "--admin", free},
		"admin":  {"--listen", free, "--admin", l.Addr().String()},
	} {
		t.Run(name, func(t *testing.T) {
			result := harness.Exec(t, nil, append(append([]string{"run"}, args...), append([]string{"--"}, harness.Fixture()...)...)...)
			if result.Code != 3 || !strings.Contains(result.Stderr, l.Addr().String()) {
				t.Errorf("exit code %d, want 3 and the address: %s", result.Code, result.Stderr)
			}
		})
	}
}
