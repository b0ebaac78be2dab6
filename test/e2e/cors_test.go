package e2e

import (
	"net/http"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

const page = "http://localhost:6274"

// preflight is what a browser asks before a page's first POST.
func preflight(origin string) *harness.Request {
	return harness.Bare("OPTIONS", "/mcp").Add("Origin", origin).
		Add("Access-Control-Request-Method", "POST").
		Add("Access-Control-Request-Headers", "authorization,content-type,mcp-protocol-version,mcp-session-id,last-event-id")
}

// wantListed checks that a header's comma list names all of names.
func wantListed(t *testing.T, h http.Header, field string, names ...string) {
	t.Helper()
	list := "," + strings.ToLower(strings.ReplaceAll(strings.Join(h.Values(field), ","), " ", "")) + ","
	for _, name := range names {
		if !strings.Contains(list, ","+strings.ToLower(name)+",") {
			t.Errorf("%s is %q, without %s", field, h.Get(field), name)
		}
	}
}

// wantReadable checks that a page may read the answer, and no other page may.
func wantReadable(t *testing.T, h http.Header) {
	t.Helper()
	if got := h.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != page {
		t.Errorf("Access-Control-Allow-Origin is %q, want %s", got, page)
	}
	wantListed(t, h, "Vary", "Origin")
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	// A preflight carries no token, so it must pass without one.
	g := gate(t, "--token-file", tokenFile(t, "0123456789abcdef"))
	resp := g.Do(t, preflight(page))
	if resp.Status != 200 && resp.Status != 204 {
		t.Errorf("status %d: %s", resp.Status, resp.Body)
	}
	wantReadable(t, resp.Header)
	wantListed(t, resp.Header, "Access-Control-Allow-Methods", "GET", "POST", "DELETE")
	wantListed(t, resp.Header, "Access-Control-Allow-Headers",
		"Authorization", "Content-Type", "Mcp-Session-Id", "MCP-Protocol-Version", "Last-Event-ID", "Mcp-Method", "Mcp-Name")
	t.Run("foreign", func(t *testing.T) {
		resp := g.Do(t, preflight("http://evil.example"))
		resp.WantStatus(t, 403)
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("Access-Control-Allow-Origin is %q", got)
		}
	})
}

func TestCORSExposes(t *testing.T) {
	t.Parallel()
	g := gate(t, "--token-file", tokenFile(t, "0123456789abcdef"))
	c := harness.Client{Token: "0123456789abcdef"}
	resp := g.Do(t, c.Initialize().Add("Origin", page))
	resp.WantStatus(t, 200)
	wantReadable(t, resp.Header)
	wantListed(t, resp.Header, "Access-Control-Expose-Headers", "Mcp-Session-Id", "MCP-Protocol-Version")
	s := g.Open(t, c)
	t.Run("streams", func(t *testing.T) {
		exchange := g.Begin(t, s.As(harness.Get()).Add("Origin", page))
		wantReadable(t, exchange.Header)
		exchange.Cut()
	})
	t.Run("accepted", func(t *testing.T) {
		resp := g.Do(t, s.As(harness.Post(harness.Notification("notifications/x", ""))).Add("Origin", page))
		resp.WantStatus(t, 202)
		wantReadable(t, resp.Header)
	})
	t.Run("refusals", func(t *testing.T) {
		for status, r := range map[int]*harness.Request{
			401: harness.Post(ping("1")),
			404: s.As(harness.Post(ping("1"))).Set("Mcp-Session-Id", "none"),
			415: s.As(harness.Post(ping("1"))).Drop("Content-Type"),
		} {
			resp := g.Do(t, r.Add("Origin", page))
			resp.WantStatus(t, status)
			wantReadable(t, resp.Header)
		}
	})
	t.Run("nothing without an origin", func(t *testing.T) {
		if got := s.Do(t, ping("1")).Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("Access-Control-Allow-Origin is %q", got)
		}
	})
}
