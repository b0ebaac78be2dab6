package run

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sidegate/test/load/subject"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTable notes numbers of two subjects and looks at what is printed and
// written.
func TestTable(t *testing.T) {
	var out, raw bytes.Buffer
	b := &Bench{Out: &out, Raw: &raw, Commit: "abc", scenario: "s"}
	gate := &subject.Subject{Name: "sidegate", Version: "1"}
	other := &subject.Subject{Name: "haproxy", Version: "2"}
	// The machine is twice as slow in the second round: the ratio is not.
	for round, slow := range []float64{1, 2, 1} {
		b.note(gate, round, "CPU", "µs", 15*slow)
		b.note(other, round, "CPU", "µs", 20*slow)
	}
	if got := b.against("haproxy", "CPU", "CPU"); got != 0.75 {
		t.Errorf("the ratio is %v", got)
	}
	b.atMost("CPU to HAProxy's", b.against("haproxy", "CPU", "CPU"), 0.75)
	b.atMost("another", 2, 1)
	b.atLeast("calls", 2, 1)
	b.atLeast("more calls", 1, 2)
	b.atMost("of nobody", b.against("nobody", "CPU", "CPU"), 1)
	b.table("s")
	for _, want := range []string{
		"sidegate 15 15 30 µs 0.75", "haproxy 20 20 40 µs 1.00",
		"reached CPU to HAProxy's: 0.75, at most 0.75", "MISSED another: 2, at most 1", "reached calls: 2, at least 1",
		"MISSED more calls: 1, at least 2", "? of nobody: not measured here",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
	var page bytes.Buffer
	if err := Markdown(&page, bytes.NewReader(raw.Bytes())); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| s | CPU to HAProxy's | 0.75 | at most 0.75 | yes |", "| s | more calls | 1 | at least 2 | **no** |",
		"| s | CPU | sidegate | 15 | 15 | 30 | µs |", "commit abc", "- haproxy: 2",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in:\n%s", want, &page)
		}
	}
	lines := 0
	for decoder := json.NewDecoder(&raw); decoder.More(); lines++ {
		var r Result
		if err := decoder.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.Figure == "" { // an aim
			lines--
			continue
		}
		if r.Commit != "abc" || r.Version == "" || r.Date.IsZero() || r.Scenario != "s" || r.Value == 0 {
			t.Errorf("%+v does not say what it is", r)
		}
	}
	if lines != 6 {
		t.Errorf("%d lines of raw results", lines)
	}
}

// TestTurns wants every subject to have its turn in each round, and each to
// begin once.
func TestTurns(t *testing.T) {
	b := &Bench{Rounds: 3}
	list := []*subject.Subject{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	order := ""
	b.turns(list, func(_ int, s *subject.Subject) error {
		order += s.Name
		return nil
	})
	if order != "abcbcacab" {
		t.Errorf("the order is %s", order)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		list []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(test.list); got != test.want {
			t.Errorf("the median of %v is %v", test.list, got)
		}
	}
	if !math.IsNaN(median(nil)) || !math.IsNaN(worst(nil)) {
		t.Error("nothing has a median")
	}
}
