//go:build linux

package fence

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sidegate/test/e2e/harness"
	"sidegate/test/netns"
)

// testRealGate has the gate itself behind the fence, in front of a tool server
// that listens. The gate asks for a token, by which it shows that it was it who
// was asked; the tool server asks for none.
func testRealGate(t *testing.T, backend string) {
	p := newPod(t, backend)
	p.apply(standard...)
	tokens := filepath.Join(filepath.Dir(gateway), "tokens-"+backend)
	if err := os.WriteFile(tokens, []byte("secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.serve(toolUID, "--listen=127.0.0.1:8080", "--admin=off", "--", gateway, "demo")
	p.serve(gateUID, "--listen=:15006", "--admin=off", "--token-file="+tokens, "--allow-host="+pod4, "--backend=http://127.0.0.1:8080/mcp")
	for _, c := range []struct {
		who  *netns.Person
		host string
	}{
		{p.host, pod4}, {p.host, "[" + pod6 + "]"}, {p.root, "127.0.0.1"}, {p.root, "[::1]"}, {p.root, pod4},
	} {
		if got := p.initialize(c.who, c.host, ""); !strings.HasPrefix(got, "HTTP/1.1 401") {
			t.Errorf("%s → %s, without a token: %s", c.who.Name, c.host, got)
		}
		if got := p.initialize(c.who, c.host, "secret"); !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.Contains(got, `"serverInfo"`) {
			t.Errorf("%s → %s, with a token: %s", c.who.Name, c.host, got)
		}
	}
	if got := p.initialize(p.root, "["+pod6+"]", "secret"); !strings.HasPrefix(got, "HTTP/1.1 403") || !strings.Contains(got, "--allow-host") {
		t.Errorf("a container by an address that --allow-host does not name: %s", got)
	}
}

// serve runs the gate's binary in the pod as a user, until the test ends.
func (p *pod) serve(uid int, args ...string) {
	p.t.Helper()
	user := fmt.Sprint(uid)
	line := append(p.root.Enter(), "setpriv", "--reuid="+user, "--regid="+user, "--clear-groups", "--no-new-privs", "--bounding-set=-all", gateway, "run")
	cmd := exec.Command(line[0], append(line[1:], args...)...)
	var out lockedBuffer
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, &out, &out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	harness.Eventually(p.t, "the gate listens: "+strings.Join(args, " "), func() bool { return strings.Contains(out.String(), `/mcp`) })
}

// initialize is a client's first request, and returns the answer as it came.
func (p *pod) initialize(from *netns.Person, host, token string) string {
	p.t.Helper()
	const body = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}`
	request := fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: %s:8080\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nConnection: close\r\nContent-Length: %d\r\n", host, len(body))
	if token != "" {
		request += "Authorization: Bearer " + token + "\r\n"
	}
	said := from.Ask("exchange", host+":8080", hex.EncodeToString([]byte(request+"\r\n"+body)))
	answer, err := hex.DecodeString(said)
	if err != nil {
		p.t.Fatalf("%s → %s: %s", from.Name, host, said)
	}
	return string(answer)
}

// A lockedBuffer is written to by a process while it is read.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
