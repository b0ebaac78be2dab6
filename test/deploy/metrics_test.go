package deploy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sidegate/test/e2e/harness"
)

// An expression is PromQL, and where it stands.
type expression struct{ where, text string }

// expressions are those of the alerts and of the dashboard.
func expressions(t *testing.T) []expression {
	t.Helper()
	var all []expression
	for _, r := range alerts(t) {
		all = append(all, expression{r.Alert, r.Expr})
	}
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			all = append(all, expression{p.Title, target.Expr})
		}
	}
	return all
}

type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// alerts decodes the rules strictly: Prometheus does not start with a key that
// it does not know.
func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	decodeYAML(t, "deploy/dashboards/alerts.yaml", &file)
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func decodeYAML(t *testing.T, path string, into any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, path)))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

type panel struct {
	ID          int
	Title       string
	Description string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ Expr, LegendFormat string }
}

func dashboard(t *testing.T) []panel {
	t.Helper()
	var file struct {
		UID    string
		Panels []panel
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/dashboards/sidegate.json")), &file); err != nil {
		t.Fatal(err)
	}
	return file.Panels
}

// Every alert says how bad it is, what has happened and what to do.
func TestAlertsAreWhole(t *testing.T) {
	all := alerts(t)
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	for _, a := range all {
		if a.Alert == "" || a.Expr == "" || a.For == "" || a.Labels["severity"] == "" || a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("an alert lacks something: %+v", a)
		}
	}
}

// Every panel says what it shows, and none covers another.
func TestDashboardIsWhole(t *testing.T) {
	all := dashboard(t)
	if len(all) == 0 {
		t.Fatal("there are no panels")
	}
	for i, a := range all {
		if a.Title == "" || a.Description == "" || len(a.Targets) == 0 || a.GridPos.W == 0 {
			t.Errorf("a panel lacks something: %+v", a)
		}
		for _, b := range all[:i] {
			p, q := a.GridPos, b.GridPos
			if a.ID == b.ID || p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H {
				t.Errorf("%q and %q have one place or one number", a.Title, b.Title)
			}
		}
	}
}

var (
	metricName = regexp.MustCompile(`\b(sidegate|process|go)_[a-z0-9_]+`)
	selector   = regexp.MustCompile(`([a-z_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)=~?"([^"]*)"`)
	grouping   = regexp.MustCompile(`\bby \(([^)]*)\)`)
	legend     = regexp.MustCompile(`\{\{ ?\$?(?:labels\.)?([a-z_]+) ?\}\}`)
)

// fromPrometheus are the labels that do not come from the gate, or that belong
// to a function.
var fromPrometheus = []string{"job", "instance", "le"}

// A gate that has been used has every metric and every label that alerts and
// dashboard name.
func TestMetricsExist(t *testing.T) {
	g := harness.Start(t, harness.Setup{Flags: []string{"--isolation", "shared"}})
	use(t, g)
	scraped := g.DoAdmin(t, harness.Bare("GET", "/metrics"))
	scraped.WantStatus(t, 200)
	labels := samples(scraped.Body)
	for _, e := range expressions(t) {
		names := metricName.FindAllString(e.text, -1)
		known := slices.Clone(fromPrometheus)
		for _, name := range names {
			own, ok := labels[name]
			if !ok {
				t.Errorf("%s: the gate has no metric %s", e.where, name)
			}
			known = append(known, own...)
		}
		if len(names) == 0 && !strings.HasPrefix(e.text, "up{") {
			t.Errorf("%s: no metric of the gate in %s", e.where, e.text)
		}
		for _, label := range labelsOf(e.text) {
			if !slices.Contains(known, label) {
				t.Errorf("%s: no metric in %s has a label %s", e.where, e.text, label)
			}
		}
	}
}

// A legend shows labels that its expression has left.
func TestLegends(t *testing.T) {
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			for _, m := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
				by := grouping.FindStringSubmatch(target.Expr)
				if by == nil && m[1] != "instance" || by != nil && !slices.Contains(words(by[1]), m[1]) {
					t.Errorf("%s: %s is not left by %s", p.Title, m[1], target.Expr)
				}
			}
		}
	}
}

// labelsOf are the labels that an expression selects and groups by.
func labelsOf(text string) []string {
	var all []string
	for _, s := range selector.FindAllStringSubmatch(text, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			all = append(all, m[1])
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(text, -1) {
		all = append(all, words(g[1])...)
	}
	return all
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// use makes the gate count one of everything that it counts only once it has
// happened.
func use(t *testing.T, g *harness.Gate) {
	t.Helper()
	g.Do(t, harness.Get().Add("Origin", "http://evil.example")).WantStatus(t, 403)
	s := g.Open(t, harness.Client{})
	s.Call(t, "echo", `{}`)
	for range 2 { // the second answer may be a kept one
		s.Do(t, harness.RPC(s.NextID(), "tools/list", `{}`)).WantStatus(t, 200)
	}
	s.End(t)
}

// samples reads the labels of every metric in Prometheus' text format.
func samples(text []byte) map[string][]string {
	labels := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name := metricName.FindString(line)
		labels[name] = append(labels[name], labelsOf(line)...)
	}
	return labels
}

// The reasons and outcomes that alerts select are the gate's own: one that is
// misspelt would never fire.
func TestSelectedValuesExist(t *testing.T) {
	own := map[string]*regexp.Regexp{
		"reason":  regexp.MustCompile(`row\("([a-z_]+)"`),
		"outcome": regexp.MustCompile(`outcomeNames = .*\{(.*)\}`),
	}
	source := read(t, "proxy/refusal/table.go") + read(t, "proxy/metrics/metrics.go")
	found := 0
	for _, a := range alerts(t) {
		for _, m := range matcher.FindAllStringSubmatch(a.Expr, -1) {
			pattern, ok := own[m[1]]
			if !ok {
				continue
			}
			known := ""
			for _, k := range pattern.FindAllStringSubmatch(source, -1) {
				known += " " + strings.NewReplacer(`"`, " ", ",", " ").Replace(k[1]) + " "
			}
			for value := range strings.SplitSeq(m[2], "|") {
				if found++; !strings.Contains(known, " "+value+" ") {
					t.Errorf("%s: there is no %s %q", a.Alert, m[1], value)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no alert selects anything, so nothing was looked at")
	}
}
