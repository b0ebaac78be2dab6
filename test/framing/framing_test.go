package framing

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// strict turns a skip into a failure where it is set to 1.
const strict = "TEST_STRICT"

// enough is how many requests there are at least.
const enough = 300

// TestFraming sends the whole table through the gate, and through the others
// for comparison.
func TestFraming(t *testing.T) {
	var columns []*column
	t.Run("gate", func(t *testing.T) {
		c, session := behindGate(t)
		c.run(t, func() {
			if answer := session.Call(t, "echo", `{"case":"ping"}`); answer.Error != nil {
				t.Errorf("after all of it the session answers %s", answer.Raw)
			}
		})
		columns = append(columns, c)
		c.wantNoFault(t)
		if len(c.probes) < enough {
			t.Errorf("there are %d requests in the table, want %d", len(c.probes), enough)
		}
	})
	compare := func(name string, start func(*testing.T) *column) {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			c.run(t, func() {})
			columns = append(columns, c)
			c.wantOpen(t)
		})
	}
	compare("nginx", func(t *testing.T) *column {
		return behindProxy(t, "nginx", find(t, "nginx", "nginx-light"), nginxFile, "-c")
	})
	compare("haproxy", func(t *testing.T) *column {
		return behindProxy(t, "haproxy", find(t, "haproxy", "haproxy"), haproxyFile, "-db", "-f")
	})
	compare("alone", alone)
	if len(columns) > 0 {
		var table strings.Builder
		writeTable(&table, columns)
		t.Log(table.String())
	}
}

// wantNoFault wants that no rule was broken. What a row broke on several ways
// is told once, with the request of the first.
func (c *column) wantNoFault(t *testing.T) {
	t.Helper()
	for _, is := range byRow(c.probes) {
		var text strings.Builder
		var first *probe
		for _, i := range is {
			for _, fault := range c.findings[i].faults {
				if first == nil {
					first = c.probes[i]
				}
				fmt.Fprintf(&text, "\n\t%s: %s", c.probes[i].way.name, fault)
			}
		}
		if first != nil {
			t.Errorf("%s: %s%s\n\tsent, %s: %.900q", first.row.class, first.row.what, &text, first.way.name, first.bytes())
		}
	}
	for _, text := range c.strange {
		t.Error(text)
	}
}

// wantOpen wants that what is well-formed reached the server, by which the
// comparison says something; and that rules are found broken where nobody keeps
// them.
func (c *column) wantOpen(t *testing.T) {
	t.Helper()
	for i, f := range c.findings {
		if p := c.probes[i]; p.verdict == whole && p.row.class == "well-formed" && f.forwarded != 1 {
			t.Errorf("%s, %s: %s: forwarded %d times; %v", p.name, p.way.name, p.row.what, f.forwarded, f.faults)
		}
	}
	if !slices.ContainsFunc(c.findings, func(f finding) bool { return len(f.faults) > 0 }) {
		t.Error("no rule of the gate is broken here: the rules cannot tell")
	}
}
