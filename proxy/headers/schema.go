package headers

import (
	"bytes"
	"fmt"
	"strings"

	"sidegate/proxy/mcp"
	"sidegate/proxy/wire"
)

// annotation is the keyword by which a schema asks for a header.
const annotation = "x-mcp-header"

// mostParams bounds the headers of one tool: more would not fit into a request.
const mostParams = 100

// A Param is one argument of a tool that is also said in a header.
type Param struct {
	Path []string // the property's key, after those of the objects that it stands in
	Name string   // the header's whole name: Mcp-Param-Region
	Type string   // string, integer or boolean
}

// Read reads which headers a tool's input schema asks for, in the order of the
// schema; none is the common case, and cheap. tool is the raw tool object, part
// of a message that has passed the scan. An error says in a few words for a
// person why the definition is invalid; a client of an HTTP server must leave
// such a tool out ("Schema Extension").
func Read(tool []byte) ([]Param, error) {
	if !bytes.Contains(tool, []byte(annotation)) && !bytes.Contains(tool, []byte(`\u00`)) { // the keyword could be spelt with escapes
		return nil, nil
	}
	schema, err := one(tool, wire.Span{End: len(tool)}, "inputSchema")
	if err != nil || schema.Empty() {
		return nil, err
	}
	r := reader{tool: tool}
	if err := r.schema(schema, nil, true); err != nil {
		return nil, err
	}
	return r.params, nil
}

// one is the value of the one member with this key; an error where there are
// two, which readers would take differently.
func one(msg []byte, object wire.Span, key string) (value wire.Span, err error) {
	for m := range wire.Members(msg, object) {
		if string(m.Key) != key {
			continue
		}
		if !value.Empty() {
			return value, fmt.Errorf("%s stands twice in one object", key)
		}
		value = m.Value
	}
	return value, nil
}

// A reader goes through one tool's schema.
type reader struct {
	tool   []byte
	params []Param
}

// schema reads the schema at the span. reachable says that properties alone
// lead to it; path are their keys.
func (r *reader) schema(at wire.Span, path []string, reachable bool) error {
	if r.tool[at.Start] != '{' {
		return nil
	}
	if err := r.annotated(at, path, reachable); err != nil {
		return err
	}
	if _, err := one(r.tool, at, "properties"); err != nil {
		return err
	}
	for m := range wire.Members(r.tool, at) {
		var err error
		switch string(m.Key) {
		case "default", "const", "enum", "examples", annotation: // values, and no schemas
		case "properties":
			err = r.properties(m.Value, path, reachable)
		case "patternProperties", "$defs", "definitions", "dependentSchemas":
			err = r.properties(m.Value, path, false)
		default:
			err = r.below(m.Value, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// properties reads an object whose keys are names and whose values are schemas.
func (r *reader) properties(at wire.Span, path []string, reachable bool) error {
	for m := range wire.Members(r.tool, at) {
		next := append(path[:len(path):len(path)], string(m.Key))
		if err := r.schema(m.Value, next, reachable); err != nil {
			return err
		}
	}
	return nil
}

// below reads what stands under any other keyword: a schema, or several.
func (r *reader) below(at wire.Span, path []string) error {
	switch r.tool[at.Start] {
	case '{':
		return r.schema(at, path, false)
	case '[':
		var failure error
		raw := at.Of(r.tool)
		_ = wire.Elements(raw, len(raw), func(element []byte) bool { // fails on an empty array alone
			inner := reader{tool: element}
			failure = inner.below(wire.Span{End: len(element)}, path)
			return failure == nil
		})
		return failure
	}
	return nil
}

// annotated notes the annotation of the schema at the span, if it has one.
func (r *reader) annotated(at wire.Span, path []string, reachable bool) error {
	value, err := one(r.tool, at, annotation)
	if err != nil || value.Empty() {
		return err
	}
	where := strings.Join(path, ".")
	if len(where) > 100 {
		where = where[:100] + "..."
	}
	if !reachable || len(path) == 0 {
		return fmt.Errorf("%s at %q: only properties, and properties of such, may have it", annotation, where)
	}
	kind, err := one(r.tool, at, "type")
	if err != nil {
		return err
	}
	p := Param{Path: path, Type: text(kind.Of(r.tool))}
	if p.Type != "string" && p.Type != "integer" && p.Type != "boolean" {
		return fmt.Errorf("%s at %q: the property's type must be string, integer or boolean", annotation, where)
	}
	name := text(value.Of(r.tool))
	if !isToken(name) {
		return fmt.Errorf("%s at %q: it must be a string that can be part of a header's name", annotation, where)
	}
	p.Name = mcp.HeaderParam + name
	for i := range r.params {
		if strings.EqualFold(r.params[i].Name, p.Name) {
			return fmt.Errorf("%s at %q: another property has %s already", annotation, where, p.Name)
		}
	}
	if len(r.params) == mostParams {
		return fmt.Errorf("%s stands at more than %d properties", annotation, mostParams)
	}
	r.params = append(r.params, p)
	return nil
}
