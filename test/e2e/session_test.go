package e2e

import (
	"strings"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

func TestNoSession(t *testing.T) {
	t.Parallel()
	g := gate(t)
	for name, row := range map[string]struct {
		request *harness.Request
		id      string
	}{
		"POST a request":                  {harness.Post(ping("5")), "5"},
		"POST a request with an empty id": {harness.Post(ping("5")).Add("Mcp-Session-Id", ""), "5"},
		"POST a notification":             {harness.Post(harness.Notification("notifications/initialized", "")), ""},
		"GET":                             {harness.Get(), ""},
		"DELETE":                          {harness.Delete(), ""},
	} {
		t.Run(name, func(t *testing.T) { g.Do(t, row.request).WantRefusal(t, 400, invalidRequest, row.id) })
	}
	t.Run("POST a response", func(t *testing.T) {
		wantOneOf(t, g.Do(t, harness.Post(harness.Reply("1", "{}"))), []int{invalidRequest})
	})
}

// TestNoSuchSession also holds that the answers do not tell which ids were
// ever alive.
func TestNoSuchSession(t *testing.T) {
	t.Parallel()
	g := gate(t)
	live, ended := open(t, g), open(t, g)
	ended.End(t)
	ids := map[string]string{
		"guessed": strings.Repeat("A", len(live.ID)), "ended": ended.ID, "short": "1",
		"changed case": swapCase(live.ID), "longer": live.ID + "A", "odd": "../../etc/passwd", "long": strings.Repeat("x", 4000),
	}
	var answers []string
	for name, id := range ids {
		for method, request := range everyMethod(live) {
			t.Run(name+" "+method, func(t *testing.T) {
				resp := g.Do(t, request().Set("Mcp-Session-Id", id))
				want := ""
				if method == "POST" {
					want = "1"
					answers = append(answers, string(resp.Body))
				}
				resp.WantRefusal(t, 404, noSuchSession, want)
			})
		}
	}
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("the answers differ:\n%s\n%s", a, answers[0])
		}
	}
	t.Run("two ids", func(t *testing.T) {
		resp := g.Do(t, live.As(harness.Post(ping("1"))).Add("Mcp-Session-Id", ended.ID))
		if resp.Status != 400 && resp.Status != 404 {
			t.Errorf("status %d, want 400 or 404: %s", resp.Status, resp.Body)
		}
	})
	alive(t, live)
}

// swapCase changes the case of letters; where there is none to change, it adds
// one.
func swapCase(s string) string {
	upper := strings.ToUpper(s)
	if upper != s {
		return upper
	}
	if lower := strings.ToLower(s); lower != s {
		return lower
	}
	return s + "a"
}

func TestSessionIDs(t *testing.T) {
	t.Parallel()
	g := gate(t)
	seen := map[string]bool{}
	for range 8 {
		s := open(t, g)
		if len(s.ID) < 22 {
			t.Errorf("%q is too short for 128 bits", s.ID)
		}
		for _, c := range []byte(s.ID) {
			if c < 0x21 || c > 0x7e {
				t.Errorf("%q is not visible ASCII", s.ID)
			}
		}
		if seen[s.ID] {
			t.Errorf("%q was given twice", s.ID)
		}
		seen[s.ID] = true
		s.End(t)
	}
}

func TestDeleteEndsASession(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t)
	s := open(t, g)
	server, parent := s.Server(t)
	if parent != g.PID() {
		t.Errorf("the server's parent is %d, not the gate %d", parent, g.PID())
	}
	stream := s.Stream(t, "")
	call := s.Send(t, harness.ToolCall("9", "sleep", `{"ms":600000}`))
	waitForCalls(t, g, 1)
	s.End(t)
	g.Do(t, s.As(harness.Delete())).WantRefusal(t, 404, noSuchSession, "")
	s.Do(t, ping("1")).WantRefusal(t, 404, noSuchSession, "1")
	stream.WantProperEnd(t)
	if answer := call.Read(t, "POST").Answer(t); answer.Code() != noSuchSession || string(answer.ID) != "9" {
		t.Errorf("the call in flight got %s", answer.Raw)
	}
	harness.Eventually(t, "the server is gone", func() bool { return !harness.Alive(server) })
	harness.Eventually(t, "nothing is counted", func() bool {
		return g.Metric(t, "sidegate_sessions") == 0 && g.Metric(t, "sidegate_calls_in_flight") == 0
	})
}

func TestIdleSessionExpires(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--idle-timeout", "3s")
	s := open(t, g)
	server, _ := s.Server(t)
	harness.Eventually(t, "the server is gone", func() bool { return !harness.Alive(server) })
	s.Do(t, ping("1")).WantRefusal(t, 404, noSuchSession, "1")
	g.Do(t, s.As(harness.Get())).WantRefusal(t, 404, noSuchSession, "")
	g.Do(t, s.As(harness.Delete())).WantRefusal(t, 404, noSuchSession, "")
}

