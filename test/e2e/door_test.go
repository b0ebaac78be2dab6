package e2e

import (
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// everyMethod is one request of each kind that the endpoint serves, as a
// session would send it.
func everyMethod(s *harness.Session) map[string]func() *harness.Request {
	return map[string]func() *harness.Request{
		"POST":   func() *harness.Request { return s.As(harness.Post(ping("1"))) },
		"GET":    func() *harness.Request { return s.As(harness.Get()) },
		"DELETE": func() *harness.Request { return s.As(harness.Delete()) },
	}
}

func TestForeignOrigin(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	origins := []string{
		"http://evil.example", "null", "https://localhost.evil.example", "http://127.0.0.1.evil.example",
		"http://evil.example#localhost", "http://localhost@evil.example", "file://", "http://", "garbage",
	}
	for method, request := range everyMethod(s) {
		for _, origin := range origins {
			t.Run(method+" "+origin, func(t *testing.T) {
				resp := g.Do(t, request().Add("Origin", origin))
				resp.WantRefusal(t, 403, invalidRequest, "")
				if allow := resp.Header.Get("Access-Control-Allow-Origin"); allow != "" {
					t.Errorf("a foreign origin may read the answer: %q", allow)
				}
			})
		}
		t.Run(method+" two origins", func(t *testing.T) {
			g.Do(t, request().Add("Origin", "http://localhost").Add("Origin", "http://evil.example")).WantRefusal(t, 403, invalidRequest, "")
		})
	}
	alive(t, s)
	if got := g.Metric(t, "sidegate_refusals_total", `reason="origin"`); got == 0 {
		t.Error("sidegate_refusals_total counts no foreign origins")
	}
}

func TestForeignOriginOpensNothing(t *testing.T) {
	t.Parallel()
	g := gate(t)
	for range 5 {
		g.Do(t, harness.Client{}.Initialize().Add("Origin", "null")).WantRefusal(t, 403, invalidRequest, "")
	}
	if got := g.Metric(t, "sidegate_sessions"); got != 0 {
		t.Errorf("%v sessions are open after nothing but refusals", got)
	}
}

func TestAllowedOrigin(t *testing.T) {
	t.Parallel()
	t.Run("by default", func(t *testing.T) {
		t.Parallel()
		g := gate(t)
		s := open(t, g)
		for _, origin := range []string{"http://localhost", "http://localhost:6274", "https://localhost", "http://127.0.0.1:3000", "http://[::1]:8080"} {
			if resp := g.Do(t, s.As(harness.Post(ping("1"))).Add("Origin", origin)); resp.Status != 200 {
				t.Errorf("%s got %d: %s", origin, resp.Status, resp.Body)
			}
		}
	})
	t.Run("by flag", func(t *testing.T) {
		t.Parallel()
		g := gate(t, "--allow-origin", "https://app.example", "--allow-origin", "*.example.org")
		s := open(t, g)
		for origin, status := range map[string]int{
			"https://app.example":          200,
			"https://a.example.org":        200,
			"https://b.a.example.org":      200,
			"https://app.example.evil":     403,
			"https://evilexample.org":      403,
			"https://app.example:8443":     403,
			"http://app.example":           403,
			"https://example.org.evil.com": 403,
			"null":                         403,
		} {
			if resp := g.Do(t, s.As(harness.Post(ping("1"))).Add("Origin", origin)); resp.Status != status {
				t.Errorf("%s got %d instead of %d: %s", origin, resp.Status, status, resp.Body)
			}
		}
	})
}

func TestForeignHost(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for method, request := range everyMethod(s) {
		for _, host := range []string{"evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io", "169.254.169.254"} {
			t.Run(method+" "+host, func(t *testing.T) {
				g.Do(t, request().Add("Host", host)).WantRefusal(t, 403, invalidRequest, "")
			})
		}
	}
	t.Run("two hosts", func(t *testing.T) {
		resp := g.Do(t, s.As(harness.Post(ping("1"))).Add("Host", g.Addr).Add("Host", "evil.example"))
		if resp.Status != 400 && resp.Status != 403 {
			t.Errorf("status %d, want 400 or 403: %s", resp.Status, resp.Body)
		}
	})
	t.Run("target in absolute form", func(t *testing.T) {
		r := s.As(harness.Post(ping("1")))
		r.Target = "http://evil.example/mcp"
		if resp := g.Do(t, r); resp.Status != 400 && resp.Status != 403 {
			t.Errorf("status %d, want 400 or 403: %s", resp.Status, resp.Body)
		}
	})
	alive(t, s)
}

func TestAllowedHost(t *testing.T) {
	t.Parallel()
	g := gate(t, "--allow-host", "gate.example")
	s := open(t, g)
	_, port, _ := strings.Cut(g.Addr, ":")
	for _, host := range []string{"localhost", "localhost:" + port, "LOCALHOST:" + port, "127.0.0.1", "[::1]:" + port, "gate.example", "gate.example:" + port} {
		if resp := g.Do(t, s.As(harness.Post(ping("1"))).Add("Host", host)); resp.Status != 200 {
			t.Errorf("Host %s got %d: %s", host, resp.Status, resp.Body)
		}
	}
	g.Do(t, s.As(harness.Post(ping("1"))).Add("Host", "other.example")).WantRefusal(t, 403, invalidRequest, "")
}

func TestContentType(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, refused := range []string{"text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "text/plain; a=application/json"} {
		t.Run("refused "+refused, func(t *testing.T) {
			r := s.As(harness.Post(ping("1"))).Drop("Content-Type")
			if refused != "" {
				r.Add("Content-Type", refused)
			}
			g.Do(t, r).WantRefusal(t, 415, invalidRequest, "")
		})
	}
	for _, passes := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON"} {
		t.Run("passes "+passes, func(t *testing.T) {
			g.Do(t, s.As(harness.Post(ping("1"))).Set("Content-Type", passes)).WantStatus(t, 200)
		})
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, refused := range []string{"", "application/json", "text/event-stream", "text/html", "application/jsonx, text/event-stream"} {
		t.Run("POST refused "+refused, func(t *testing.T) {
			r := s.As(harness.Post(ping("1"))).Drop("Accept")
			if refused != "" {
				r.Add("Accept", refused)
			}
			g.Do(t, r).WantRefusal(t, 406, invalidRequest, "")
		})
	}
	for _, passes := range []string{"application/json, text/event-stream", "text/event-stream,application/json;q=0.9", "*/*", "application/*, text/*", "Application/JSON, Text/Event-Stream"} {
		t.Run("POST passes "+passes, func(t *testing.T) {
			g.Do(t, s.As(harness.Post(ping("1"))).Set("Accept", passes)).WantStatus(t, 200)
		})
	}
	t.Run("POST passes in two fields", func(t *testing.T) {
		g.Do(t, s.As(harness.Post(ping("1"))).Set("Accept", "application/json").Add("Accept", "text/event-stream")).WantStatus(t, 200)
	})
	for _, refused := range []string{"", "application/json"} {
		t.Run("GET refused "+refused, func(t *testing.T) {
			r := s.As(harness.Get()).Drop("Accept")
			if refused != "" {
				r.Add("Accept", refused)
			}
			g.Do(t, r).WantRefusal(t, 406, invalidRequest, "")
		})
	}
}

func TestMethodNotAllowed(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, method := range []string{"PUT", "PATCH", "HEAD", "TRACE", "BREW"} {
		t.Run(method, func(t *testing.T) {
			r := s.As(harness.Bare(method, "/mcp")).Add("Content-Type", "application/json")
			resp := g.Do(t, r)
			if method == "HEAD" {
				resp.WantStatus(t, 405)
			} else {
				resp.WantRefusal(t, 405, invalidRequest, "")
			}
			for _, allowed := range []string{"GET", "POST", "DELETE"} {
				if !strings.Contains(resp.Header.Get("Allow"), allowed) {
					t.Errorf("Allow is %q, without %s", resp.Header.Get("Allow"), allowed)
				}
			}
		})
	}
}

func TestOtherPaths(t *testing.T) {
	t.Parallel()
	g := gate(t)
	for _, path := range []string{"/", "/mcp/x", "/mcpx", "/metrics", "/livez", "/readyz", "/debug/pprof/", "/../mcp/../etc"} {
		t.Run(path, func(t *testing.T) {
			g.Do(t, harness.Bare("GET", path)).WantRefusal(t, 404, invalidRequest, "")
		})
	}
	t.Run("healthz says only ok", func(t *testing.T) {
		resp := g.Do(t, harness.Bare("GET", "/healthz"))
		if resp.Status != 200 || strings.TrimSpace(string(resp.Body)) != "ok" {
			t.Errorf("%d %q", resp.Status, resp.Body)
		}
	})
}

func TestHeaderTooLarge(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	t.Run("a long field", func(t *testing.T) {
		g.Do(t, s.As(harness.Post(ping("1"))).Add("X-Long", strings.Repeat("x", 17<<10))).WantRefusal(t, 431, invalidRequest, "")
	})
	t.Run("many fields", func(t *testing.T) {
		r := s.As(harness.Post(ping("1")))
		for range 1000 {
			r.Add("X-Many", "twenty bytes or so")
		}
		g.Do(t, r).WantRefusal(t, 431, invalidRequest, "")
	})
	t.Run("a long target", func(t *testing.T) {
		r := s.As(harness.Post(ping("1")))
		r.Target += "?" + strings.Repeat("x", 17<<10)
		resp := g.Do(t, r)
		if resp.Status != 431 && resp.Status != 414 {
			t.Errorf("status %d, want 431 (or 414)", resp.Status)
		}
	})
	t.Run("a field without end", func(t *testing.T) {
		c := g.Dial(t)
		c.Send(t, []byte("POST /mcp HTTP/1.1\r\nHost: "+g.Addr+"\r\nX-Endless: "))
		go func() {
			for piece := []byte(strings.Repeat("x", 64<<10)); ; {
				if _, err := c.Conn.Write(piece); err != nil {
					return
				}
			}
		}()
		resp := c.Read(t, "POST")
		resp.WantRefusal(t, 431, invalidRequest, "")
		c.Closed(t)
	})
	t.Run("just below the limit", func(t *testing.T) {
		g.Do(t, s.As(harness.Post(ping("1"))).Add("X-Long", strings.Repeat("x", 15<<10))).WantStatus(t, 200)
	})
	alive(t, s)
}

func TestHeaderLimitIsAFlag(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-header", "32768")
	s := open(t, g)
	g.Do(t, s.As(harness.Post(ping("1"))).Add("X-Long", strings.Repeat("x", 30<<10))).WantStatus(t, 200)
	g.Do(t, s.As(harness.Post(ping("1"))).Add("X-Long", strings.Repeat("x", 33<<10))).WantRefusal(t, 431, invalidRequest, "")
}
