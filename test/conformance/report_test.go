package conformance

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"text/tabwriter"
)

// scoredScenarios is how many scenarios the revision scores for a server.
const scoredScenarios = 30

// writeTable prints every scenario with what became of it in both columns.
func writeTable(w io.Writer, asked requirements, behind, direct results) {
	fmt.Fprintf(w, "Conformance to %s of the Go SDK's everything-server:\n\n", revision)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\tstdio, behind the gate\tits own HTTP")
	for _, name := range asked.Scored {
		fmt.Fprintf(table, "%s\t%s\t%s\n", name, behind.cell(name), direct.cell(name))
	}
	for _, u := range asked.Unscored {
		if u.Leg == "server" {
			fmt.Fprintf(table, "(%s, not scored: %s)\t%s\t%s\n", u.Scenario, u.Reason, behind.cell(u.Scenario), direct.cell(u.Scenario))
		}
	}
	total := len(asked.Scored)
	fmt.Fprintf(table, "TOTAL\t%d of %d\t%d of %d\n", behind.score(asked.Scored), total, direct.score(asked.Scored), total)
	_ = table.Flush() // the table is for a person; the test does not hang on it
}

// cell says in a few words what became of a scenario.
func (r results) cell(name string) string {
	v, ran := r[name]
	switch {
	case !ran:
		return "FAIL (broke off)"
	case v.passed == 0 && len(v.failures) == 0:
		return "no check applied"
	case !v.ok():
		return fmt.Sprintf("FAIL (checks passed: %d, failed: %d)", v.passed, len(v.failures))
	case v.warned > 0:
		return fmt.Sprintf("pass (warnings: %d)", v.warned)
	default:
		return "pass"
	}
}

// score counts the scenarios that passed.
func (r results) score(names []string) int {
	n := 0
	for _, name := range names {
		if r[name].ok() {
			n++
		}
	}
	return n
}

func TestTable(t *testing.T) {
	asked := requirements{
		Scored:   []string{"ping", "tools-list"},
		Unscored: []unscored{{"server-sse-polling", "server", "pending"}, {"auth", "client", "extension"}},
	}
	behind := results{"ping": {passed: 2}, "server-sse-polling": {}}
	direct := results{"ping": {passed: 2, warned: 1}, "tools-list": {passed: 1, failures: []string{"x"}}}
	var got strings.Builder
	writeTable(&got, asked, behind, direct)
	want := `Conformance to 2025-11-25 of the Go SDK's everything-server:

scenario                                   stdio, behind the gate  its own HTTP
ping                                       pass                    pass (warnings: 1)
tools-list                                 FAIL (broke off)        FAIL (checks passed: 1, failed: 1)
(server-sse-polling, not scored: pending)  no check applied        FAIL (broke off)
TOTAL                                      1 of 2                  1 of 2
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}
