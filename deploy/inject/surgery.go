package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A splice is one change of the text: whole lines that come before the line at
// which it stands, or a few bytes within a line.
type splice struct {
	at, n  int // where, and how many bytes go
	fresh  string
	lines  bool
	indent string // of lines, for the marks
}

// edited is the text with the edits made. It is read again, and must mean what
// the edits say.
func (t *tree) edited(edits []edit) ([]byte, error) {
	s := newSurgeon(t)
	var all []splice
	for i := range edits {
		one, err := s.splice(&edits[i])
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if one, ok := s.cover(); ok {
		all = append(all, one)
	}
	if err := s.checkStart(all); err != nil {
		return nil, err
	}
	out := s.write(all)
	return out, t.verify(out, edits)
}

// errBent is what text gets that the surgery would have changed in another way
// than it meant to.
var errBent = errors.New("this manifest is written in a way that the gate cannot be added to without changing something else, most likely with an anchor (&name) that is used in several places; write it out, or in block style")

func (t *tree) verify(out []byte, edits []edit) error {
	after, err := parse(out)
	if err != nil {
		return t.errorf(nil, "%w (%w)", errBent, err)
	}
	before, err := parse(t.text) // anew: the edits use it up
	if err != nil {
		return err
	}
	want, err := applied(before.value, edits)
	if err != nil {
		return t.errorf(nil, "%w (%w)", errBent, err)
	}
	back, err := after.strip()
	if err != nil || !bytes.Equal(back, t.text) || !reflect.DeepEqual(after.value, want) {
		return t.errorf(nil, "%w", errBent)
	}
	return nil
}

// A surgeon knows where in the text nodes stand.
type surgeon struct {
	*tree
	starts  []int // of each line
	newline string
}

func newSurgeon(t *tree) *surgeon {
	s := &surgeon{tree: t, starts: []int{0}, newline: "\n"}
	for i := 0; i < len(t.text); i++ {
		switch rest := t.text[i:]; {
		case bytes.HasPrefix(rest, []byte("\r\n")):
			i++
		case rest[0] == '\n', rest[0] == '\r':
		case bytes.HasPrefix(rest, []byte("\u0085")), bytes.HasPrefix(rest, []byte("\u2028")), bytes.HasPrefix(rest, []byte("\u2029")):
			i += len("\u0085") - 1 // what is left of a longer one is no line end
		default:
			continue
		}
		s.starts = append(s.starts, i+1)
	}
	if bytes.Count(t.text, []byte("\r\n"))*2 > bytes.Count(t.text, []byte("\n")) {
		s.newline = "\r\n"
	}
	return s
}

// offset is where a node begins, with its anchor or tag if it has one. The
// parser counts characters.
func (s *surgeon) offset(n *yaml.Node) int {
	at := s.starts[n.Line-1]
	if n.Line == 1 && bytes.HasPrefix(s.text, bom) {
		at += len(bom)
	}
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(s.text[at:])
		at += size
	}
	return at
}

// alone is where the line of at begins, if only blanks stand before at.
func (s *surgeon) alone(at int) (start int, ok bool) {
	start = bytes.LastIndexByte(s.text[:at], '\n') + 1
	return start, len(bytes.TrimLeft(s.text[start:at], " ")) == 0
}

func (s *surgeon) splice(e *edit) (splice, error) {
	key, node, err := s.node(e.at)
	if err != nil {
		return splice{}, err
	}
	switch {
	case e.do == rename:
		return s.exchange(key, e.key, true)
	case e.do == replace && node.Tag == "!!null":
		return s.fill(node, e)
	case e.do == replace:
		_, isText := e.value.(string)
		return s.exchange(node, fmt.Sprint(e.value), isText)
	case node.Kind == yaml.AliasNode:
		return splice{}, s.errorf(e.at, "here stands the alias *%s, and the gate would be added wherever that is used; write it out", node.Value)
	case node.Style&yaml.FlowStyle != 0:
		return s.intoFlow(node, e)
	case e.do == prepend && node.Kind == yaml.SequenceNode:
		return s.intoList(node, e)
	case e.do == set && node.Kind == yaml.MappingNode:
		return s.intoMapping(node, e)
	}
	return splice{}, s.errorf(e.at, "here must stand a list or a mapping, and there is none; take the empty line out")
}

