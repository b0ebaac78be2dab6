package era

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
)

// switched is a switch with its rooms.
type switched struct {
	*Switch
	t *testing.T
	b *bed

	legacy, legacyOfModern, modern, modernOfLegacy *room
	stop                                           func()
}

func inSwitch(t *testing.T, mode string, eager bool, script func(*server, string), test func(t *testing.T, s *switched)) {
	t.Helper()
	inBed(t, mode, false, script, func(t *testing.T, b *bed) {
		s := &switched{t: t, b: b, legacy: &room{}, legacyOfModern: &room{}, modern: &room{}, modernOfLegacy: &room{}}
		s.Switch = NewSwitch(Options{
			Finder: b.finder, Legacy: sharer{s.legacy}, LegacyOfModern: sharer{s.legacyOfModern},
			Modern: desk{s.modern}, ModernOfLegacy: desk{s.modernOfLegacy}, Eager: eager,
		})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		s.stop = func() { stop(); <-done }
		defer s.stop()
		synctest.Wait()
		test(t, s)
		for _, r := range []*room{s.legacy, s.legacyOfModern, s.modern, s.modernOfLegacy} {
			if r.ran != 1 {
				t.Errorf("a room was run %d times", r.ran)
			}
		}
	})
}

// ask makes a modern call.
func (s *switched) ask() (*link.Call, *leg) {
	s.t.Helper()
	msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	l := &leg{}
	c := &link.Call{ID: []byte("1"), Leg: l}
	if refused := s.Call(c, share.Caller{}, msg, env); refused != nil {
		s.t.Fatal(refused)
	}
	return c, l
}

// open opens a session.
func (s *switched) open() (share.Place, *leg) {
	p := s.Join(nil, "", "id")
	msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`)
	l := &leg{}
	p.Open(&link.Call{ID: []byte("1"), Leg: l, Opens: true}, msg, env)
	return p, l
}

// TestWays: each client comes to the room for its kind with such a server,
// whether the era was known before or not, and Leave finds its call.
func TestWays(t *testing.T) {
	for _, test := range []struct {
		name, discover  string
		legacy, bridged bool // legacy clients go to Legacy; modern ones to ModernOfLegacy
	}{
		{"modern", `"result":{"supportedVersions":["2026-07-28"]}`, false, false},
		{"legacy", unknown, true, true},
		{"dual-era", `"result":{"supportedVersions":["2026-07-28","2025-11-25"]}`, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			late := func(s *server, text string) {
				time.Sleep(time.Second)
				answers(test.discover, "")(s, text)
			}
			inSwitch(t, Auto, false, late, func(t *testing.T, s *switched) {
				sharer, desk := s.legacyOfModern, s.modern
				if test.legacy {
					sharer = s.legacy
				}
				if test.bridged {
					desk = s.modernOfLegacy
				}
				for n := 1; n <= 2; n++ { // once before it is known, and once after
					c, l := s.ask()
					place, opened := s.open()
					time.Sleep(2 * time.Second)
					opened.want(t, "opened")
					if len(desk.calls) != n || len(sharer.opened) != n || sharer.opened[0] != "2025-06-18" {
						t.Fatalf("%d calls and %q came to the rooms", len(desk.calls), sharer.opened)
					}
					s.Leave(c)
					l.want(t, `"code":408`)
					msg, env := message(`{"jsonrpc":"2.0","method":"x"}`)
					if place.Tell(msg, env) != refusal.Busy {
						t.Error("Tell did not reach the place")
					}
					msg, env = message(`{"jsonrpc":"2.0","method":"x"}`)
					if place.Cancel(c, msg, env) != refusal.Busy {
						t.Error("Cancel did not reach the place")
					}
					place.Leave(nil, refusal.SessionEnd)
					if desk.left != n || sharer.left != n {
						t.Errorf("Leave reached the desk %d times and the sharer %d times, want %d", desk.left, sharer.left, n)
					}
				}
			})
		})
	}
}

// TestBeforeTheEra: who waits can leave, and hears of the end.
func TestBeforeTheEra(t *testing.T) {
	inSwitch(t, Auto, true, answers("", ""), func(t *testing.T, s *switched) {
		if len(s.b.servers) != 1 {
			t.Error("there was no probe right at the start")
		}
		c, l := s.ask()
		s.Leave(c)
		s.Leave(c)
		l.want(t, `"code":408`)

		early := &link.Call{ID: []byte("1"), Leg: &leg{}}
		s.Leave(early)
		msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		if refused := s.Call(early, share.Caller{}, msg, env); refused != nil {
			t.Error(refused)
		}
		early.Leg.(*leg).want(t, `"code":408`)

		place, opened := s.open()
		msg, env = message(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
		if refused := place.Call(c, msg, env); refused != refusal.Uninitialized {
			t.Error(refused)
		}
		msg, env = message(`{"jsonrpc":"2.0","method":"x"}`)
		if refused := place.Tell(msg, env); refused != refusal.Uninitialized {
			t.Error(refused)
		}
		msg, env = message(`{"jsonrpc":"2.0","method":"x"}`)
		if refused := place.Cancel(c, msg, env); refused != nil {
			t.Error(refused)
		}
		place.Leave(nil, refusal.SessionEnd)
		opened.want(t, "session ended")

		_, waits := s.ask()
		_, opens := s.open()
		s.stop()
		waits.want(t, "shutting down")
		opens.want(t, "shutting down")
		msg, env = message(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		if refused := s.Call(&link.Call{}, share.Caller{}, msg, env); refused != refusal.Draining {
			t.Error(refused)
		}
		_, closed := s.open()
		closed.want(t, "shutting down")
		if len(s.legacy.opened)+len(s.modern.calls)+len(s.modernOfLegacy.calls) != 0 {
			t.Error("something came through")
		}
	})
}

// TestTooManyWait: the calls that wait for the era are bounded.
func TestTooManyWait(t *testing.T) {
	inSwitch(t, Auto, false, answers("", ""), func(t *testing.T, s *switched) {
		for range mostParked {
			s.ask()
		}
		msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		if refused := s.Call(&link.Call{}, share.Caller{}, msg, env); refused == nil || refused.Reason != "start" {
			t.Errorf("refused with %v", refused)
		}
		time.Sleep(silence)
		synctest.Wait()
		if n := len(s.modernOfLegacy.calls); n != mostParked || len(s.parked) != 0 {
			t.Errorf("%d calls came through, %d still wait", n, len(s.parked))
		}
	})
}

// TestLeaveWhileHanding: a client that leaves while its call is being handed to
// a desk, or its session opened, leaves afterwards.
func TestLeaveWhileHanding(t *testing.T) {
	inSwitch(t, Modern, false, nil, func(t *testing.T, s *switched) {
		s.modern.inCall = func(c *link.Call) { s.Leave(c) }
		_, l := s.ask()
		l.want(t, `"code":408`)
		if s.modern.left != 1 {
			t.Error("the desk was not told")
		}
		s.modern.inCall, s.modern.refuse = nil, refusal.Busy
		msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		if refused := s.Call(&link.Call{}, share.Caller{}, msg, env); refused != refusal.Busy {
			t.Errorf("refused with %v", refused)
		}
	})
	inSwitch(t, Auto, false, answers(unknown, ""), func(t *testing.T, s *switched) {
		var place share.Place
		s.legacy.inCall = func(*link.Call) { place.Leave(nil, refusal.SessionEnd) }
		place = s.Join(nil, "", "id")
		msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`)
		place.Open(&link.Call{ID: []byte("1"), Leg: &leg{}, Opens: true}, msg, env)
		synctest.Wait()
		if s.legacy.left != 1 {
			t.Errorf("the place was left %d times", s.legacy.left)
		}
	})
}

