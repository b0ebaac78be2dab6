package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"sidegate/test/clients/need"
	"sidegate/test/e2e/harness"
)

// MatrixVariable makes TestMatrix go through all cells where it is set to 1.
const MatrixVariable = "TEST_MATRIX"

// The matrix: how clients come in, how servers listen, who shares a link.
var (
	matrixDoors      = []string{"streamable", "sse", "websocket"}
	matrixServers    = []string{"stdio", "unix", "http", "http+sse", "ws"}
	matrixIsolations = []string{"session", "shared"}
)

// someCells are those that are gone through in any case: each door, server and
// isolation is in one of them.
var someCells = []cell{
	{"streamable", "stdio", "shared"},
	{"sse", "unix", "session"},
	{"websocket", "http", "shared"},
	{"sse", "http+sse", "shared"},
	{"websocket", "ws", "session"},
}

// A cell is one combination.
type cell struct{ door, server, isolation string }

// doorOperations are what ts/doors.mjs goes through.
var doorOperations = []string{
	"list", "call", "progress", "logging", "sampling", "elicitation", "roots", "subscribe", "prompts",
	"resources", "completion", "cancel", "ping",
}

// TestMatrix joins every door with every kind of server and prints a table. For
// Streamable HTTP a cell is the scenarios that the revision scores, for the
// other doors, which the suite does not know, the same operations by the
// TypeScript SDK's clients. Every cell is to be full.
func TestMatrix(t *testing.T) {
	cells := someCells
	if os.Getenv(MatrixVariable) == "1" {
		cells = allCells()
	}
	m := &matrix{suite: loadSuite(t), everything: buildServer(t), peer: buildPeer(t), scores: map[cell]score{}}
	m.node, m.script = doorScript(t)
	t.Run("cells", func(t *testing.T) {
		for _, c := range cells {
			t.Run(c.door+" "+c.server+" "+c.isolation, func(t *testing.T) {
				t.Parallel()
				m.run(t, c)
			})
		}
	})
	m.write(os.Stdout)
}

func allCells() []cell {
	var all []cell
	for _, door := range matrixDoors {
		for _, server := range matrixServers {
			for _, isolation := range matrixIsolations {
				all = append(all, cell{door, server, isolation})
			}
		}
	}
	return all
}

// A matrix holds what all cells need, and what became of them.
type matrix struct {
	suite            *suite
	everything, peer string // programs
	node, script     string

	mu     sync.Mutex
	scores map[cell]score
}

// A score is how many of a cell's scenarios or operations passed.
type score struct{ passed, of int }

// buildPeer compiles the program in peer.
func buildPeer(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "peer")
	if out, err := exec.CommandContext(bounded(t), "go", "build", "-o", binary, "./peer").CombinedOutput(); err != nil {
		t.Fatalf("build the peer: %v\n%s", err, out)
	}
	return binary
}

// doorScript is Node.js and the script that goes through the other doors.
func doorScript(t *testing.T) (node, script string) {
	t.Helper()
	clients := filepath.Join("..", "clients", "ts")
	node, _ = need.Program(t, clients, "mcp-server-everything")
	return node, filepath.Join(clients, "doors.mjs")
}

