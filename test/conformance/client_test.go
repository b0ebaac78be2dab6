package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"sidegate/test/e2e/harness"
)

// What the driver speaks: an era over Streamable HTTP, or the modern one over
// WebSocket, where the client sends no headers and the gate makes them all.
const (
	legacyEra  = "legacy"
	modernEra  = "modern"
	overSocket = "websocket"
)

// A judged is a scenario in which the suite judges clients.
type judged struct {
	scenario string
	// revisions are those at which its server speaks; "" for a scenario whose
	// server knows but one.
	revisions []string
	speaks    []string
	// timed says that a warning tells of a slow machine.
	timed bool
}

var (
	ofAnyRevision = []string{""}
	allSpeak      = []string{legacyEra, modernEra, overSocket}
)

var judgedScenarios = []judged{
	{scenario: "tools_call", revisions: []string{revision, modernRevision}, speaks: allSpeak},
	{scenario: "request-metadata", revisions: ofAnyRevision, speaks: allSpeak},
	{scenario: "http-standard-headers", revisions: ofAnyRevision, speaks: allSpeak},
	{scenario: "http-custom-headers", revisions: ofAnyRevision, speaks: allSpeak},
	// A modern client has to see for itself which tools are valid.
	{scenario: "http-invalid-tool-headers", revisions: ofAnyRevision, speaks: []string{legacyEra}},
	{scenario: "sep-2322-client-request-state", revisions: ofAnyRevision, speaks: allSpeak},
	{scenario: "sse-retry", revisions: ofAnyRevision, speaks: allSpeak, timed: true},
	{scenario: "json-schema-ref-no-deref", revisions: ofAnyRevision, speaks: allSpeak},
}

// TestClient lets the suite judge the gate as a client: it starts a server, and
// the driver, which speaks to that server through the gate. Every check is to
// pass.
func TestClient(t *testing.T) {
	s := loadRevision(t, modernRevision)
	driver := build(t, ".", "./driver")
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "The gate as a client:\n\nscenario\tdriver\tchecks that passed\n")
	for _, j := range judgedScenarios {
		for _, at := range j.revisions {
			for _, speaks := range j.speaks {
				name := strings.TrimSpace(j.scenario + " " + at)
				t.Run(name+" "+speaks, func(t *testing.T) {
					v := s.judgeClient(t, driver, j.scenario, at, speaks)
					if !v.ok() || v.warned > 0 && !j.timed {
						t.Errorf("%v %q", v, v.warnings)
					}
					fmt.Fprintf(table, "%s\t%s\t%d of %d\n", name, speaks, v.passed, v.passed+v.warned+len(v.failures))
				})
			}
		}
	}
	_ = table.Flush() // the table is for a person; the test does not hang on it
}

// judgeClient runs one scenario. The driver's failure is one, too.
func (s *suite) judgeClient(t *testing.T, driver, scenario, at, speaks string) verdict {
	t.Helper()
	out := filepath.Join(t.TempDir(), "results")
	args := []string{s.program, "client", "--command", driver, "--scenario", scenario, "--output-dir", out}
	if at != "" {
		args = append(args, "--spec-version", at)
	}
	cmd := exec.CommandContext(bounded(t), s.node, args...)
	cmd.Env = append(os.Environ(), "DRIVER_GATE="+harness.Binary(), "DRIVER_SPEAKS="+speaks)
	said, failed := cmd.CombinedOutput()
	found, err := readResults(out)
	if err != nil {
		t.Fatalf("the suite left no results: %v\n%v\n%s", err, failed, said)
	}
	if slices.Contains(strings.Split(string(said), "\n"), "Client exited with code 1") {
		t.Errorf("the driver failed:\n%s", said)
	}
	return found[scenario]
}
