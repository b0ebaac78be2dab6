package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sidegate/test/e2e/harness"
)

// drainCommand runs sidegate drain at a gate; the result comes when it ends.
func drainCommand(t *testing.T, g *harness.Gate) <-chan harness.Result {
	t.Helper()
	result := make(chan harness.Result, 1)
	go func() { result <- harness.Exec(t, []string{"SIDEGATE_ADMIN=" + g.Admin, "SIDEGATE_GRACE=1s"}, "drain") }()
	harness.Eventually(t, "the gate is not ready", func() bool { return g.Ready(t) == 503 })
	return result
}

// TestDrainCommand: a gate that is told to drain finishes what is in flight,
// stops serving, and does not end before it is told to.
func TestDrainCommand(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--grace", "60s")
	busy, resting := open(t, g), open(t, g)
	children := g.Children()
	stream := resting.Stream(t, "")
	waiting := busy.Send(t, harness.ToolCall("1", "sleep", `{"ms":4000}`))
	waitForCalls(t, g, 1)
	result := drainCommand(t, g)

	wantResumable(t, stream)
	wantNoNewSession(t, g)
	answered := waiting.Begin(t, "POST")
	if !answered.Response.Close {
		t.Error("the answer does not say that its connection closes")
	}
	if got := answered.Finish(t).Answer(t).Structured(t); got != `{"slept":true}` {
		t.Errorf("the call in flight got %s", got)
	}
	if r := <-result; r.Code != 0 || !strings.Contains(r.Stdout, "drained") {
		t.Errorf("sidegate drain ended with code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	wantDrained(t, g, children)
	if r := harness.Exec(t, nil, "drain", "--admin", g.Admin); r.Code != 0 {
		t.Errorf("a second sidegate drain ended with code %d: %s", r.Code, r.Stderr)
	}
	g.Signal(syscall.SIGTERM)
	if code := g.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestDrainCommandOverASocket: the order reaches a gate whose admin listener is a
// socket, by flag, variable and file alike.
func TestDrainCommandOverASocket(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	for name, find := range map[string]func(t *testing.T, admin string) (env, args []string){
		"flag":     func(_ *testing.T, admin string) (env, args []string) { return nil, []string{"--admin", admin} },
		"variable": func(_ *testing.T, admin string) (env, args []string) { return []string{"SIDEGATE_ADMIN=" + admin}, nil },
		"file": func(t *testing.T, admin string) (env, args []string) {
			file := filepath.Join(t.TempDir(), "gate.yaml")
			if err := os.WriteFile(file, []byte("admin: "+admin+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			return nil, []string{"--config", file}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := onASocket(t, "--grace", "60s")
			s := open(t, g)
			children := g.Children()
			waiting := s.Send(t, harness.ToolCall("1", "sleep", `{"ms":1000}`))
			waitForCalls(t, g, 1)
			env, args := find(t, g.Admin)
			if r := harness.Exec(t, env, append([]string{"drain"}, args...)...); r.Code != 0 || !strings.Contains(r.Stdout, "drained") {
				t.Errorf("sidegate drain ended with code %d: %s%s", r.Code, r.Stdout, r.Stderr)
			}
			if got := waiting.Read(t, "POST").Answer(t).Structured(t); got != `{"slept":true}` {
				t.Errorf("the call in flight got %s", got)
			}
			wantDrained(t, g, children)
			g.Signal(syscall.SIGTERM)
			if code := g.Wait(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// wantResumable: a stream that ends with the gate says when to come back, and
// from where on.
func wantResumable(t *testing.T, stream *harness.Events) {
	t.Helper()
	events := stream.WantProperEnd(t)
	if len(events) < 2 || stream.Retry() == "" {
		t.Fatalf("the stream ended with %+v and retry %q", events, stream.Retry())
	}
	if last := events[len(events)-1]; last.ID == "" || last.ID != events[0].ID || last.Data != "" {
		t.Errorf("it ended with %+v after %+v", last, events[0])
	}
}

// wantDrained: the gate is there, and serves nobody.
func wantDrained(t *testing.T, g *harness.Gate, children []int) {
	t.Helper()
	if g.Ended() {
		t.Fatal("the gate has ended without a signal")
	}
	if status := g.DoAdmin(t, harness.Bare("GET", "/livez")).Status; status != 200 {
		t.Errorf("/livez got %d", status)
	}
	if status := g.Ready(t); status != 503 {
		t.Errorf("/readyz got %d", status)
	}
	if c, err := g.TryDial(); err == nil {
		c.Close()
		t.Error("it still takes connections")
	}
	for _, pid := range children {
		if harness.Alive(pid) {
			t.Errorf("child %d is still there", pid)
		}
	}
}

// TestDrainLooksAway: until others have looked away all is served as before, but
// each answer sends its client elsewhere.
func TestDrainLooksAway(t *testing.T) {
	t.Parallel()
	g := gate(t, "--grace", "1h", "--drain-delay", "30m")
	s := open(t, g)
	stream := s.Stream(t, "")
	kept := g.Dial(t)
	kept.Send(t, s.As(harness.Post(ping("1"))).Bytes(g.Host()))
	kept.Read(t, "POST")
	asked := g.DialAdmin(t)
	asked.Send(t, harness.Bare("POST", "/drain").Bytes(g.Admin))
	harness.Eventually(t, "the gate is not ready", func() bool { return g.Ready(t) == 503 })

	for name, tool := range map[string]string{
		"at once": "echo", "late": "sleep", // another goroutine writes that answer
	} {
		t.Run(name, func(t *testing.T) {
			answered := s.Begin(t, harness.ToolCall(`"`+name+`"`, tool, `{"ms":300}`))
			if !answered.Response.Close {
				t.Error("the answer does not say that its connection closes")
			}
			if answer := answered.Finish(t).Answer(t); answer.Error != nil {
				t.Errorf("a call got %s", answer.Raw)
			}
		})
	}
	kept.Send(t, s.As(harness.Post(ping("2"))).Bytes(g.Host()))
	if answered := kept.Begin(t, "POST"); answered.Status != 200 || !answered.Response.Close {
		t.Errorf("on a connection from before: status %d, %v", answered.Status, answered.Header)
	} else {
		answered.Finish(t)
	}
	kept.Closed(t)
	alive(t, open(t, g))
	if stream.Over() {
		t.Error("the stream has ended")
	}
	g.Harm()
	g.Signal(syscall.SIGTERM) // goes on draining
	harness.Eventually(t, "the gate has taken the signal: two at once are one", func() bool {
		return strings.Contains(g.Log(), `"msg":"ending"`)
	})
	alive(t, s)
	g.Signal(syscall.SIGTERM)
	if code := g.Wait(t); code != 0 {
		t.Errorf("exit code %d after a second signal without calls in flight", code)
	}
}

// TestDrainCommandCuts: who told the gate to drain hears of calls that were cut.
func TestDrainCommandCuts(t *testing.T) {
	t.Parallel()
	g := gate(t, "--grace", "1s")
	s := open(t, g)
	waiting := s.Send(t, harness.ToolCall("1", "sleep", `{"ms":600000}`))
	waitForCalls(t, g, 1)
	if r := <-drainCommand(t, g); r.Code != 4 || !strings.Contains(r.Stderr, "--grace") {
		t.Errorf("sidegate drain ended with code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if answer := waiting.Read(t, "POST").Answer(t); answer.Error == nil {
		t.Errorf("the call got %s", answer.Raw)
	}
	g.Signal(syscall.SIGTERM)
	if code := g.Wait(t); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
}

// TestDrainDoor: nobody drains a gate by mistake, and no web page does.
func TestDrainDoor(t *testing.T) {
	t.Parallel()
	g := gate(t)
	for name, r := range map[string]struct {
		request *harness.Request
		want    int
	}{
		"GET":            {harness.Bare("GET", "/drain"), 405},
		"HEAD":           {harness.Bare("HEAD", "/drain"), 405},
		"foreign Host":   {harness.Bare("POST", "/drain").Add("Host", "evil.example"), 403},
		"foreign Origin": {harness.Bare("POST", "/drain").Add("Origin", "http://evil.example"), 403},
		"Origin null":    {harness.Bare("POST", "/drain").Add("Origin", "null"), 403},
		"a page of here": {harness.Bare("POST", "/drain").Add("Origin", "http://localhost:3000"), 403},
	} {
		resp := g.DoAdmin(t, r.request)
		if resp.Status != r.want || r.want == 405 && resp.Header.Get("Allow") != "POST" {
			t.Errorf("%s: status %d, Allow %q", name, resp.Status, resp.Header.Get("Allow"))
		}
	}
	if status := g.Ready(t); status != 200 {
		t.Errorf("/readyz got %d", status)
	}
}

// TestDrainCommandInVain says what to look at.
func TestDrainCommandInVain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		admin string
		code  int
		says  string
	}{
		{"127.0.0.1:1", 1, "is the gate running"},
		{"unix:///nowhere/admin.sock", 1, "is the gate running"},
		{"off", 2, "SIGTERM"},
		{"a b", 2, "HOST:PORT"},
	} {
		r := harness.Exec(t, nil, "drain", "--admin", row.admin)
		if r.Code != row.code || !strings.Contains(r.Stderr, row.says) {
			t.Errorf("--admin %s: exit code %d, %s", row.admin, r.Code, r.Stderr)
		}
	}
}
