package inject

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What the gate has added or changed stands between a begin and an end. A
// changed line stands there too, behind "was", as it was.
const (
	beginMark = "# sidegate: begin"
	beginText = beginMark + " (sidegate inject --remove takes this out)"
	wasMark   = "# was:"
	endMark   = "# sidegate: end"
)

// region writes new lines in the place of the lines in was, between marks. new
// ends with a line end, also where was does not, at the end of a file: then
// the end mark has none, which tells strip.
func region(out *bytes.Buffer, was []byte, fresh, indent, newline string) {
	out.WriteString(indent + beginText + newline)
	for line := range bytes.Lines(was) {
		out.WriteString(indent + wasMark)
		out.Write(line)
	}
	unended := len(was) > 0 && !bytes.HasSuffix(was, []byte("\n"))
	if unended {
		out.WriteString(newline)
	}
	out.WriteString(fresh)
	out.WriteString(indent + endMark)
	if !unended {
		out.WriteString(newline)
	}
}

// strip takes out what is between marks, and puts back what was there.
func (t *tree) strip() ([]byte, error) {
	var out bytes.Buffer
	var was []byte
	number, begun := 0, 0 // the line, and that of the open begin
	before := false       // whether only "was" lines have come since
	scalars := t.blockScalars()
	for line := range bytes.Lines(t.text) {
		number++
		content := strings.TrimSpace(string(line))
		if scalars[number] {
			content = ""
		}
		switch {
		case begun == 0 && strings.HasPrefix(content, endMark), begun > 0 && strings.HasPrefix(content, beginMark):
			return nil, &lineError{number, errors.New("the gate's marks do not match: each begin needs its end; take out by hand what stands between")}
		case strings.HasPrefix(content, beginMark):
			begun, before, was = number, true, nil
		case begun == 0:
			out.Write(line)
		case strings.HasPrefix(content, endMark):
			begun = 0
			if !bytes.HasSuffix(line, []byte("\n")) {
				was = bytes.TrimSuffix(bytes.TrimSuffix(was, []byte("\n")), []byte("\r"))
			}
			out.Write(was)
		case before && strings.HasPrefix(content, wasMark):
			_, old, _ := bytes.Cut(line, []byte(wasMark))
			was = append(was, old...)
		default:
			before = false
		}
	}
	if begun > 0 {
		return nil, &lineError{begun, errors.New("the gate's begin mark has no end; take out by hand what stands after it")}
	}
	return out.Bytes(), nil
}

// blockScalars are the numbers of the lines within literal and folded texts,
// where a mark is somebody's own.
func (t *tree) blockScalars() map[int]bool {
	inside := map[int]bool{}
	lines := slices.Collect(bytes.Lines(t.text))
	for n := range t.nodes() {
		if n.Kind != yaml.ScalarNode || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			continue
		}
		least := -1 // how far in the text stands, which its first line tells
		for i := n.Line; i < len(lines); i++ {
			blanks := len(lines[i]) - len(bytes.TrimLeft(lines[i], " "))
			empty := len(bytes.TrimSpace(lines[i])) == 0
			if least < 0 && !empty {
				least = blanks
			}
			if !empty && (blanks < least || blanks == 0) {
				break
			}
			inside[i+1] = true
		}
	}
	return inside
}
