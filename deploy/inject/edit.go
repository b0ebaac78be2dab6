package inject

import (
	"fmt"
	"slices"
)

// A path leads from a document's root to a value: keys and indexes.
type path []any

func (p path) to(steps ...any) path { return append(slices.Clip(p), steps...) }

// An edit is one change, told of values; what it does to the text is found out
// from where the value stands.
type edit struct {
	do    operation
	at    path   // the mapping, the list or the scalar
	key   string // for set and rename
	value any    // plain: maps, lists, scalars; a list for prepend
	text  any    // value as it is to be written, with its order of keys
}

type operation int

const (
	set     operation = iota // give the mapping at.key, which it does not have
	prepend                  // put items before those of the list
	replace                  // exchange the scalar, or a null for anything
	rename                   // exchange the key of at's last step for key
)

// applied returns root with the edits made, each in one place: what the edited
// text must mean. root is plain values without anything shared, and is used
// up.
func applied(root any, edits []edit) (any, error) {
	var err error
	for _, e := range edits {
		if root, err = e.apply(root, e.at); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func (e *edit) apply(value any, rest path) (any, error) {
	if len(rest) == 0 {
		return e.applyHere(value)
	}
	switch v := value.(type) {
	case map[string]any:
		key, ok := rest[0].(string)
		inner, there := v[key]
		if !ok || !there {
			return nil, fmt.Errorf("there is no %v", e.at)
		}
		if e.do == rename && len(rest) == 1 {
			delete(v, key)
			v[e.key] = inner
			return v, nil
		}
		changed, err := e.apply(inner, rest[1:])
		v[key] = changed
		return v, err
	case []any:
		i, ok := rest[0].(int)
		if !ok || i >= len(v) {
			return nil, fmt.Errorf("there is no %v", e.at)
		}
		changed, err := e.apply(v[i], rest[1:])
		v[i] = changed
		return v, err
	}
	return nil, fmt.Errorf("there is no %v", e.at)
}

func (e *edit) applyHere(value any) (any, error) {
	switch v := value.(type) {
	case map[string]any:
		if _, there := v[e.key]; e.do == set && !there {
			v[e.key] = e.value
			return v, nil
		}
	case []any:
		if items, ok := e.value.([]any); ok && e.do == prepend {
			return append(slices.Clip(items), v...), nil
		}
	default:
		if e.do == replace {
			return e.value, nil
		}
	}
	return nil, fmt.Errorf("%v cannot be edited", e.at)
}
