package main

import (
	"cmp"
	"errors"
	"strings"
)

// A problem is one thing that is wrong with what the operator said: where it
// was said, and what would be right.
type problem struct {
	where string // --max-message, SIDEGATE_MAX_MESSAGE, gate.yaml:7:14: max-message
	what  string
}

func (p problem) String() string { return p.where + ": " + p.what }

// problems are all that was found: the operator corrects a file once, not line
// by line.
type problems []problem

func (ps *problems) add(where, what string) {
	*ps = append(*ps, problem{where, what})
}

// placeOf is where a flag got its value from: as where says, else the command
// line.
func placeOf(where map[string]string, flag string) string {
	return cmp.Or(where[flag], "--"+flag)
}

// err is nil where there are none, else an error with one problem a line.
func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return withCode(exitUsage, errors.New(strings.Join(lines, "\n")))
}

// didYouMean is a hint at the name nearest to a misspelt one, or "".
func didYouMean(got string, names []string) string {
	best, least := "", 3 // further than that is another word
	for _, name := range names {
		if d := editDistance(got, name); d < least && d < len(name) {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return `; did you mean "` + best + `"?`
}

// editDistance counts the letters to insert, drop or exchange.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			exchange := diagonal
			if a[i] != b[j] {
				exchange++
			}
			diagonal = row[j+1]
			row[j+1] = min(exchange, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
