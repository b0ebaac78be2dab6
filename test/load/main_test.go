package main

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"sidegate/test/load/drive"
	"sidegate/test/load/subject"
)

// TestMain is also the servers that the tests start: they are this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"serve", "hold"}, os.Args[1]) {
		if err := command(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// TestOwnServers starts everything of ours that can be called, and looks
// whether it answers, costs something, and ends.
func TestOwnServers(t *testing.T) {
	fast := serving(t, "fast")
	relay, err := subject.Relay(fast.Door.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Stop)
	modern := serving(t, "fast", "-modern")
	modern.Door.Modern = true
	for name, s := range map[string]*subject.Subject{"fast": fast, "plain": serving(t, "plain"), "relay": relay, "modern": modern} {
		c, err := drive.Open(s.Door, drive.Work{Size: 200})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before := s.CPU()
		for range 50 {
			if v := c.Call(); v != drive.Right {
				t.Fatalf("%s: a call ended as %d", name, v)
			}
		}
		if s.CPU() == before && before != 0 {
			t.Errorf("%s: 50 calls cost nothing", name)
		}
		c.End()
	}
}

func serving(t *testing.T, kind string, flags ...string) *subject.Subject {
	t.Helper()
	s, err := subject.Serve(kind, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// TestHoldSaysWhyNot wants a crowd that cannot be gathered to be an error: the
// server has no streams.
func TestHoldSaysWhyNot(t *testing.T) {
	fast := serving(t, "fast")
	if _, err := subject.Hold(fast.Door, drive.GetStream, 3); err == nil {
		t.Error("a crowd at a server without streams")
	}
}
