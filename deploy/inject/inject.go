package inject

import (
	"bytes"
	"errors"
	"fmt"
)

// Options are what the operator says for all documents; annotations say it for
// one, and go before.
type Options struct {
	Profile    Profile // "": the annotation sidegate/transport or the container's ports decide
	Image      string  // the gate's
	FenceImage string  // the one with iptables
}

// A Note tells what was done or left alone, for a person.
type Note struct {
	Line int // in the input
	Text string
}

func (n Note) String() string { return fmt.Sprintf("line %d: %s", n.Line, n.Text) }

// Inject returns in with the gate added to each workload, and a note for each
// workload. On an error nothing is returned but the error, which joins one for
// each document that is wrong, with its number and line.
func Inject(in []byte, o Options) ([]byte, []Note, error) {
	return each(in, func(d document) ([]byte, []Note, error) { return d.inject(&o) })
}

// Remove returns in without what Inject has added: the bytes that Inject was
// given. Documents without the gate stay as they are.
func Remove(in []byte) ([]byte, []Note, error) {
	return each(in, document.remove)
}

func each(in []byte, do func(document) ([]byte, []Note, error)) ([]byte, []Note, error) {
	var out bytes.Buffer
	var notes []Note
	var wrong []error
	for _, d := range split(in) {
		text, said, err := do(d)
		if err != nil {
			wrong = append(wrong, d.locate(err))
		}
		out.Write(text)
		notes = append(notes, said...)
	}
	if len(wrong) > 0 {
		return nil, nil, errors.Join(wrong...)
	}
	return out.Bytes(), notes, nil
}

// inject adds the gate to every workload of one document.
func (d document) inject(o *Options) ([]byte, []Note, error) {
	clean, err := d.withoutGate()
	if err != nil || clean == nil {
		return d.text, nil, err
	}
	t, err := parse(clean.text)
	if err != nil {
		return nil, nil, err
	}
	var edits []edit
	var notes []Note
	for _, w := range t.workloads() {
		more, said, err := w.plan(o)
		if err != nil {
			return nil, nil, err
		}
		edits = append(edits, more...)
		notes = append(notes, Note{d.line(w.line()), w.title() + ": " + said})
	}
	if len(edits) == 0 {
		return d.text, notes, nil
	}
	out, err := t.edited(edits)
	if err != nil {
		return nil, nil, err
	}
	return out, notes, nil
}

// remove takes the gate out of one document.
func (d document) remove() ([]byte, []Note, error) {
	clean, err := d.withoutGate()
	if err != nil || clean == nil {
		return d.text, nil, err
	}
	t, err := parse(clean.text)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range t.workloads() {
		if w.hasGate() {
			return nil, nil, w.errorf(nil, "%s has a gate without the marks that tell which lines are the gate's: something has written the manifest anew; use the manifest that the gate was added to", w.title())
		}
	}
	var notes []Note
	if !bytes.Equal(clean.text, d.text) {
		notes = append(notes, Note{d.line(1), "the gate was taken out"})
	}
	return clean.text, notes, nil
}

// withoutGate is the document as it was before the gate was added; nil if it
// holds no workload, and marks in it would be somebody's text.
func (d document) withoutGate() (*document, error) {
	t, err := parse(d.text)
	if err != nil || len(t.workloads()) == 0 {
		return nil, err
	}
	text, err := t.strip()
	return &document{text: text, number: d.number, first: d.first}, err
}
