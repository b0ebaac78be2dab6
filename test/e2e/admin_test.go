package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

func TestAdmin(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	stream := s.Stream(t, "")
	s.Do(t, ping("1"))
	s.Do(t, harness.ToolCallWithToken("1", "1", "progress", `{"steps":1}`))
	g.Do(t, harness.Post(ping("1")).Add("Mcp-Session-Id", "guess-guess-guess-guess"))
	paths := []string{"/livez", "/readyz", "/metrics"}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			resp := g.DoAdmin(t, harness.Bare("GET", path))
			resp.WantStatus(t, 200)
			if strings.Contains(string(resp.Body), s.ID) || strings.Contains(string(resp.Body), "guess-guess") {
				t.Error("it says a session's id")
			}
		})
		for name, r := range map[string]*harness.Request{
			"foreign Host":   harness.Bare("GET", path).Add("Host", "evil.example"),
			"foreign Origin": harness.Bare("GET", path).Add("Origin", "http://evil.example"),
			"Origin null":    harness.Bare("GET", path).Add("Origin", "null"),
		} {
			t.Run(path+" "+name, func(t *testing.T) { g.DoAdmin(t, r).WantStatus(t, 403) })
		}
		t.Run(path+" POST", func(t *testing.T) { g.DoAdmin(t, harness.Bare("POST", path)).WantStatus(t, 405) })
	}
	for _, path := range []string{"/", "/mcp", "/sessions", "/debug/pprof/"} {
		t.Run("nothing at "+path, func(t *testing.T) { g.DoAdmin(t, harness.Bare("GET", path)).WantStatus(t, 404) })
	}
	t.Run("session ids are not logged", func(t *testing.T) {
		if strings.Contains(g.Log(), s.ID) {
			t.Error("the log has a session's id in it")
		}
	})
	stream.Cut()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-sessions", "77", "--max-links", "33")
	s := open(t, g)
	stream := s.Stream(t, "")
	s.Do(t, ping("1"))
	s.Call(t, "echo", `{}`)
	g.Do(t, harness.Post(ping("1")).Add("Origin", "null"))
	sleeping := s.Send(t, harness.ToolCall("9", "sleep", `{"ms":3000}`))
	waitForCalls(t, g, 1)
	for _, row := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"sidegate_sessions", nil, 1},
		{"sidegate_sessions_limit", nil, 77},
		{"sidegate_streams", []string{`frontend="streamable"`}, 1},
		{"sidegate_calls_in_flight", nil, 1},
		{"sidegate_calls_total", []string{`frontend="streamable"`, `era="legacy"`, `method="ping"`}, 1},
		{"sidegate_calls_total", []string{`method="tools/call"`}, 1},
		{"sidegate_refusals_total", []string{`reason="origin"`}, 1},
		{"sidegate_links_limit", nil, 33},
		{"sidegate_bytes_in_flight_limit", nil, 268435456},
	} {
		if got := g.Metric(t, row.name, row.labels...); got != row.want {
			t.Errorf("%s%q is %v, want %v", row.name, row.labels, got, row.want)
		}
	}
	if got := g.Metric(t, "sidegate_call_seconds_count"); got < 2 {
		t.Errorf("sidegate_call_seconds_count is %v", got)
	}
	if got := g.Metric(t, "sidegate_links", "state="); got < 1 {
		t.Errorf("sidegate_links is %v", got)
	}
	sleeping.Read(t, "POST")
	stream.Cut()
	harness.Eventually(t, "the stream is counted no more", func() bool { return g.Metric(t, "sidegate_streams") == 0 })
}

// TestMetricLabelsAreBounded: a client cannot fill /metrics with names of its
// own.
func TestMetricLabelsAreBounded(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, method := range []string{"made/up", "made/up/2", `x\"} 1\nforged 1`, strings.Repeat("m", 1000)} {
		s.Do(t, `{"jsonrpc":"2.0","id":1,"method":"`+method+`"}`).WantStatus(t, 200)
	}
	for _, made := range []string{"made/up", "forged", "mmmmmm"} {
		if strings.Contains(g.Metrics(t), made) {
			t.Errorf("/metrics has the client's %q in it", made)
		}
	}
}

// TestAdminOnASocket: all that is served on a port is on a socket as well, where
// any Host will do, since no browser gets there.
func TestAdminOnASocket(t *testing.T) {
	t.Parallel()
	g := onASocket(t)
	for _, path := range []string{"/livez", "/readyz", "/readyz/default", "/probe/default", "/metrics"} {
		g.DoAdmin(t, harness.Bare("GET", path)).WantStatus(t, 200)
		g.DoAdmin(t, harness.Bare("GET", path).Add("Host", "10.0.0.7:8081")).WantStatus(t, 200)
		g.DoAdmin(t, harness.Bare("GET", path).Add("Origin", "http://evil.example")).WantStatus(t, 403)
		g.DoAdmin(t, harness.Bare("POST", path)).WantStatus(t, 405)
	}
	for _, path := range []string{"/probe/other", "/probe/", "/readyz/other"} {
		g.DoAdmin(t, harness.Bare("GET", path)).WantStatus(t, 404)
	}
	for _, more := range []string{"", "--ready"} {
		args := strings.Fields("healthcheck --admin " + g.Admin + " " + more)
		if r := harness.Exec(t, nil, args...); r.Code != 0 {
			t.Errorf("sidegate %v ended with code %d: %s", args, r.Code, r.Stderr)
		}
	}
}

// onASocket starts a gate whose admin listener is a socket.
func onASocket(t *testing.T, flags ...string) *harness.Gate {
	t.Helper()
	at := "unix://" + filepath.Join(t.TempDir(), "admin.sock")
	g := gate(t, append(flags, "--admin", at)...)
	if g.Admin != at {
		t.Fatalf("the admin listener is at %s, want %s", g.Admin, at)
	}
	return g
}

func TestAdminOff(t *testing.T) {
	t.Parallel()
	g := gate(t, "--admin", "off")
	if g.Admin != "" {
		t.Errorf("the admin listener is at %s", g.Admin)
	}
	alive(t, open(t, g))
}