// run goes through one cell. The gate stands before two servers, the
// everything-server and one that asks for roots.
func (m *matrix) run(t *testing.T, c cell) {
	gate := harness.Start(t, harness.Setup{
		Command: []string{},
		Flags:   []string{"--admin", "off", "--isolation", c.isolation, "--config", m.config(t, c.server)},
	})
	base := "http://" + gate.Addr + "/servers"
	var s score
	if c.door == "streamable" {
		s = m.scenarios(t, base+"/everything/mcp")
	} else {
		s = m.operations(t, c.door, base)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scores[c] = s
}

// config is a file with both servers, started so that they listen as server
// says.
func (m *matrix) config(t *testing.T, server string) string {
	t.Helper()
	backends := map[string]any{
		"everything": m.backend(t, server, m.everything),
		"asking":     m.backend(t, server, m.peer),
	}
	text, err := json.Marshal(map[string]any{"backends": backends}) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gate.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// backend starts a program as a server of that kind, and returns its entry.
func (m *matrix) backend(t *testing.T, server, program string) map[string]any {
	t.Helper()
	switch server {
	case "stdio":
		return map[string]any{"command": []string{program}}
	case "unix":
		return map[string]any{"url": "unix://" + startShim(t, program)}
	case "http":
		return map[string]any{"url": startServer(t, program)}
	case "http+sse":
		return map[string]any{"url": "http://" + startAt(t, func(address string) []string {
			return []string{m.peer, "-sse", address, program}
		}) + "/sse"}
	case "ws":
		return map[string]any{"url": "ws://" + startAt(t, func(address string) []string {
			return []string{m.peer, "-ws", address, program}
		}) + "/"}
	}
	t.Fatalf("no such kind of server: %s", server)
	return nil
}

// startShim puts a program on a Unix socket with the gate's own shim, and
// returns the socket's path.
func startShim(t *testing.T, program string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "shim") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	if !tryAt(t, path, []string{harness.Binary(), "shim", "--listen", "unix://" + path, "--", program}) {
		t.Fatal("the shim did not start")
	}
	return path
}

// scenarios runs the suite.
func (m *matrix) scenarios(t *testing.T, url string) score {
	t.Helper()
	found := m.suite.run(t, url)
	scored := m.suite.requirements.Scored
	for _, name := range scored {
		if v := found[name]; !v.ok() {
			t.Errorf("%s: %v", name, v)
		}
	}
	if len(scored) != scoredScenarios {
		t.Errorf("the suite scores %d scenarios, want %d: is it the pinned one?", len(scored), scoredScenarios)
	}
	return score{found.score(scored), len(scored)}
}

// operations runs the script, which tells what became of each operation.
func (m *matrix) operations(t *testing.T, door, base string) score {
	t.Helper()
	cmd := exec.CommandContext(bounded(t), m.node, m.script, door, base)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("the script failed: %v\n%s", err, &stderr)
	}
	became := map[string]*string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var e struct {
			Event string
			Value *string
		}
		if err := decoder.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the script said %v: %s", err, out)
		}
		became[e.Event] = e.Value
	}
	s := score{of: len(doorOperations)}
	for _, name := range doorOperations {
		switch wrong, told := became[name]; {
		case !told:
			t.Errorf("%s: it did not end\n%s", name, &stderr)
		case wrong != nil:
			t.Errorf("%s: %s", name, *wrong)
		default:
			s.passed++
		}
	}
	return s
}

// write prints the table. A cell that was left out is a dot.
func (m *matrix) write(w io.Writer) {
	fmt.Fprintf(w, "Frontend by backend and isolation: scenarios of %s, or operations of the TypeScript SDK's client.\n\n", revision)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var head []string
	for _, server := range matrixServers {
		for _, isolation := range matrixIsolations {
			head = append(head, server+", "+isolation)
		}
	}
	fmt.Fprintf(table, "\t%s\n", strings.Join(head, "\t"))
	for _, door := range matrixDoors {
		row := []string{door}
		for _, server := range matrixServers {
			for _, isolation := range matrixIsolations {
				row = append(row, m.cell(cell{door, server, isolation}))
			}
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	_ = table.Flush() // the table is for a person; the test does not hang on it
}

func (m *matrix) cell(c cell) string {
	s, ran := m.scores[c]
	if !ran {
		return "."
	}
	return fmt.Sprintf("%d of %d", s.passed, s.of)
}

// TestSomeCells: what is gone through in any case has everything in it once.
func TestSomeCells(t *testing.T) {
	for i, names := range [][]string{matrixDoors, matrixServers, matrixIsolations} {
		for _, name := range names {
			if !slices.ContainsFunc(someCells, func(c cell) bool { return []string{c.door, c.server, c.isolation}[i] == name }) {
				t.Errorf("no cell has %s", name)
			}
		}
	}
	if n := len(allCells()); n != len(matrixDoors)*len(matrixServers)*len(matrixIsolations) {
		t.Errorf("%d cells", n)
	}
}
