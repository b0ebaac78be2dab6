package era

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
)

const (
	initialized = `"result":{"protocolVersion":"2025-11-25","capabilities":{}}`
	unknown     = `"error":{"code":-32601,"message":"what?"}`
)

// TestProbe: what servers say to the probe, what they are, and how long that
// may take.
func TestProbe(t *testing.T) {
	lists := func(revisions string) string {
		return `"result":{"supportedVersions":[` + revisions + `],"capabilities":{}}`
	}
	fails := func(code, data string) string {
		return `"error":{"code":` + code + `,"message":"no","data":` + data + `}`
	}
	slow := func(after time.Duration, script func(*server, string)) func(*server, string) {
		return func(s *server, text string) {
			if strings.Contains(text, "server/discover") {
				time.Sleep(after)
			}
			script(s, text)
		}
	}
	died := func(s *server, text string) {
		if strings.Contains(text, "server/discover") {
			s.dies()
		}
	}
	modernOnly, legacyOnly, both := Server{Modern: true, Revision: "2026-07-28"}, Server{Legacy: true}, Server{Modern: true, Legacy: true, Revision: "2026-07-28"}
	for _, test := range []struct {
		name   string
		script func(*server, string)
		want   Server
		within time.Duration
		kept   bool // the link is handed on
	}{
		{"a modern list", answers(lists(`"2026-07-28"`), ""), modernOnly, 0, true},
		{"a list with a later one", answers(lists(`"2030-01-01","2026-07-28"`), ""), modernOnly, 0, true},
		{"a list of both", answers(lists(`"2026-07-28","2025-11-25"`), initialized), both, 0, true},
		{"a legacy list", answers(lists(`"2025-11-25"`), initialized), legacyOnly, 0, false},
		{"no list", answers(`"result":{}`, initialized), legacyOnly, 0, false},
		{"a list that is none", answers(`"result":{"supportedVersions":"2026-07-28"}`, initialized), legacyOnly, 0, false},
		{"a mismatch", answers(fails("-32020", "{}"), ""), modernOnly, 0, true},
		{"a capability", answers(fails("-32021", `{"requiredCapabilities":{}}`), ""), modernOnly, 0, true},
		{"a version", answers(fails("-32022", `{"supported":["2026-07-28"],"requested":"x"}`), ""), modernOnly, 0, true},
		{"a legacy version", answers(fails("-32022", `{"supported":["2025-06-18"]}`), ""), legacyOnly, 0, false},
		{"an unknown method", answers(unknown, initialized), legacyOnly, 0, false},
		{"any error", answers(fails("-32602", `{"supported":["2026-07-28"]}`), initialized), legacyOnly, 0, false},
		{"death", died, legacyOnly, 0, false},
		{"silence but for initialize", answers("", initialized), legacyOnly, 2250 * time.Millisecond, false},
		{"silence", answers("", ""), legacyOnly, 10 * time.Second, false},
		{"silence and a refusal", answers("", unknown), legacyOnly, 10 * time.Second, false},
		{"a late list", slow(5*time.Second, answers(lists(`"2026-07-28"`), unknown)), modernOnly, 5 * time.Second, false},
		{"a list soon after initialize", slow(2100*time.Millisecond, answers(lists(`"2026-07-28","2025-11-25"`), initialized)), both, 2100 * time.Millisecond, false},
		{"late death", slow(4*time.Second, died), legacyOnly, 4 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBed(t, Auto, false, test.script, func(t *testing.T, b *bed) {
				began := time.Now()
				s, failed := b.finder.Find(t.Context(), nil)
				if failed != nil || *s != test.want {
					t.Fatalf("found %+v, failed %+v, want %+v", s, failed, test.want)
				}
				if lasted := time.Since(began); lasted != test.within {
					t.Errorf("found after %v, want %v", lasted, test.within)
				}
				if (len(b.found) == 1) != test.kept || len(b.found) > 1 {
					t.Errorf("%d links were handed on", len(b.found))
				}
				if again, _ := b.finder.Find(t.Context(), nil); again != s || b.finder.Known() != s || len(b.servers) != 1 {
					t.Error("it is not remembered")
				}
				if first := b.servers[0].sent[0]; !strings.Contains(first, `"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"sidegate","version":"test"},"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}`) {
					t.Errorf("the probe is %s", first)
				}
				time.Sleep(time.Minute) // late answers reach nobody
			})
		})
	}
}

