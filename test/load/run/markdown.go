package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Markdown turns raw results into the tables that PROOF.md shows, so that
// nobody copies numbers by hand.
func Markdown(w io.Writer, raw io.Reader) error {
	results, aims, err := read(raw)
	if err != nil {
		return err
	}
	if len(results) == 0 {
		return errors.New("there are no results")
	}
	head(w, results)
	fmt.Fprint(w, "\n| work | aim | measured | limit | reached |\n| --- | --- | --- | --- | --- |\n")
	for _, a := range aims {
		reached := "yes"
		if !a.Reached() {
			reached = "**no**"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s %s | %s |\n", a.Scenario, a.Aim, short(a.Got), a.Sign(), short(a.Limit), reached)
	}
	fmt.Fprint(w, "\n| work | figure | subject | min | median | max | |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	seen := map[[3]string]bool{}
	for _, r := range results {
		key := [3]string{r.Scenario, r.Figure, r.Subject}
		if seen[key] {
			continue
		}
		seen[key] = true
		list := valuesOf(results, r.Scenario, r.Subject, r.Figure)
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", r.Scenario, r.Figure, r.Subject,
			short(slices.Min(list)), short(median(list)), short(slices.Max(list)), r.Unit)
	}
	return nil
}

// head says when and where the results come from, and of what.
func head(w io.Writer, results []Result) {
	r := results[len(results)-1]
	fmt.Fprintf(w, "%s, commit %s, %s, %d cores, %d MiB, Linux %s.\n\n",
		r.Date.Format(time.DateOnly), r.Commit, r.Machine.Processor, r.Machine.Cores, r.Machine.MemoryMiB, r.Machine.Kernel)
	versions := map[string]string{}
	for _, r := range results {
		versions[r.Subject] = r.Version
	}
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		fmt.Fprintf(w, "- %s: %s\n", name, versions[name])
	}
}

// read takes the lines apart: a line is a number or an aim.
func read(raw io.Reader) (results []Result, aims []Aim, err error) {
	for lines := json.NewDecoder(raw); ; {
		var line json.RawMessage
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return results, aims, nil
		} else if err != nil {
			return nil, nil, err
		}
		var r Result
		var a Aim
		if err := errors.Join(json.Unmarshal(line, &r), json.Unmarshal(line, &a)); err != nil {
			return nil, nil, err
		}
		if a.Aim != "" {
			aims = append(aims, a)
		} else {
			results = append(results, r)
		}
	}
}
