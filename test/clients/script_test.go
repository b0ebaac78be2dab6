package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"
)

// An event is one line that a script prints to tell what happens.
type event struct {
	Name  string          `json:"event"`
	Value json.RawMessage `json:"value"`
}

// number and text read an event's value.
func (e event) number(t *testing.T) (n int) {
	t.Helper()
	if err := json.Unmarshal(e.Value, &n); err != nil {
		t.Fatalf("%s: %v", e.Name, err)
	}
	return n
}

func (e event) text(t *testing.T) (s string) {
	t.Helper()
	if err := json.Unmarshal(e.Value, &s); err != nil {
		t.Fatalf("%s: %v", e.Name, err)
	}
	return s
}

// runScript runs a client that is written in another language, calls hear for
// each of its events as it comes, and fails the test unless the script exits
// with 0: what it exits with is its verdict.
func runScript(t *testing.T, cmd *exec.Cmd, hear func(event)) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var strange [][]byte // lines that are no events; the script may be in trouble
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			strange = append(strange, bytes.Clone(lines.Bytes()))
			continue
		}
		hear(e)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s\n%s", cmd.Args, err, bytes.Join(strange, []byte("\n")), &stderr)
	}
}

// quiet is for scripts with nothing to tell.
func quiet(event) {}
