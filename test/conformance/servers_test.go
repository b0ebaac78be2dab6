package conformance

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"testing"
)

// TestOurServers: our servers are what the table takes them for. Each serves
// its own era and refuses the other.
func TestOurServers(t *testing.T) {
	const (
		initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`
		meta       = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
		discover   = `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{` + meta + `}}`
		legacyList = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
		modernList = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`
		toModern   = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{` + meta + `}}`
		asks       = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"test_sampling","arguments":{"prompt":"x"},` + meta + `}}`
	)
	for _, server := range []struct {
		program string
		say     []string
		want    []int // codes of errors, 0 for a result
	}{
		{"./servers/legacy", []string{discover, legacyList, initialize, legacyList, modernList, discover, initialize},
			[]int{-32600, -32600, 0, 0, -32602, -32602, -32600}},
		{"./servers/modern", []string{discover, modernList, initialize, legacyList, toModern, asks},
			[]int{0, 0, -32602, -32602, -32601, -32021}},
	} {
		got := codes(t, build(t, ".", server.program), server.say)
		if !slices.Equal(got, server.want) {
			t.Errorf("%s answers with %d, want %d", server.program, got, server.want)
		}
	}
}

// codes says lines to a server, each once the one before is answered, and
// returns the codes of the answers, 0 for a result.
func codes(t *testing.T, binary string, lines []string) []int {
	t.Helper()
	cmd := exec.CommandContext(bounded(t), binary)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var list []int
	answers := json.NewDecoder(out)
	for _, line := range lines {
		if _, err := in.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
		var answer struct{ Error struct{ Code int } }
		if err := answers.Decode(&answer); err != nil {
			t.Fatalf("no answer to %s: %v\n%s", line, err, &log)
		}
		list = append(list, answer.Error.Code)
	}
	_ = in.Close() // it ends by that
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	return list
}
