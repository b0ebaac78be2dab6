package harness

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// Metrics is the text of /metrics.
func (g *Gate) Metrics(t testing.TB) string {
	t.Helper()
	resp := g.DoAdmin(t, Bare("GET", "/metrics"))
	if resp.Status != 200 {
		t.Fatalf("/metrics got status %d: %s", resp.Status, Short(string(resp.Body)))
	}
	return string(resp.Body)
}

// Metric is the sum of the series of that name whose labels contain all the
// given pairs, each as name="value". The test fails if there is no series of
// that name at all.
func (g *Gate) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	sum, found := sumSeries(g.Metrics(t), name, labels)
	if !found {
		t.Fatalf("/metrics has no %s", name)
	}
	return sum
}

func sumSeries(text, name string, labels []string) (sum float64, found bool) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		found = true
		at := strings.LastIndexByte(rest, ' ')
		if !hasAll(rest[:at], labels) {
			continue
		}
		v, _ := strconv.ParseFloat(strings.TrimSpace(rest[at:]), 64)
		sum += v
	}
	return sum, found
}

func hasAll(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

// Ready is the status of /readyz.
func (g *Gate) Ready(t testing.TB) int {
	t.Helper()
	return g.DoAdmin(t, Bare("GET", "/readyz")).Status
}

// Field is a string member of a raw JSON object.
func Field(t testing.TB, object json.RawMessage, name string) string {
	t.Helper()
	var m map[string]json.RawMessage
	var s string
	if err := json.Unmarshal(object, &m); err != nil {
		t.Fatalf("%v in %s", err, Short(string(object)))
	}
	if err := json.Unmarshal(m[name], &s); err != nil {
		t.Fatalf("no string %q in %s", name, Short(string(object)))
	}
	return s
}
