package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"sidegate/test/e2e/harness"
)

// A detour is an address from which connections are led on to another one, as a
// fence's redirect does with what is not the gate's.
type detour struct {
	net.Listener
	to   string        // valid once open is closed
	open chan struct{} // connections wait for it
}

func newDetour(t *testing.T) *detour {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &detour{Listener: ln, open: make(chan struct{})}
	var serving sync.WaitGroup
	over := make(chan struct{})
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { d.lead(c, over) })
		}
	})
	t.Cleanup(func() {
		close(over)
		ln.Close()
		serving.Wait()
	})
	return d
}

// lead joins a connection with one to where the detour leads, until either ends.
func (d *detour) lead(c net.Conn, over chan struct{}) {
	defer c.Close()
	select {
	case <-d.open:
	case <-over:
		return
	}
	up, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	defer up.Close()
	ended := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		ended <- struct{}{}
	}
	go pass(up, c)
	go pass(c, up)
	select {
	case <-ended:
	case <-over:
	}
	c.Close()
	up.Close()
	<-ended
}

func (d *detour) leadTo(g *harness.Gate) {
	d.to = g.Addr
	close(d.open)
}

// wantLoop wants every call to be answered at once that it goes round, and the
// gate to say so of its own readiness.
func wantLoop(t *testing.T, gates ...*harness.Gate) {
	t.Helper()
	for _, g := range gates {
		for _, r := range []*harness.Request{harness.Client{}.Initialize(), modernTool("echo", `{}`).request()} {
			resp := g.Do(t, r)
			resp.WantStatus(t, 508)
			if !strings.Contains(string(resp.Body), "--gate-uid") {
				t.Errorf("the refusal is %s", resp.Body)
			}
		}
	}
	for _, g := range gates {
		harness.Eventually(t, "the gate says that its server leads back to it", func() bool {
			resp := g.DoAdmin(t, harness.Bare("GET", "/readyz"))
			return resp.Status == 503 && strings.Contains(string(resp.Body), "leads back to it")
		})
	}
}

// TestLoop: a gate whose tool server is the gate itself answers each call with
// 508, whatever it speaks with its server and whoever shares it.
func TestLoop(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path  string
		flags []string
	}{
		"http":           {"/mcp", nil},
		"http, shared":   {"/mcp", []string{"--isolation=shared", "--links=2"}},
		"http, legacy":   {"/mcp", []string{"--era=legacy"}},
		"http, modern":   {"/mcp", []string{"--era=modern"}},
		"sse":            {"/sse", nil},
		"sse, legacy":    {"/sse", []string{"--era=legacy"}},
		"another server": {"/servers/default/mcp", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDetour(t)
			g := before(t, []string{"http://" + d.Addr().String() + c.path}, c.flags...)
			d.leadTo(g)
			wantLoop(t, g)
		})
	}
}

// TestLoopOfTokens: a gate that asks for a token tells itself so as well, and
// not that the token is missing.
func TestLoopOfTokens(t *testing.T) {
	t.Parallel()
	d := newDetour(t)
	g := before(t, []string{"http://" + d.Addr().String() + "/mcp"}, "--token-file", configFile(t, "ann=secret\n"))
	d.leadTo(g)
	g.Do(t, harness.Client{Token: "secret"}.Initialize()).WantStatus(t, 508)
	g.Do(t, harness.Client{}.Initialize()).WantStatus(t, 401)
}

// TestLoopOfWebSockets: the handshake is refused, and /readyz says what it was
// answered with.
func TestLoopOfWebSockets(t *testing.T) {
	t.Parallel()
	d := newDetour(t)
	g := before(t, []string{"ws://" + d.Addr().String() + "/ws"})
	d.leadTo(g)
	g.Do(t, harness.Client{}.Initialize()).WantStatus(t, 503)
	harness.Eventually(t, "the gate says that its server leads back to it", func() bool {
		resp := g.DoAdmin(t, harness.Bare("GET", "/readyz"))
		return resp.Status == 503 && strings.Contains(string(resp.Body), "508 (Loop Detected); it is this gate itself")
	})
}

// TestRing: two gates, each of which is the other one's tool server.
func TestRing(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"":        nil,
		"shared":  {"--isolation=shared", "--links=2"},
		"legacy":  {"--era=legacy"},
		"modern":  {"--era=modern"},
		"at once": {"--era=legacy", "--isolation=shared", "--links=2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := newDetour(t), newDetour(t)
			a := before(t, []string{"http://" + one.Addr().String() + "/mcp"}, flags...)
			b := before(t, []string{"http://" + two.Addr().String() + "/mcp"}, flags...)
			one.leadTo(b)
			two.leadTo(a)
			wantLoop(t, a, b)
		})
	}
}

// TestChain: gates before each other in a row work, also where one of them is in
// the row twice, with another of its servers behind it.
func TestChain(t *testing.T) {
	t.Parallel()
	last := gate(t)
	for name, flags := range map[string][]string{"session": nil, "shared": {"--isolation=shared", "--links=2"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDetour(t)
			middle := before(t, []string{"http://" + d.Addr().String() + "/servers/tool/mcp"}, flags...)
			first := before(t, []string{"way=http://" + middle.Addr + "/mcp", "tool=http://" + last.Addr + "/mcp"}, flags...)
			d.leadTo(first)
			alive(t, open(t, first))
			first.Do(t, modernTool("echo", `{"alive":true}`).request()).WantStatus(t, 200)
			if first.Ready(t) != 200 || middle.Ready(t) != 200 {
				t.Error("a gate in the row is not ready")
			}
		})
	}
}

// TestViaOfOthers: what a client says of the hosts it came through is not for
// the tool server, but for the gates among them; and the gate names itself last.
func TestViaOfOthers(t *testing.T) {
	t.Parallel()
	heard := make(chan []string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case heard <- r.Header["Via"]:
		default:
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}`)
	}))
	t.Cleanup(server.Close)
	g := before(t, []string{server.URL + "/mcp"}, "--era=legacy")
	g.Do(t, harness.Client{}.Initialize().Add("Via", "1.0 inside.example, 1.1 sidegate-another")).WantStatus(t, 200)
	got := <-heard
	if len(got) != 2 || got[0] != "1.1 sidegate-another" || !strings.HasPrefix(got[1], "1.1 sidegate-") {
		t.Errorf("the server hears %q", got)
	}
	g.Do(t, harness.Client{}.Initialize().Add("Via", got[1])).WantStatus(t, 508)
}
