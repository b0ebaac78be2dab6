package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fasthttp/websocket"

	"sidegate/test/e2e/harness"
)

// wantProbe wants the answer to a probe of the default server.
func wantProbe(t *testing.T, g *harness.Gate, status int, says string) {
	t.Helper()
	resp := g.DoAdmin(t, harness.Bare("GET", "/probe/default"))
	if resp.Status != status || !strings.Contains(string(resp.Body), says) {
		t.Errorf("a probe got status %d, %q; want %d, %q", resp.Status, resp.Body, status, says)
	}
}

// TestProbeHTTP: an HTTP server is asked for the path that was named, and says
// by its status what it has to say; never by two probes at once.
func TestProbeHTTP(t *testing.T) {
	t.Parallel()
	var asking, asked, status atomic.Int64
	enter, leave := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.RequestURI != "/health?deep=1" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		asked.Add(1)
		if asking.Add(1) > 1 {
			t.Error("it is asked twice at a time")
		}
		defer asking.Add(-1)
		if status.Load() == 0 { // the first one stays for a while
			enter <- struct{}{}
			<-leave
		}
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(server.Close)
	g := before(t, []string{server.URL + "/mcp"}, "--probe", "/health?deep=1")

	first := g.DialAdmin(t)
	first.Send(t, harness.Bare("GET", "/probe/default").Bytes(g.Admin))
	<-enter
	var others sync.WaitGroup
	for range 5 {
		others.Go(func() {
			c := g.DialAdmin(t)
			c.Send(t, harness.Bare("GET", "/probe/default").Bytes(g.Admin))
			c.Read(t, "GET").WantStatus(t, 200)
		})
	}
	status.Store(200)
	close(leave)
	first.Read(t, "GET").WantStatus(t, 200)
	others.Wait()

	status.Store(302)
	wantProbe(t, g, 200, "ok")
	status.Store(500)
	wantProbe(t, g, 503, "default: the tool server answers GET /health?deep=1 with status 500")
	if g.Ready(t) != 200 {
		t.Error("the gate takes the server for one that is not there")
	}
	if n := asked.Load(); n > 9 {
		t.Errorf("the server was asked %d times", n)
	}
	server.CloseClientConnections()
	server.Close()
	wantProbe(t, g, 503, "cannot be reached")
}

// TestProbeChild: a process that does not answer a ping is found out; one that
// is at work is left alone.
func TestProbeChild(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t)
	wantProbe(t, g, 200, "ok")
	s := open(t, g)
	pid, _ := s.Server(t)
	wantProbe(t, g, 200, "ok")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wantProbe(t, g, 503, "default: the tool server does not answer a ping")
	waiting := s.Send(t, harness.ToolCall("1", "echo", `{}`))
	waitForCalls(t, g, 1)
	wantProbe(t, g, 200, "ok") // it may be at work
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waiting.Read(t, "POST").WantStatus(t, 200)
	wantProbe(t, g, 200, "ok")
	for request, status := range map[*harness.Request]int{
		harness.Bare("GET", "/probe/other"):                                        404,
		harness.Bare("GET", "/probe/"):                                             404,
		harness.Bare("POST", "/probe/default"):                                     405,
		harness.Bare("GET", "/probe/default").Add("Origin", "http://evil.example"): 403,
	} {
		g.DoAdmin(t, request).WantStatus(t, status)
	}
}

// TestProbeOverASocket: a probe over the admin listener's socket asks the server
// too, and says what it says.
func TestProbeOverASocket(t *testing.T) {
	t.Parallel()
	h := hold(t, "tcp", "127.0.0.1:0")
	at := "unix://" + filepath.Join(t.TempDir(), "admin.sock")
	g := before(t, []string{"tcp://" + h.Addr().String()}, "--era", "legacy", "--admin", at)
	wantProbe(t, g, 200, "ok")
	h.die()
	harness.Eventually(t, "a probe finds the server dead", func() bool {
		return g.DoAdmin(t, harness.Bare("GET", "/probe/default")).Status == 503
	})
	wantProbe(t, g, 503, "default: ")
}

// holder is a server that takes connections, holds them and says nothing.
type holder struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	over  sync.WaitGroup
}

