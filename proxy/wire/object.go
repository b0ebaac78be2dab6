package wire

import "iter"

// A Member is one member of an object in a message.
type Member struct {
	Key   []byte // decoded; valid until the next member
	Whole Span   // from the key's first quote to the value's last byte
	Value Span   // raw value
}

// Members goes through the members of the object at the span, in their order.
// msg must have passed Scan; where the span holds no object there are none. It
// looks at one level only: objects below those that Scan reads may repeat keys.
func Members(msg []byte, object Span) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		if object.Empty() || msg[object.Start] != '{' {
			return
		}
		s := acquireScanner(msg)
		defer s.release()
		for i := s.token(object.Start + 1); i < object.End && msg[i] == '"'; i = s.token(i + 1) {
			m, end := s.member(i)
			if end < 0 || !yield(m) {
				return
			}
			if i = s.token(end); i >= object.End || msg[i] != ',' {
				return
			}
		}
	}
}

// member reads the member whose key begins at i.
func (s *scanner) member(i int) (m Member, end int) {
	end, escaped := str(s.msg, i+1)
	if end < 0 {
		return m, -1
	}
	m.Key = s.keyText(keyRef{i + 1, end - 1, escaped})
	value := s.colon(end)
	if value < 0 {
		return m, -1
	}
	if end = s.skip(value, 0); end < 0 {
		return m, -1
	}
	m.Whole, m.Value = Span{i, end}, Span{value, end}
	return m, end
}

// Find returns the raw value of a member of the object at the span, an empty
// span where there is none. msg must have passed Scan.
func Find(msg []byte, object Span, key string) Span {
	for m := range Members(msg, object) {
		if string(m.Key) == key {
			return m.Value
		}
	}
	return Span{}
}

// AppendObject appends the object at the span to dst, rewritten: edit is asked
// for each member and returns the raw value that it is to have, nil to leave it
// out; add, unless it is empty, is raw members that follow, joined by commas.
// Values that edit returns as they were are copied byte by byte. Where the span
// holds no object there is nothing but add. msg must have passed Scan.
func AppendObject(dst, msg []byte, object Span, edit func(Member) []byte, add string) []byte {
	dst = append(dst, '{')
	first := true
	for m := range Members(msg, object) {
		value := edit(m)
		if value == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, msg[m.Whole.Start:m.Value.Start]...)
		dst = append(dst, value...)
	}
	if add != "" && !first {
		dst = append(dst, ',')
	}
	dst = append(dst, add...)
	return append(dst, '}')
}
