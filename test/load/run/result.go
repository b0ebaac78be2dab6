package run

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"sidegate/test/load/measure"
	"sidegate/test/load/subject"
)

// A Result is one number, with all that must be known to compare it with
// another.
type Result struct {
	Scenario string          `json:"scenario"`
	Subject  string          `json:"subject"`
	Version  string          `json:"version"`
	Figure   string          `json:"figure"`
	Unit     string          `json:"unit"`
	Round    int             `json:"round"`
	Value    float64         `json:"value"`
	Commit   string          `json:"commit"`
	Date     time.Time       `json:"date"`
	Machine  measure.Machine `json:"machine"`
}

// note keeps a number and writes it down.
func (b *Bench) note(s *subject.Subject, round int, figure, unit string, value float64) {
	r := Result{b.scenario, s.Name, s.Version, figure, unit, round, value, b.Commit, time.Now().UTC().Truncate(time.Second), b.machine}
	b.results = append(b.results, r)
	b.write(r)
}

// values are the numbers of a subject in the rounds' order.
func (b *Bench) values(subject, figure string) []float64 {
	return valuesOf(b.results, b.scenario, subject, figure)
}

func valuesOf(results []Result, scenario, subject, figure string) []float64 {
	var list []float64
	for _, r := range results {
		if r.Scenario == scenario && r.Subject == subject && r.Figure == figure {
			list = append(list, r.Value)
		}
	}
	return list
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(list))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// ratios compare two lists round by round: what disturbs a round disturbs both.
func ratios(over, under []float64) []float64 {
	var list []float64
	for i := range min(len(over), len(under)) {
		list = append(list, over[i]/under[i])
	}
	return list
}

// An Aim is what a figure must reach, and what it has reached.
type Aim struct {
	Scenario string          `json:"scenario"`
	Aim      string          `json:"aim"`
	Got      float64         `json:"got"`
	Limit    float64         `json:"limit"`
	Least    bool            `json:"least"` // the limit is the least that will do, not the most
	Commit   string          `json:"commit"`
	Date     time.Time       `json:"date"`
	Machine  measure.Machine `json:"machine"`
}

// Reached tells whether it is good enough.
func (a Aim) Reached() bool { return a.Got == a.Limit || a.Got > a.Limit == a.Least }

// Sign says on which side of the limit it is to be.
func (a Aim) Sign() string {
	if a.Least {
		return "at least"
	}
	return "at most"
}

func (a Aim) String() string {
	if math.IsNaN(a.Got) {
		return fmt.Sprintf("  ?       %s: not measured here", a.Aim)
	}
	word := "reached"
	if !a.Reached() {
		word = "MISSED "
	}
	return fmt.Sprintf("  %s %s: %s, %s %s", word, a.Aim, short(a.Got), a.Sign(), short(a.Limit))
}

// atMost states an aim that is a limit from above.
func (b *Bench) atMost(text string, got, limit float64) { b.aim(text, got, limit, false) }

// atLeast states an aim that is a limit from below.
func (b *Bench) atLeast(text string, got, limit float64) { b.aim(text, got, limit, true) }

// aim keeps an aim and writes it down, unless nothing was measured.
func (b *Bench) aim(text string, got, limit float64, least bool) {
	a := Aim{b.scenario, text, got, limit, least, b.Commit, time.Now().UTC().Truncate(time.Second), b.machine}
	b.aims = append(b.aims, a)
	if !math.IsNaN(got) && !math.IsInf(got, 0) { // which JSON has no word for
		b.write(a)
	}
}

// write writes a line of the raw results.
func (b *Bench) write(v any) {
	if err := json.NewEncoder(b.Raw).Encode(v); err != nil {
		fmt.Fprintln(b.Out, "cannot write results:", err)
	}
}

// against is the median of the rounds' ratios of a figure of Sidegate to
// another subject's.
func (b *Bench) against(other, figure, othersFigure string) float64 {
	return median(ratios(b.values("sidegate", figure), b.values(other, othersFigure)))
}

// table prints the figures of a scenario: the spread over the rounds, and the
// median's ratio to HAProxy's where that was there.
func (b *Bench) table(scenario string) {
	w := tabwriter.NewWriter(b.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "figure\tsubject\tmin\tmedian\tmax\tunit\t× haproxy\t")
	seen := map[[2]string]bool{}
	for _, r := range b.results {
		key := [2]string{r.Figure, r.Subject}
		if r.Scenario != scenario || seen[key] {
			continue
		}
		seen[key] = true
		list := b.values(r.Subject, r.Figure)
		ratio := ""
		if others := b.values("haproxy", r.Figure); len(others) > 0 {
			ratio = fmt.Sprintf("%.2f", median(ratios(list, others)))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.Figure, r.Subject,
			short(slices.Min(list)), short(median(list)), short(slices.Max(list)), r.Unit, ratio)
	}
	w.Flush()
	for _, a := range b.aims {
		if a.Scenario == scenario {
			fmt.Fprintln(b.Out, a)
		}
	}
}

// short is a number with three digits that count, or all that stand before
// the point.
func short(v float64) string {
	if math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