// TestBusySessionsDoNotExpire: a call in flight keeps a session, and so does an
// open stream.
func TestBusySessionsDoNotExpire(t *testing.T) {
	t.Parallel()
	g := gate(t, "--idle-timeout", "3s")
	t.Run("call", func(t *testing.T) {
		t.Parallel()
		s := open(t, g)
		if got := s.Call(t, "sleep", `{"ms":10000}`); got.Error != nil {
			t.Errorf("got %s", got.Raw)
		}
	})
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		s := open(t, g)
		stream := s.Stream(t, "")
		time.Sleep(10 * time.Second)
		alive(t, s)
		stream.Cut()
	})
}

func TestSessionLifetime(t *testing.T) {
	t.Parallel()
	g := gate(t, "--session-lifetime", "3s")
	s := open(t, g)
	stream := s.Stream(t, "")
	harness.Eventually(t, "the session in use ends", func() bool {
		return s.Do(t, ping("1")).Status == 404
	})
	stream.WantProperEnd(t)
}

func TestOtherPrincipalsSession(t *testing.T) {
	t.Parallel()
	g := gate(t, "--token-file", tokenFile(t, "alice=aaaaaaaaaaaaaaaa", "bob=bbbbbbbbbbbbbbbb"))
	s := g.Open(t, harness.Client{Token: "aaaaaaaaaaaaaaaa"})
	for method, request := range everyMethod(s) {
		t.Run(method, func(t *testing.T) {
			want := ""
			if method == "POST" {
				want = "1"
			}
			resp := g.Do(t, request().Set("Authorization", "Bearer bbbbbbbbbbbbbbbb"))
			resp.WantRefusal(t, 404, noSuchSession, want)
		})
	}
	alive(t, s)
}

func TestInitialize(t *testing.T) {
	t.Parallel()
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		g := gate(t)
		s := open(t, g)
		s.Do(t, harness.Client{ID: "3"}.InitializeBody()).WantRefusal(t, 400, invalidRequest, "3")
		alive(t, s)
	})
	t.Run("refused by the server", func(t *testing.T) {
		t.Parallel()
		g := broken(t, []string{"-refuse"})
		resp := g.Do(t, harness.Client{ID: `"i"`}.Initialize())
		if answer := resp.Answer(t); answer.Code() != -32602 || string(answer.ID) != `"i"` {
			t.Errorf("got %s", answer.Raw)
		}
		if id := resp.Header.Get("Mcp-Session-Id"); id != "" {
			harness.Eventually(t, "the session ends", func() bool {
				return g.Do(t, harness.Post(ping("1")).Add("Mcp-Session-Id", id)).Status == 404
			})
		}
		harness.Eventually(t, "no session is counted", func() bool { return g.Metric(t, "sidegate_sessions") == 0 })
	})
	t.Run("in the client's own words", func(t *testing.T) {
		t.Parallel()
		g := gate(t)
		c := harness.Client{Revision: harness.Latest, Capabilities: `{"roots":{},"experimental":{"z":1,"a":[1.0,{}]}}`}
		s := g.Open(t, c)
		var seen struct {
			Messages []struct{ Params rawJSON }
		}
		s.Call(t, "seen", `{"method":"initialize"}`).Into(t, &seen)
		want := harness.ParseMessage(t, c.InitializeBody()).Params
		if len(seen.Messages) != 1 || string(seen.Messages[0].Params) != string(want) {
			t.Errorf("the server saw %+v, not once %s", seen, want)
		}
	})
}

// rawJSON keeps the bytes of a value.
type rawJSON []byte

func (r *rawJSON) UnmarshalJSON(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}

func (r rawJSON) String() string { return string(r) }

func TestRevisions(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"} {
		t.Run("server "+server, func(t *testing.T) {
			t.Parallel()
			g := broken(t, []string{"-revision", server})
			s := open(t, g)
			if s.Revision != server {
				t.Fatalf("negotiated %s", s.Revision)
			}
			// A client names the revision, also one from before the header.
			resp := g.Do(t, s.As(harness.Post(ping("1"))).Set("MCP-Protocol-Version", server))
			resp.WantStatus(t, 200)
			alive(t, s)
			s.End(t)
		})
	}
}

func TestEachSessionHasItsServer(t *testing.T) {
	t.Parallel()
	g := gate(t)
	pids := map[int]bool{}
	for range 4 {
		pid, _ := open(t, g).Server(t)
		if pids[pid] {
			t.Errorf("process %d serves two sessions", pid)
		}
		pids[pid] = true
	}
}
