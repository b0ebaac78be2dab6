package inject

import (
	"bytes"
	"errors"
	"strings"
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
func strip(text []byte) ([]byte, error) {
	var out bytes.Buffer
	var was []byte
	number, begun := 0, 0 // the line, and that of the open begin
	before := false       // whether only "was" lines have come since
	for line := range bytes.Lines(text) {
		number++
		content := strings.TrimSpace(string(line))
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
