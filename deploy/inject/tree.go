package inject

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A tree is one document: its text, where its parts stand, and what it means.
type tree struct {
	text  []byte
	root  *yaml.Node // nil where there is nothing but comments
	value any        // aliases and merges resolved
}

var parserLine = regexp.MustCompile(`^(?:unmarshal errors:\s*)?line (\d+): `)

// parse reads a document. It is an error where two parsers could read it
// differently, such as a key that comes twice.
func parse(text []byte) (*tree, error) {
	t := &tree{text: text}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, parserError(text, err)
	}
	if len(document.Content) == 0 {
		return t, nil
	}
	t.root = document.Content[0]
	if err := t.root.Decode(&t.value); err != nil {
		return nil, parserError(text, err)
	}
	return t, nil
}

func parserError(text []byte, err error) error {
	at, reason := 0, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := parserLine.FindStringSubmatch(reason); m != nil {
		at, _ = strconv.Atoi(m[1])
		reason = reason[len(m[0]):]
	}
	if bytes.Contains(text, []byte("{{")) {
		reason += "; a template must be rendered first"
	}
	return &lineError{at, fmt.Errorf("not YAML: %s", reason)}
}

// node is what stands at p, and the key before it if it is a mapping's value.
// An alias on the way, or an anchor that has one, is an error: what stands
// there stands elsewhere too.
func (t *tree) node(p path) (key, value *yaml.Node, err error) {
	value = t.root
	for i, step := range p {
		key = nil
		switch s := step.(type) {
		case string:
			key, value = pair(value, s)
		case int:
			value = item(value, s)
		}
		if value == nil {
			return nil, nil, t.errorf(p[:i], "%v does not stand here itself, but comes from an anchor; write it out", step)
		}
		if value.Kind == yaml.AliasNode && i < len(p)-1 {
			return nil, nil, &lineError{value.Line, fmt.Errorf("%v is the alias *%s, and the gate would be added wherever that is used; write it out", step, value.Value)}
		}
		if again := t.aliasOf(value); again != nil {
			return nil, nil, &lineError{value.Line, fmt.Errorf("%v has the anchor &%s, and the gate would be added in line %d of the document too, where that is used; write it out there", step, value.Anchor, again.Line)}
		}
	}
	return key, value, nil
}

// aliasOf is the first alias of an anchor, or nil.
func (t *tree) aliasOf(anchored *yaml.Node) *yaml.Node {
	if anchored.Anchor == "" {
		return nil
	}
	for n := range t.nodes() {
		if n.Alias == anchored {
			return n
		}
	}
	return nil
}

func pair(mapping *yaml.Node, key string) (k, v *yaml.Node) {
	if mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

func item(list *yaml.Node, i int) *yaml.Node {
	if list.Kind != yaml.SequenceNode || i >= len(list.Content) {
		return nil
	}
	return list.Content[i]
}

// nodes are all that stand in the text, each once.
func (t *tree) nodes() iter.Seq[*yaml.Node] {
	return func(yield func(*yaml.Node) bool) {
		if t.root != nil {
			walk(t.root, yield)
		}
	}
}

func walk(n *yaml.Node, yield func(*yaml.Node) bool) bool {
	if !yield(n) {
		return false
	}
	for _, inner := range n.Content {
		if !walk(inner, yield) {
			return false
		}
	}
	return true
}

// line is where p stands, or the last part of its way that does.
func (t *tree) line(p path) int {
	n, at := t.root, 0
	for _, step := range p {
		var key *yaml.Node
		switch s := step.(type) {
		case string:
			key, n = pair(n, s)
		case int:
			n = item(n, s)
		}
		if n == nil {
			break
		}
		at = n.Line
		if key != nil {
			at = key.Line
		}
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
	}
	if at == 0 && t.root != nil {
		return t.root.Line
	}
	return at
}

func (t *tree) errorf(p path, format string, args ...any) error {
	return &lineError{t.line(p), fmt.Errorf(format, args...)}
}

// plain is v, one of our own structs, as the parser would give it.
func plain(v any) any {
	text, err := yaml.Marshal(v)
	if err == nil {
		var back any
		if err = yaml.Unmarshal(text, &back); err == nil {
			return back
		}
	}
	panic(errors.Join(errors.New("BUG: a type of kube.go cannot be written as YAML"), err))
}
