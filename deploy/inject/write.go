package inject

import (
	"bytes"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// cover is a mark at the top of a document that begins with a brace: readers
// that take such a stream for JSON would stumble over the other marks.
func (s *surgeon) cover() (splice, bool) {
	if s.root.Style&yaml.FlowStyle == 0 {
		return splice{}, false
	}
	start, ok := s.alone(s.offset(s.root))
	return splice{at: start, lines: true}, ok
}

// checkStart refuses a document that begins on the line of its ---: marks would
// come before that, and so into the document before. Nor does kubectl read what
// stands there.
func (s *surgeon) checkStart(all []splice) error {
	for _, one := range all {
		start, end := s.lineAround(one.at)
		if isSeparator(s.text[start:end], "---") {
			return s.errorf(nil, "the document begins on the line of its ---, where kubectl does not read it; let it begin on a line of its own")
		}
	}
	return nil
}

// write makes the splices, between marks.
func (s *surgeon) write(all []splice) []byte {
	slices.SortStableFunc(all, func(a, b splice) int { return a.rank() - b.rank() })
	var out bytes.Buffer
	done := 0
	for len(all) > 0 {
		first := all[0]
		start, end := first.at, first.at
		if !first.lines {
			start, end = s.lineAround(first.at)
		}
		n := 1
		for n < len(all) && all[n].lines == first.lines && (all[n].at == start || !first.lines && all[n].at < end) {
			n++
		}
		out.Write(s.text[done:start])
		region(&out, s.text[start:end], s.fresh(all[:n], start, end), s.markIndent(first, start), s.newline)
		all, done = all[n:], end
	}
	out.Write(s.text[done:])
	return out.Bytes()
}

// rank sorts by place; whole lines come before changes of the line that they
// stand before. What is for one place stays in its order.
func (a splice) rank() int {
	if a.lines {
		return a.at * 2
	}
	return a.at*2 + 1
}

// lineAround is from where to where the line goes that holds at, with its end.
func (s *surgeon) lineAround(at int) (start, end int) {
	start = bytes.LastIndexByte(s.text[:at], '\n') + 1
	if i := bytes.IndexByte(s.text[at:], '\n'); i >= 0 {
		return start, at + i + 1
	}
	return start, len(s.text)
}

// fresh is the text of lines from start to end with the splices made; it ends
// with a line end.
func (s *surgeon) fresh(splices []splice, start, end int) string {
	var text strings.Builder
	for _, one := range splices {
		text.Write(s.text[start:one.at])
		text.WriteString(one.fresh)
		start = one.at + one.n
	}
	text.Write(s.text[start:end])
	if fresh := text.String(); fresh == "" || strings.HasSuffix(fresh, "\n") {
		return fresh
	}
	return text.String() + s.newline
}

// markIndent sets the marks as far in as what they are around.
func (s *surgeon) markIndent(first splice, start int) string {
	if first.lines {
		return first.indent
	}
	line := s.text[start:]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " "))])
}
