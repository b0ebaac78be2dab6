package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sidegate/test/e2e/harness"
)

// modernServer is the program of a server that speaks 2026-07-28 alone.
var modernServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "modern")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "modern")
	if out, err := exec.Command("go", "build", "-o", binary, "sidegate/test/conformance/servers/modern").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the modern server: %w\n%s", err, out)
	}
	return binary, nil
})

// beforeModern is a gate in front of a modern server, which is its child or
// listens.
func beforeModern(t *testing.T, listens bool, flags ...string) *harness.Gate {
	t.Helper()
	binary, err := modernServer()
	if err != nil {
		t.Fatal(err)
	}
	if !listens {
		return harness.Start(t, harness.Setup{Command: []string{binary}, Flags: flags})
	}
	cmd := exec.Command(binary, "-http", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		t.Fatalf("the modern server does not say where it listens: %v", err)
	}
	return harness.Start(t, harness.Setup{Command: []string{}, Flags: append(flags, "--backend", "http://"+addr+"/mcp")})
}

// TestLegacyClientOfModernServer: what a legacy client knows it gets from a
// server that knows nothing of it, over stdio and HTTP, shared and not.
func TestLegacyClientOfModernServer(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		listens bool
		several bool // processes, of which each has lists of its own
		flags   []string
	}{
		{"stdio", false, false, nil},
		{"stdio, shared", false, true, []string{"--isolation", "shared", "--links", "4"}},
		{"HTTP", true, false, nil},
		{"HTTP, shared", true, false, []string{"--isolation", "shared"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := beforeModern(t, row.listens, row.flags...)
			s := g.Open(t, harness.Client{Capabilities: `{"sampling":{},"elicitation":{},"roots":{}}`})
			t.Run("list", func(t *testing.T) { modernLists(t, s) })
			t.Run("ask", func(t *testing.T) { modernAsks(t, s) })
			t.Run("many ask", func(t *testing.T) { manyAsk(t, g) })
			if !row.several {
				t.Run("change", func(t *testing.T) { modernChanges(t, s) })
			}
			t.Run("removed", func(t *testing.T) { removedMethods(t, s) })
		})
	}
}

// modernLists wants lists without what a legacy client does not know.
func modernLists(t *testing.T, s *harness.Session) {
	for _, method := range []string{"tools/list", "prompts/list", "resources/list", "resources/templates/list"} {
		answer := s.Do(t, harness.RPC("1", method, `{}`)).Answer(t)
		for _, member := range []string{"resultType", "ttlMs", "cacheScope", "serverInfo"} {
			if strings.Contains(answer.Raw, `"`+member+`"`) {
				t.Errorf("%s: %s is in %s", method, member, harness.Short(answer.Raw))
			}
		}
		if answer.Error != nil {
			t.Errorf("%s: %s", method, answer.Raw)
		}
	}
}

// modernAsks wants what the server wants to know to be asked on the call's
// stream, all that it asks together, and then the answer.
func modernAsks(t *testing.T, s *harness.Session) {
	events := s.Begin(t, harness.ToolCall("7", "test_input_required_result_multiple_inputs", `{}`)).Events(t)
	for range 3 {
		_, question := events.NextMessage(t)
		result, known := map[string]string{
			"elicitation/create":     `{"action":"accept","content":{"name":"Ada"}}`,
			"sampling/createMessage": `{"role":"assistant","content":{"type":"text","text":"hello"},"model":"m"}`,
			"roots/list":             `{"roots":[{"uri":"file:///here"}]}`,
		}[question.Method]
		if !known {
			t.Fatalf("the client got %s", question.Raw)
		}
		s.Accepted(t, harness.Reply(string(question.ID), result))
	}
	_, answer := events.NextMessage(t)
	for _, part := range []string{"Ada", "hello", "file:///here"} {
		if !strings.Contains(answer.Raw, part) {
			t.Errorf("the answer is %s, without %s", harness.Short(answer.Raw), part)
		}
	}
	if string(answer.ID) != "7" {
		t.Errorf("the answer is %s", answer.Raw)
	}
	events.WantProperEnd(t)
}

// manyAsk lets many sessions be asked at the same time, each for its own name:
// the rounds of a call lead to the process that knows its state.
func manyAsk(t *testing.T, g *harness.Gate) {
	var running sync.WaitGroup
	for i := range 12 {
		s := g.Open(t, harness.Client{Capabilities: `{"elicitation":{}}`})
		running.Go(func() {
			name := fmt.Sprintf("name-%d-", i)
			events := s.Begin(t, harness.ToolCall("1", "test_input_required_result_elicitation", `{}`)).Events(t)
			_, question := events.NextMessage(t)
			if question.Method != "elicitation/create" {
				t.Errorf("the client got %s", question.Raw)
				return
			}
			s.Accepted(t, harness.Reply(string(question.ID), `{"action":"accept","content":{"name":"`+name+`"}}`))
			if _, answer := events.NextMessage(t); !strings.Contains(answer.Raw, name) {
				t.Errorf("%s got %s", name, harness.Short(answer.Raw))
			}
		})
	}
	running.Wait()
}

// modernChanges wants a change of a list to come on one of the session's
// streams: on the call's where it is in time for that.
func modernChanges(t *testing.T, s *harness.Session) {
	const changed = "notifications/tools/list_changed"
	stream := s.Stream(t, "")
	defer stream.Cut()
	for _, m := range s.Do(t, harness.ToolCall("1", "test_trigger_tool_change", `{}`)).Messages(t) {
		if m.Method == changed {
			return
		}
	}
	if _, note := stream.NextMessage(t); note.Method != changed || strings.Contains(note.Raw, "subscriptionId") {
		t.Errorf("the stream got %s", note.Raw)
	}
}

// removedMethods are answered by the gate.
func removedMethods(t *testing.T, s *harness.Session) {
	for _, request := range []string{harness.RPC("1", "ping", `{}`), harness.RPC("2", "logging/setLevel", `{"level":"info"}`)} {
		if answer := s.Do(t, request).Answer(t); answer.Error != nil {
			t.Errorf("%s got %s", request, answer.Raw)
		}
	}
}