// TestProbeOverHTTP: who was not let in has learnt nothing, and is told so;
// others are not told the same.
func TestProbeOverHTTP(t *testing.T) {
	reply := &backend.Reply{Status: 401, Header: []byte("WWW-Authenticate: Bearer\r\n"), Reason: "no"}
	script := func(s *server, text string) {
		time.Sleep(time.Second)
		if reply != nil && !strings.Contains(s.header, "good") {
			s.link.Reply([]byte("1"), reply)
			return
		}
		answers(unknown, "")(s, text)
	}
	inBed(t, Auto, true, script, func(t *testing.T, b *bed) {
		for _, status := range []int{401, 403, 429, 500, 502, 503, 504} {
			reply.Status = status
			_, failed := b.finder.Find(t.Context(), []byte("Authorization: Bearer bad\r\n"))
			if failed == nil || failed.Reply == nil || failed.Reply.Status != status || b.finder.Known() != nil {
				t.Errorf("%d: failed with %+v", status, failed)
			}
		}
		l := &leg{}
		_, failed := b.finder.Find(t.Context(), nil)
		failed.Tell(&link.Call{ID: []byte("7"), Leg: l})
		if l.want(t, `"id":7`); l.status != 504 {
			t.Errorf("told the status %d", l.status)
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, failed := b.finder.Find(t.Context(), []byte("Authorization: Bearer bad\r\n")); failed == nil && b.finder.Known() == nil {
					t.Error("let in")
				}
			})
			all.Go(func() {
				s, failed := b.finder.Find(t.Context(), []byte("Authorization: Bearer good\r\n"))
				if failed != nil || !s.Legacy || s.Modern {
					t.Errorf("found %+v, failed %+v", s, failed)
				}
			})
		}
		all.Wait()
		last := b.servers[len(b.servers)-1]
		if want := "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: server/discover\r\nAuthorization: Bearer good\r\n"; last.header != want {
			t.Errorf("the header was %q, want %q", last.header, want)
		}
	})
	for _, status := range []int{400, 404, 405, 406, 415, 302} {
		reply.Status, reply.Said = 502, status // so a client is told
		if status == 400 {
			reply.Status, reply.Said = 400, 0
		}
		inBed(t, Auto, true, script, func(t *testing.T, b *bed) {
			if s, failed := b.finder.Find(t.Context(), nil); failed != nil || !s.Legacy || s.Modern {
				t.Errorf("%d: found %+v, failed %+v", status, s, failed)
			}
		})
	}
	inBed(t, Auto, true, func(*server, string) {}, func(t *testing.T, b *bed) {
		if s, _ := b.finder.Find(t.Context(), nil); s == nil || !s.Legacy {
			t.Errorf("silence: %+v", s)
		}
		if len(b.servers[0].sent) > 2 || strings.Contains(strings.Join(b.servers[0].sent, ""), "initialize") {
			t.Errorf("sent %q", b.servers[0].sent)
		}
	})
}

// TestFailures: what is no era is not remembered.
func TestFailures(t *testing.T) {
	inBed(t, Auto, false, answers(`"result":{"supportedVersions":["2030-01-01"]}`, ""), func(t *testing.T, b *bed) {
		if _, failed := b.finder.Find(t.Context(), nil); failed == nil || failed.Refused != unspoken || b.finder.Known() != nil {
			t.Errorf("failed with %+v", failed)
		}
		b.take = errors.New("no such command")
		if _, failed := b.finder.Find(t.Context(), nil); failed == nil || failed.Refused.Reason != "start" {
			t.Errorf("failed with %+v", failed)
		}
		b.take = nil
		b.script = answers(unknown, "")
		if s, failed := b.finder.Find(t.Context(), nil); failed != nil || !s.Legacy {
			t.Errorf("failed with %+v", failed)
		}
	})
}

// TestOneProbe: many who want to know wait for one probe, and may give up.
func TestOneProbe(t *testing.T) {
	inBed(t, Auto, false, answers("", ""), func(t *testing.T, b *bed) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if s, _ := b.finder.Find(t.Context(), nil); s == nil || !s.Legacy {
					t.Errorf("found %+v", s)
				}
			})
			all.Go(func() {
				if _, failed := b.finder.Find(ctx, nil); failed == nil {
					t.Error("did not give up")
				}
			})
		}
		all.Wait()
		if len(b.servers) != 1 {
			t.Errorf("%d probes", len(b.servers))
		}
	})
}

// TestDoubt: what was found is forgotten, now and then.
func TestDoubt(t *testing.T) {
	inBed(t, Auto, false, answers(unknown, ""), func(t *testing.T, b *bed) {
		find := func(probes int) {
			t.Helper()
			b.finder.Find(t.Context(), nil)
			if len(b.servers) != probes {
				t.Errorf("%d probes, want %d", len(b.servers), probes)
			}
		}
		find(1)
		b.finder.Doubt()
		find(2)
		b.finder.Doubt()
		find(2)
		time.Sleep(doubtEvery)
		b.finder.Doubt()
		find(3)
	})
	for _, mode := range []string{Legacy, Modern} {
		inBed(t, mode, false, nil, func(t *testing.T, b *bed) {
			b.finder.Doubt()
			if s := b.finder.Known(); s == nil || s.Legacy != (mode == Legacy) || s.Modern == s.Legacy {
				t.Errorf("%s: %+v", mode, s)
			}
		})
	}
}

// TestClosed: who asks at the end is told.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bed{t: t, script: answers("", ""), timeout: time.Hour}
		b.finder = NewFinder(FinderOptions{Mode: Auto, Pool: b})
		ctx, stop := context.WithCancel(context.Background())
		var work sync.WaitGroup
		work.Go(func() { b.finder.Run(ctx) })
		work.Go(func() {
			if _, failed := b.finder.Find(t.Context(), nil); failed == nil {
				t.Error("found")
			}
		})
		synctest.Wait()
		stop()
		work.Wait()
		if _, failed := b.finder.Find(t.Context(), nil); failed == nil || len(b.servers) != 1 || !b.servers[0].ended {
			t.Errorf("failed with %+v", failed)
		}
	})
}