// exchange puts other text in the place of a scalar of one line. A text keeps
// the quotes that were there; a number must not.
func (s *surgeon) exchange(n *yaml.Node, fresh string, isText bool) (splice, error) {
	at := s.offset(n)
	was := n.Value
	switch {
	case n.Kind == yaml.AliasNode:
		was = "*" + n.Value
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && at < len(s.text):
		quote := s.text[at]
		was = string(quote) + was + string(quote)
		if isText {
			fresh = string(quote) + fresh + string(quote)
		}
	}
	if !bytes.HasPrefix(s.text[at:], []byte(was)) || n.Kind != yaml.ScalarNode && n.Kind != yaml.AliasNode {
		return splice{}, &lineError{n.Line, fmt.Errorf("%q must be exchanged for %q, and is not written plainly; write it as it is, without an anchor or escapes", n.Value, fresh)}
	}
	return splice{at: at, n: len(was), fresh: fresh}, nil
}

// fill puts a value in the place of nothing, or of a null: on one line, which is
// right in either style.
func (s *surgeon) fill(n *yaml.Node, e *edit) (splice, error) {
	text, err := json.Marshal(e.value)
	if err != nil {
		return splice{}, fmt.Errorf("BUG: %w", err)
	}
	if n.Value == "" {
		text = append([]byte(" "), text...)
	}
	return s.exchange(n, string(text), false)
}

// intoFlow puts text right behind the opening bracket, as JSON, which is flow
// style too.
func (s *surgeon) intoFlow(n *yaml.Node, e *edit) (splice, error) {
	open, kind := byte('{'), yaml.MappingNode
	if e.do == prepend {
		open, kind = '[', yaml.SequenceNode
	}
	at := s.offset(n)
	i := bytes.IndexByte(s.text[at:], open) // past an anchor, which has no bracket
	if i < 0 || n.Kind != kind {
		return splice{}, s.errorf(e.at, "here must stand a list or a mapping, and there is none; take the empty line out")
	}
	text, err := json.Marshal(e.value)
	if err != nil {
		return splice{}, fmt.Errorf("BUG: %w", err)
	}
	if e.do == prepend {
		text = text[1 : len(text)-1]
	} else {
		text = fmt.Appendf(nil, "%q: %s", e.key, text)
	}
	if len(n.Content) > 0 {
		text = append(text, ", "...)
	}
	return splice{at: at + i + 1, fresh: string(text)}, nil
}

// intoList puts items before the first one of a block list.
func (s *surgeon) intoList(n *yaml.Node, e *edit) (splice, error) {
	dash := bytes.LastIndexByte(s.text[:s.offset(n.Content[0])], '-')
	start, ok := s.alone(max(dash, 0))
	if dash < 0 || !ok {
		return splice{}, s.errorf(e.at, "a list within a list on one line; write each item on a line of its own")
	}
	indent := string(s.text[start:dash])
	return splice{at: start, fresh: s.block(e.text, indent), lines: true, indent: indent}, nil
}

// intoMapping puts a key before the first one of a block mapping, or where that
// shares its line with a dash before the second one. No key but the first can
// share its line with anything before it.
func (s *surgeon) intoMapping(n *yaml.Node, e *edit) (splice, error) {
	first := s.offset(n.Content[0])
	pair := map[string]any{e.key: e.text}
	if start, ok := s.alone(first); ok {
		indent := string(s.text[start:first])
		return splice{at: s.aboveComments(start), fresh: s.block(pair, indent), lines: true, indent: indent}, nil
	}
	if len(n.Content) > 2 {
		next := s.offset(n.Content[2])
		if start, ok := s.alone(next); ok {
			indent := string(s.text[start:next])
			if isOneLine(n.Content[1]) {
				start = s.aboveComments(start)
			}
			return splice{at: start, fresh: s.block(pair, indent), lines: true, indent: indent}, nil
		}
	}
	start, _ := s.alone(first)
	indent := strings.Repeat(" ", len([]rune(string(s.text[start:first]))))
	return splice{at: first, fresh: strings.TrimLeft(s.block(pair, indent), " ") + indent}, nil
}

// isOneLine is false for a scalar that may hold what looks like a comment.
func isOneLine(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

// aboveComments is the line before the comments that stand right above start,
// and belong to what stands there.
func (s *surgeon) aboveComments(start int) int {
	for start > 0 {
		above := bytes.LastIndexByte(s.text[:start-1], '\n') + 1
		if !bytes.HasPrefix(bytes.TrimLeft(s.text[above:start], " "), []byte("#")) {
			break
		}
		start = above
	}
	return start
}

// block writes v in block style.
func (s *surgeon) block(v any, indent string) string {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(v), encoder.Close()); err != nil {
		panic(errors.Join(errors.New("BUG: a type of kube.go cannot be written as YAML"), err))
	}
	var text strings.Builder
	for line := range strings.Lines(out.String()) {
		text.WriteString(indent + strings.TrimSuffix(line, "\n") + s.newline)
	}
	return text.String()
}
