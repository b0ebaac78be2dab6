package e2e

import (
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// sharing starts a gate whose clients share links.
func sharing(t *testing.T, flags ...string) *harness.Gate {
	t.Helper()
	return gate(t, append([]string{"--isolation", "shared"}, flags...)...)
}

// TestAllLeased: a call that may be asked something back waits a bounded time
// for a link to itself, and is then told when to come back. What needs none is
// served meanwhile.
func TestAllLeased(t *testing.T) {
	t.Parallel()
	g := sharing(t, "--max-links", "2", "--link-wait", "500ms")
	first, second := open(t, g), open(t, g)
	long := first.Begin(t, harness.ToolCallWithToken("1", `"p"`, "progress", `{"tag":"x","steps":400,"everyMs":20}`)).Events(t)
	long.NextMessage(t) // it runs
	wantComeBack(t, second.Do(t, harness.ToolCall(`"mine"`, "echo", `{}`)), 503, `"mine"`)
	if resp := second.Do(t, harness.RPC("2", "tools/list", "")); resp.Status != 200 || !strings.Contains(string(resp.Body), `"result"`) {
		t.Errorf("a call that shares: status %d: %s", resp.Status, harness.Short(string(resp.Body)))
	}
	first.Accepted(t, harness.Cancel("1"))
	harness.Eventually(t, "a link is free", func() bool {
		return second.Do(t, harness.ToolCall("3", "echo", `{}`)).Status == 200
	})
}

// TestSharedTasks: tasks are of no one client, so they are not served where
// clients share a server.
func TestSharedTasks(t *testing.T) {
	t.Parallel()
	s := open(t, sharing(t))
	s.Do(t, harness.RPC("1", "tasks/list", "")).WantRefusal(t, 404, -32601, "1")
	s.Do(t, harness.RPC("2", "tools/call", `{"name":"echo","arguments":{},"task":{"ttl":1}}`)).WantRefusal(t, 404, -32601, "2")
	alive(t, s)
}