func hold(t *testing.T, network, address string) *holder {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // as where the server is killed
	}
	h := &holder{Listener: ln}
	h.over.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns = append(h.conns, c)
			h.mu.Unlock()
		}
	})
	t.Cleanup(h.die)
	return h
}

// die ends the server as a kill does.
func (h *holder) die() {
	h.Close()
	h.over.Wait()
	for _, c := range h.conns {
		c.Close()
	}
}

// TestDeadServer: of whatever kind it is, a server that has died is not taken
// for a living one, neither by /readyz nor by a probe.
func TestDeadServer(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(*testing.T) (url string, die func()){
		"tcp": func(t *testing.T) (string, func()) {
			h := hold(t, "tcp", "127.0.0.1:0")
			return "tcp://" + h.Addr().String(), h.die
		},
		"unix, its socket left behind": func(t *testing.T) (string, func()) {
			path := filepath.Join(t.TempDir(), "s")
			return "unix://" + path, hold(t, "unix", path).die
		},
		"http": func(t *testing.T) (string, func()) {
			h := hold(t, "tcp", "127.0.0.1:0")
			return "http://" + h.Addr().String() + "/mcp", h.die
		},
		"websocket": func(t *testing.T) (string, func()) {
			upgrader, taken := websocket.Upgrader{}, make(chan *websocket.Conn, 100)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := upgrader.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				taken <- c
			}))
			server.Start()
			return "ws://" + server.Listener.Addr().String(), func() {
				server.Close()
				for len(taken) > 0 {
					(<-taken).Close()
				}
			}
		},
	}
	for name, start := range kinds {
		for _, warm := range []string{"0", "1"} {
			t.Run(name+", warm "+warm, func(t *testing.T) {
				t.Parallel()
				url, die := start(t)
				g := before(t, []string{url}, "--warm", warm, "--era", "legacy")
				harness.Eventually(t, "the gate is ready", func() bool { return g.Ready(t) == 200 })
				wantProbe(t, g, 200, "ok")
				die()
				harness.Eventually(t, "a probe finds the server dead", func() bool {
					return g.DoAdmin(t, harness.Bare("GET", "/probe/default")).Status == 503
				})
				harness.Eventually(t, "the gate is not ready", func() bool { return g.Ready(t) == 503 })
				wantProbe(t, g, 503, "default: ")
			})
		}
	}
}

// startShim starts `sidegate shim` in front of the fixture, and returns what ends
// it.
func startShim(t *testing.T, path string, flags ...string) (stop func()) {
	t.Helper()
	args := append([]string{"shim", "--listen=unix://" + path, "--mode=0666"}, flags...)
	cmd := exec.Command(harness.Binary(), append(append(args, "--"), harness.Fixture()...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	harness.Eventually(t, "the shim listens", func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
	return stop
}

// TestShimTurnsAway: a gate whose connections the shim does not take is not
// ready, and says why in the shim's own words; when they are taken, it is.
func TestShimTurnsAway(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t) // whose the peer is the system has to tell
	for _, warm := range []string{"0", "1"} {
		t.Run("warm "+warm, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "s")
			wantUnready := func(g *harness.Gate, why string) {
				t.Helper()
				harness.Eventually(t, "the gate says that the shim turns it away", func() bool {
					resp := g.DoAdmin(t, harness.Bare("GET", "/readyz"))
					return resp.Status == 503 && strings.Contains(string(resp.Body), why)
				})
				wantProbe(t, g, 503, "default: ")
			}
			wantReady := func(g *harness.Gate) {
				t.Helper()
				harness.Eventually(t, "the gate is ready", func() bool { return g.Ready(t) == 200 })
			}
			flags := []string{"--warm", warm, "--era", "legacy"}

			stop := startShim(t, path, "--allow-uid=4000000000")
			g := before(t, []string{"unix://" + path}, flags...)
			wantUnready(g, fmt.Sprintf("let it in with --allow-uid=%d", os.Getuid()))
			stop()
			stop = startShim(t, path)
			wantReady(g)
			alive(t, open(t, g))
			stop()

			path += "2" // which the first gate does not know: it would take the place
			startShim(t, path, "--max-connections=1")
			other, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			g = before(t, []string{"unix://" + path}, flags...)
			wantUnready(g, "raise --max-connections")
			other.Close()
			wantReady(g)
		})
	}
}
