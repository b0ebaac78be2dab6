package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sidegate/deploy/fence"
)

// A fencePrinter prints what is, or would be, done: as text at once, so that it
// can be pasted into a shell, as JSON in one object at the end.
type fencePrinter struct {
	w    io.Writer
	json bool

	why      string // the last comment
	commands []fence.Command
	notes    []string
}

// families are the kernel's; that IPv6 is not among them is said.
func (p *fencePrinter) families() ([]fence.Family, error) {
	families, err := fence.Families()
	if err == nil && len(families) == 1 {
		p.note("this kernel has no IPv6, so nobody comes by it and there are no rules for it")
	}
	return families, err
}

func (p *fencePrinter) note(text string) {
	p.notes = append(p.notes, text)
	if !p.json {
		fmt.Fprintf(p.w, "# %s\n", text)
	}
}

func (p *fencePrinter) command(c fence.Command) {
	p.commands = append(p.commands, c)
	if p.json {
		return
	}
	if why := fmt.Sprintf("%s: %s", c.Family, c.Why); why != p.why {
		p.why = why
		fmt.Fprintf(p.w, "# %s\n", why)
	}
	fmt.Fprintln(p.w, strings.Join(c.Argv, " "))
}

// end prints the object.
func (p *fencePrinter) end(backend string) error {
	if !p.json {
		return nil
	}
	return p.object(struct {
		Backend  string          `json:"backend,omitempty"`
		Commands []fence.Command `json:"commands"`
		Notes    []string        `json:"notes,omitempty"`
	}{backend, append([]fence.Command{}, p.commands...), p.notes})
}

func (p *fencePrinter) object(o any) error {
	encoder := json.NewEncoder(p.w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(o); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	return nil
}

// report prints who reaches what.
func (p *fencePrinter) report(r *fence.Report) error {
	if p.json {
		r.Notes = append(p.notes, r.Notes...)
		return p.object(r)
	}
	table := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FROM\tTO\tANSWERS\t")
	for _, row := range r.Rows {
		fault := ""
		if row.Fault != "" {
			fault = "! " + row.Fault
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", row.From, row.To, row.Answers, fault)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	for _, fault := range r.Faults {
		fmt.Fprintf(p.w, "! %s\n", fault)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(p.w, "# %s\n", note)
	}
	return nil
}