// TestRefusedInitialize: a server that refuses initialize is asked again.
func TestRefusedInitialize(t *testing.T) {
	inSwitch(t, Auto, false, answers(unknown, ""), func(t *testing.T, s *switched) {
		_, l := s.open()
		l.want(t, "opened")
		if s.b.finder.Known() == nil {
			t.Error("forgotten without reason")
		}
		s.legacy.how = metrics.Failed
		_, l = s.open()
		l.want(t, "opened")
		if s.b.finder.Known() != nil {
			t.Error("not forgotten")
		}
		s.b.script = answers(`"result":{"supportedVersions":["2026-07-28"]}`, "")
		_, l = s.open()
		l.want(t, "opened")
		if len(s.legacyOfModern.opened) != 1 {
			t.Error("what was found anew does not count")
		}
	})
}

// TestWatch: so is one that refuses the initialize of who joins past the switch;
// not where its era was said.
func TestWatch(t *testing.T) {
	for mode, forgets := range map[string]bool{Auto: true, Legacy: false} {
		inSwitch(t, mode, false, answers(unknown, ""), func(t *testing.T, s *switched) {
			s.open()
			synctest.Wait()
			s.legacy.how = metrics.Failed
			msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`)
			l := &leg{}
			s.b.finder.Watch(sharer{s.legacy}).Join(nil, "", "id").Open(&link.Call{ID: []byte("1"), Leg: l, Opens: true}, msg, env)
			l.want(t, "opened")
			if forgotten := s.b.finder.Known() == nil; forgotten != forgets {
				t.Errorf("%s: forgotten is %v", mode, forgotten)
			}
		})
	}
}

// TestKnownErasAllocateNothing: a call costs nothing once the era is known.
func TestKnownErasAllocateNothing(t *testing.T) {
	s := NewSwitch(Options{Finder: NewFinder(FinderOptions{Mode: Modern}), Modern: counting{}})
	msg, env := message(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	defer msg.Release()
	c := &link.Call{}
	if n := testing.AllocsPerRun(100, func() {
		c.Way.Store(fresh)
		s.Call(c, share.Caller{}, msg, env)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
