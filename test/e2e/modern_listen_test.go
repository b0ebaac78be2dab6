package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"sidegate/test/e2e/harness"
)

// listen is a subscriptions/listen with a filter.
func listen(id, filter string) modernCall {
	return modernCall{id: id, method: "subscriptions/listen", params: `"notifications":` + filter}
}

// hear begins a listen and reads the acknowledgement.
func hear(t *testing.T, g *harness.Gate, id, filter, acknowledged string) *harness.Events {
	t.Helper()
	e := g.Begin(t, listen(id, filter).request())
	if e.Status != 200 {
		t.Fatalf("status %d", e.Status)
	}
	events := e.Events(t)
	wantHeard(t, events, "notifications/subscriptions/acknowledged", id, acknowledged)
	return events
}

// wantHeard reads the next message of a listen.
func wantHeard(t *testing.T, events *harness.Events, method, id, part string) {
	t.Helper()
	_, m := events.NextMessage(t)
	if m.Method != method || !strings.Contains(m.Raw, `"io.modelcontextprotocol/subscriptionId":`+id) || !strings.Contains(m.Raw, part) {
		t.Errorf("heard %s, want %s for %s with %s", m.Raw, method, id, part)
	}
}

// TestListen: what a legacy server says unasked reaches who listens for it, and
// nobody else, and the server is asked for each resource once.
func TestListen(t *testing.T) {
	t.Parallel()
	g := gate(t)
	// The fixture does not declare prompts.
	one := hear(t, g, `"one"`, `{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["file:///a"]}`,
		`"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a"]}`)
	two := hear(t, g, `2`, `{"resourceSubscriptions":["file:///a","file:///b"]}`, `["file:///a","file:///b"]`)
	say := func(method, params string) {
		t.Helper()
		modernTool("notify", fmt.Sprintf(`{"method":%q,"params":%s}`, method, params)).ask(t, g)
	}
	say("notifications/tools/list_changed", `{}`)
	say("notifications/resources/updated", `{"uri":"file:///c"}`)
	say("notifications/resources/updated", `{"uri":"file:///b"}`)
	say("notifications/resources/updated", `{"uri":"file:///a"}`)
	wantHeard(t, one, "notifications/tools/list_changed", `"one"`, ``)
	wantHeard(t, one, "notifications/resources/updated", `"one"`, `"file:///a"`)
	wantHeard(t, two, "notifications/resources/updated", `2`, `"file:///b"`)
	wantHeard(t, two, "notifications/resources/updated", `2`, `"file:///a"`)

	one.Cut()
	two.Cut()
	unsubscribed := func() string {
		return string(modernTool("seen", `{"method":"resources/unsubscribe"}`).ask(t, g).Structured)
	}
	harness.Eventually(t, "the server is told of each end", func() bool {
		all := unsubscribed()
		return strings.Contains(all, "file:///a") && strings.Contains(all, "file:///b")
	})
	if all := unsubscribed(); strings.Count(all, "file:///a") != 1 {
		t.Errorf("the server was told to end more than once: %s", all)
	}
}

// TestListenEnds: a gate that ends says so to who listens.
func TestListenEnds(t *testing.T) {
	t.Parallel()
	g := gate(t)
	events := hear(t, g, `7`, `{"toolsListChanged":true}`, `"toolsListChanged":true`)
	g.Signal(15)
	_, m := events.NextMessage(t)
	if string(m.ID) != "7" || !strings.Contains(string(m.Result), `"resultType":"complete"`) || !strings.Contains(string(m.Result), `"io.modelcontextprotocol/subscriptionId":7`) {
		t.Errorf("the listen ended with %s", m.Raw)
	}
	events.WantProperEnd(t)
	if code := g.Wait(t); code != 0 {
		t.Errorf("the gate ended with %d", code)
	}
}

// TestStreamsEndWithTheirConnection: what a client asks after a stream that ends
// when the gate does, it does not ask of that gate.
func TestStreamsEndWithTheirConnection(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, request := range map[string]*harness.Request{
		"listen": listen("1", `{"toolsListChanged":true}`).request(),
		"GET":    s.As(harness.Get()),
	} {
		if e := g.Begin(t, request); e.Status != 200 || !e.Response.Close {
			t.Errorf("%s: status %d, and the head does not say that the connection closes: %v", name, e.Status, e.Header)
		}
	}
	if e := s.Begin(t, harness.ToolCallWithToken("2", "2", "progress", `{"steps":1}`)); e.Response.Close {
		t.Error("a call that is answered by a stream closes its connection")
	}
}

// TestListsAreKept: many who ask for a list at a time are one question to the
// server, until it says that the list has changed; and each its own where that
// is not wanted.
func TestListsAreKept(t *testing.T) {
	t.Parallel()
	asked := func(g *harness.Gate) int {
		return strings.Count(string(modernTool("seen", `{"method":"tools/list"}`).ask(t, g).Structured), `"tools/list"`)
	}
	crowd := func(g *harness.Gate) {
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				c := modernCall{id: fmt.Sprint(i), method: "tools/list"}
				if m := g.Do(t, c.request()).Answer(t); string(m.ID) != c.id || !strings.Contains(m.Raw, `"echo"`) {
					t.Errorf("call %d got %s", i, harness.Short(m.Raw))
				}
			})
		}
		all.Wait()
	}
	g := gate(t)
	modernTool("echo", `{}`).ask(t, g) // so that what the gate asks by itself has been asked
	crowd(g)
	if n := asked(g); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
	modernTool("notify", `{"method":"notifications/tools/list_changed"}`).ask(t, g)
	crowd(g)
	if n := asked(g); n < 2 || n > 3 { // the gate looks at a changed list by itself
		t.Errorf("after a change the server was asked %d times", n)
	}
	without := gate(t, "--no-cache")
	crowd(without)
	if n := asked(without); n < 30 {
		t.Errorf("with --no-cache the server was asked %d times", n)
	}
}
