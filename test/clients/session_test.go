package clients

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// longOperation is the tool of server-everything that takes its time and
// reports progress.
const longOperation = "trigger-long-running-operation"

// cutting is what a resume test does while a client counts progress events: it
// cuts every connection once, in the middle, and in the end wants to have seen
// the client resume.
type cutting struct {
	relay *relay
	mark  int
	done  bool
}

// progress takes the progress of the call.
func (c *cutting) progress(step int) {
	if step == 3 && !c.done {
		c.mark, c.done = c.relay.Cut(), true
	}
}

func (c *cutting) check(t *testing.T) {
	t.Helper()
	if !c.done {
		t.Fatal("there was no progress to cut the connection at")
	}
	if len(c.relay.Resumed(c.mark)) == 0 {
		t.Error("the client came back without a Last-Event-ID: nothing was resumed")
	}
}

// A message is what the tests read of a JSON-RPC message that a server was
// sent.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name      string          `json:"name"`
		RequestID json.RawMessage `json:"requestId"`
	} `json:"params"`
}

// waitCancelled waits until a server has been told that the call of
// longOperation which it was sent is cancelled, under the id it knows.
func waitCancelled(t *testing.T, r *running) {
	t.Helper()
	harness.Eventually(t, "the server is sent notifications/cancelled with the call's id", func() bool {
		return slices.ContainsFunc(r.traces(t, "*.stdin"), func(path string) bool { return cancelled(t, path) })
	})
}

func cancelled(t *testing.T, path string) bool {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var call json.RawMessage
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return false // the line is still being written
		}
		switch {
		case m.Method == "tools/call" && m.Params.Name == longOperation:
			call = m.ID
		case m.Method == "notifications/cancelled" && call != nil:
			return string(m.Params.RequestID) == string(call)
		}
	}
	return false
}

// checkEnded wants a session that was ended to be unknown: 404, by which a
// client knows to begin anew.
func checkEnded(t *testing.T, url, session string) {
	t.Helper()
	if session == "" {
		t.Fatal("the client had no session id")
	}
	body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type":         "application/json",
		"Accept":               "application/json, text/event-stream",
		"Mcp-Session-Id":       session,
		"Mcp-Protocol-Version": "2025-11-25",
	} {
		req.Header.Set(name, value)
	}
	client := http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("a request to the ended session got %s, want 404", resp.Status)
	}
}

// steps are the progress events of a longOperation with n steps.
func steps(n int) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = float64(i + 1)
	}
	return all
}
