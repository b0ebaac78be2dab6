package framing

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// writeTable prints, for each class of rows, what became of the probes in each
// column; then each row on which the columns differ.
func writeTable(w io.Writer, columns []*column) {
	fmt.Fprintf(w, "%d requests each; * is how often a rule of the gate was broken\n\n", len(columns[0].probes))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header(table, "class", columns)
	for _, class := range classes(columns[0].probes) {
		fmt.Fprint(table, class)
		for _, c := range columns {
			fmt.Fprint(table, "\t", c.total(class))
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush() // the table is for a person; the test does not hang on it
	fmt.Fprint(w, "\nwhere they differ (+ forwarded, - not; the status of each answer)\n\n")
	header(table, "row", columns)
	for _, is := range byRow(columns[0].probes) {
		cells := make([]string, len(columns))
		differ := false
		for n, c := range columns {
			cells[n] = c.cell(is)
			differ = differ || c.fate(is) != columns[0].fate(is)
		}
		if differ {
			r := columns[0].probes[is[0]].row
			fmt.Fprintf(table, "%s: %s\t%s\n", r.class, r.what, strings.Join(cells, "\t"))
		}
	}
	_ = table.Flush()
}

func header(w io.Writer, first string, columns []*column) {
	fmt.Fprint(w, first)
	for _, c := range columns {
		fmt.Fprint(w, "\t", c.name)
	}
	fmt.Fprintln(w)
}

// classes are the classes in the order of the table.
func classes(list []*probe) (found []string) {
	for _, p := range list {
		if !slices.Contains(found, p.row.class) {
			found = append(found, p.row.class)
		}
	}
	return found
}

// byRow is the probes' numbers, those of one row together.
func byRow(list []*probe) (rows [][]int) {
	for i, p := range list {
		if i == 0 || p.row != list[i-1].row {
			rows = append(rows, nil)
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], i)
	}
	return rows
}

// total is a class in a few numbers.
func (c *column) total(class string) string {
	var forwarded, broken int
	refused := map[string]int{}
	for i, p := range c.probes {
		if p.row.class != class {
			continue
		}
		f := &c.findings[i]
		if len(f.faults) > 0 {
			broken++
		}
		if f.forwarded > 0 {
			forwarded++
		} else {
			refused[f.first()]++
		}
	}
	text := fmt.Sprintf("%d forwarded", forwarded)
	for _, status := range slices.Sorted(mapKeys(refused)) {
		text += fmt.Sprintf(", %d %s", refused[status], status)
	}
	if broken > 0 {
		text += fmt.Sprintf(", %d*", broken)
	}
	return text
}

func mapKeys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// first is the status of the first answer.
func (f *finding) first() string {
	if len(f.answers) == 0 {
		return "closed"
	}
	return fmt.Sprint(f.answers[0].status)
}

// fate tells for each probe of a row whether it was forwarded.
func (c *column) fate(is []int) string {
	var b strings.Builder
	for _, i := range is {
		fmt.Fprint(&b, c.findings[i].forwarded > 0, " ")
	}
	return b.String()
}

// cell is what became of the probes of a row, each word once where all are
// alike.
func (c *column) cell(is []int) string {
	var words []string
	for _, i := range is {
		f := &c.findings[i]
		word := "-"
		if f.forwarded > 0 {
			word = "+"
		}
		var statuses []string
		for _, a := range f.answers {
			statuses = append(statuses, fmt.Sprint(a.status))
		}
		word += strings.Join(statuses, ",")
		if len(f.faults) > 0 {
			word += "*"
		}
		words = append(words, word)
	}
	if len(slices.Compact(slices.Clone(words))) == 1 {
		return words[0]
	}
	return strings.Join(words, " ")
}
