package conformance

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"text/tabwriter"
)

// scoredScenarios is how many scenarios the legacy revision scores for a
// server.
const scoredScenarios = 30

// write prints the table, and below it what failed and why.
func (e *eras) write(w io.Writer) {
	fmt.Fprint(w, "Conformance, scored scenarios that pass: alone, behind the gate, and how many are wanted there.\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "server")
	for _, suite := range e.suites {
		fmt.Fprintf(table, "\tsuite %s\tbehind\twanted", suite.revision)
	}
	fmt.Fprintln(table)
	for _, s := range standings {
		fmt.Fprint(table, s.name)
		for i, suite := range e.suites {
			alone, scored := "-", suite.requirements.Scored
			if found := e.aloneOf(s, i); found != nil {
				alone = fmt.Sprint(found.count(scored))
			}
			fmt.Fprintf(table, "\t%s\t%d of %d\t%d", alone, e.behind[s.name][i].count(scored), len(scored), s.want[i])
		}
		fmt.Fprintln(table)
	}
	e.writeUnscored(table)
	_ = table.Flush() // the table is for a person; the test does not hang on it
	for _, s := range standings {
		for i, suite := range e.suites {
			writeReasons(w, s.name+", suite "+suite.revision, suite.requirements.Scored, e.behind[s.name][i])
		}
	}
}

// writeUnscored prints the rows of what does not count and is to pass all the
// same where it passes alone.
func (e *eras) writeUnscored(w io.Writer) {
	fmt.Fprint(w, "\nnot scored: alone, behind the gate\n")
	for _, s := range standings {
		for i, suite := range e.suites {
			for _, name := range alike {
				behind, ran := e.behind[s.name][i][name]
				if !ran {
					continue
				}
				alone := "-"
				if found := e.aloneOf(s, i); found != nil {
					alone = found[name].cell()
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.name, suite.revision, name, alone, behind.cell())
			}
		}
	}
}

// writeReasons prints the scenarios that failed or warned, with their reasons.
func writeReasons(w io.Writer, title string, scored []string, found results) {
	for _, name := range scored {
		v, ran := found[name]
		if ran && v.passes() && v.warned == 0 {
			continue
		}
		if title != "" {
			fmt.Fprintf(w, "\n%s:\n", title)
			title = ""
		}
		fmt.Fprintf(w, "  %s: %s\n", name, v.cell())
		for _, reason := range append(v.failures, v.warnings...) {
			fmt.Fprintf(w, "    %s\n", reason)
		}
	}
}

// cell says in a few words what became of a scenario.
func (v verdict) cell() string {
	switch {
	case len(v.failures) > 0:
		return fmt.Sprintf("FAIL (checks passed: %d, failed: %d)", v.passed, len(v.failures))
	case v.passed+v.warned == 0:
		return "no check applied, or it broke off"
	case v.warned > 0:
		return fmt.Sprintf("pass (warnings: %d)", v.warned)
	default:
		return "pass"
	}
}

// score counts the scenarios that passed, by our rule.
func (r results) score(names []string) int {
	return r.countIf(names, verdict.ok)
}

// count counts the scenarios that passed, by the suite's rule.
func (r results) count(names []string) int {
	return r.countIf(names, verdict.passes)
}

func (r results) countIf(names []string, good func(verdict) bool) int {
	n := 0
	for _, name := range names {
		if good(r[name]) {
			n++
		}
	}
	return n
}

func TestTable(t *testing.T) {
	found := results{
		"ping": {passed: 2}, "tools-list": {passed: 1, failures: []string{"tools-list: no tools"}},
		"caching": {warned: 1, warnings: []string{"ttl: too short"}},
	}
	scored := []string{"ping", "tools-list", "caching", "completion"}
	var got strings.Builder
	writeReasons(&got, "a server", scored, found)
	want := `
a server:
  tools-list: FAIL (checks passed: 1, failed: 1)
    tools-list: no tools
  caching: pass (warnings: 1)
    ttl: too short
  completion: no check applied, or it broke off
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if all, ours := found.count(scored), found.score(scored); all != 2 || ours != 1 {
		t.Errorf("%d scenarios pass by the suite's rule and %d by ours, want 2 and 1", all, ours)
	}
}
