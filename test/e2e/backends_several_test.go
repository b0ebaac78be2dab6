package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// at sends a session's message to another endpoint.
func at(t *testing.T, s *harness.Session, target, body string) *harness.Response {
	t.Helper()
	r := s.As(harness.Post(body))
	r.Target = target
	return s.Gate.Do(t, r)
}

// openAt opens a session at another endpoint. Its client can answer no question,
// so that none of its calls needs a link to itself.
func openAt(t *testing.T, g *harness.Gate, target string) *harness.Session {
	t.Helper()
	r := harness.Client{Capabilities: `{}`}.Initialize()
	r.Target = target
	resp := g.Do(t, r)
	if answer := resp.Answer(t); answer.Error != nil {
		t.Fatalf("initialize at %s got %s", target, answer.Raw)
	}
	s := &harness.Session{Gate: g, ID: resp.Header.Get("Mcp-Session-Id"), Revision: harness.Latest}
	at(t, s, target, harness.Notification("notifications/initialized", "")).WantStatus(t, 202)
	return s
}

// TestSeveralBackends: each server has its own endpoint, its own isolation and
// its own health; the first is the default one.
func TestSeveralBackends(t *testing.T) {
	t.Parallel()
	one, two := newUpstream(t), newUpstream(t)
	config := filepath.Join(t.TempDir(), "sidegate.yaml")
	text := fmt.Sprintf("backends:\n  one: {url: %q, isolation: session}\n  two: {url: %q, isolation: shared, links: 1}\n", one.URL(), two.URL())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := harness.Start(t, harness.Setup{Command: []string{}, Flags: []string{"--config", config}})
	const atOne, atTwo = "/servers/one/mcp", "/servers/two/mcp"
	which := map[string]*upstream{atOne: one, atTwo: two}
	for range 2 {
		for target, u := range which {
			u.Forget()
			s := openAt(t, g, target)
			if got := at(t, s, target, harness.ToolCall("1", "echo", `{"at":"here"}`)).Answer(t).Structured(t); got != `{"at":"here"}` {
				t.Errorf("%s: got %s", target, got)
			}
			if !slices.ContainsFunc(u.Requests(), func(r upstreamRequest) bool { return strings.Contains(r.Body, "here") }) {
				t.Errorf("%s: the call went to another server", target)
			}
			for other := range which {
				if other != target {
					at(t, s, other, harness.ToolCall("2", "echo", `{}`)).WantRefusal(t, 404, noSuchSession, "2")
				}
			}
		}
	}
	if n := one.Opened(); n < 2 {
		t.Errorf("two sessions with isolation session opened %d at the server", n)
	}
	if n := two.Opened(); n != 1 {
		t.Errorf("sessions that share one link opened %d at the server: %v", n, two.Requests())
	}
	g.Do(t, func() *harness.Request { r := harness.Client{}.Initialize(); r.Target = "/servers/three/mcp"; return r }()).WantStatus(t, 404)

	first := openAt(t, g, atOne)
	two.Stop()
	ready := func(name string) int { return g.DoAdmin(t, harness.Bare("GET", "/readyz"+name)).Status }
	harness.Eventually(t, "/readyz says that a server is down", func() bool { return ready("") == unavailable })
	if ready("/one") != 200 || ready("/two") != unavailable {
		t.Errorf("/readyz/one says %d, /readyz/two %d", ready("/one"), ready("/two"))
	}
	at(t, first, atOne, harness.ToolCall("3", "echo", `{}`)).Answer(t)
	openAt(t, g, atOne)
	two.Start(t)
	harness.Eventually(t, "/readyz says that it is up", func() bool { return ready("") == 200 })
	openAt(t, g, atTwo)
}

// TestLimitsOfABackend: a limit that is said for one server is that one's.
func TestLimitsOfABackend(t *testing.T) {
	t.Parallel()
	one, two := newUpstream(t), newUpstream(t)
	config := filepath.Join(t.TempDir(), "sidegate.yaml")
	text := fmt.Sprintf("backends:\n  one: {url: %q, max-sessions: 1}\n  two: {url: %q}\n", one.URL(), two.URL())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := harness.Start(t, harness.Setup{Command: []string{}, Flags: []string{"--config", config}})
	openAt(t, g, "/servers/one/mcp")
	r := harness.Client{ID: "5"}.Initialize()
	r.Target = "/servers/one/mcp"
	g.Do(t, r).WantRefusal(t, 503, unavailable, "5")
	openAt(t, g, "/servers/two/mcp")
	openAt(t, g, "/servers/two/mcp")
}

// TestDefaultBackend: the first --backend is the one at /mcp too.
func TestDefaultBackend(t *testing.T) {
	t.Parallel()
	one, two := newUpstream(t), newUpstream(t)
	g := before(t, []string{"one=" + one.URL(), "two=" + two.URL()})
	s := open(t, g)
	alive(t, s)
	at(t, s, "/servers/one/mcp", harness.ToolCall("1", "echo", `{}`)).Answer(t)
	alive(t, openAt(t, g, "/mcp"))
	if one.Opened() < 2 || slices.ContainsFunc(two.Requests(), func(r upstreamRequest) bool { return strings.Contains(r.Body, "tools/call") }) {
		t.Errorf("%d sessions at the first, and the second got %v", one.Opened(), two.Requests())
	}
}
