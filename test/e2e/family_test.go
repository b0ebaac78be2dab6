package e2e

import (
	"fmt"
	"syscall"
	"testing"

	"sidegate/test/e2e/harness"
)

// spawn makes the session's server start a grandchild of the gate; whatever
// the gate does with it, it does not outlive the test.
func spawn(t *testing.T, s *harness.Session, kind string) int {
	t.Helper()
	var p struct{ Pid int }
	s.Call(t, "spawn", fmt.Sprintf(`{"kind":%q}`, kind)).Into(t, &p)
	t.Cleanup(func() { syscall.Kill(p.Pid, syscall.SIGKILL) })
	return p.Pid
}

// TestStubbornFamily: a server that ignores TERM, with grandchildren that
// ignore it too, some in a session of their own. All are gone when the session
// is, and when the gate is.
func TestStubbornFamily(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	for _, end := range []string{"DELETE", "SIGTERM", "idle"} {
		for _, kind := range []string{"polite", "stubborn", "away-polite", "away"} {
			t.Run(end+" "+kind, func(t *testing.T) {
				t.Parallel()
				flags := []string{"--stop-timeout", "500ms"}
				if end == "idle" {
					flags = append(flags, "--idle-timeout", "3s")
				}
				g := broken(t, []string{"-stubborn"}, flags...)
				s := open(t, g)
				server, _ := s.Server(t)
				family := map[string]int{"server": server, "grandchild": spawn(t, s, kind)}
				switch end {
				case "DELETE":
					s.End(t)
				case "SIGTERM":
					g.Signal(syscall.SIGTERM)
					if code := g.Wait(t); code != 0 {
						t.Errorf("exit code %d", code)
					}
				}
				for who, pid := range family {
					harness.Eventually(t, who+" is gone", func() bool { return !harness.Alive(pid) })
				}
			})
		}
	}
}

// TestDeleteDoesNotWaitForTheStubborn: the client is not made to wait for the
// end of a process.
func TestDeleteDoesNotWaitForTheStubborn(t *testing.T) {
	t.Parallel()
	g := broken(t, []string{"-stubborn"}, "--stop-timeout", "20s")
	s := open(t, g)
	server, _ := s.Server(t)
	s.End(t)
	if !harness.Alive(server) {
		t.Error("DELETE was answered only when the server was gone")
	}
	s.Do(t, ping("1")).WantRefusal(t, 404, noSuchSession, "1")
}

// TestNothingIsLeftUnreaped: children that have ended do not stay as zombies.
func TestNothingIsLeftUnreaped(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--warm", "2")
	harness.Eventually(t, "two servers are warm", func() bool { return len(g.Children()) == 2 })
	for range 10 {
		s := open(t, g)
		alive(t, s)
		s.End(t)
	}
	s := open(t, g)
	s.Call(t, "exit", `{}`)
	harness.Eventually(t, "two children are left", func() bool { return len(g.Children()) == 2 })
}
