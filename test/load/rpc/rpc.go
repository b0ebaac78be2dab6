// Package rpc is as much of JSON-RPC as the load harness needs, at a cost that
// does not show beside what is measured: finding members of an object without
// decoding it. It trusts its input to be JSON, and shares no code with the
// gate, whose answers it is used to judge.
package rpc

import "bytes"

// Member is the raw value of a member of the object in b, nil where there is
// none. It points into b.
func Member(b []byte, name string) []byte {
	for key, value := range Members(b) {
		if string(key) == name {
			return value
		}
	}
	return nil
}

// Members are the members of the object in b in their order: names as they
// are spelt, without quotes, and raw values. They point into b.
func Members(b []byte) func(yield func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		i := space(b, 0)
		if i >= len(b) || b[i] != '{' {
			return
		}
		for i = space(b, i+1); i < len(b) && b[i] == '"'; i = space(b, i+1) {
			end := text(b, i)
			name := b[i+1 : max(end-1, i+1)]
			i = space(b, end)
			if i >= len(b) || b[i] != ':' {
				return
			}
			start := space(b, i+1)
			i = skip(b, start)
			if !yield(name, b[start:i]) {
				return
			}
			i = space(b, i)
			if i >= len(b) || b[i] != ',' {
				return
			}
		}
	}
}

// Text is what stands between the quotes of a raw string, escapes as they are;
// nil where the value is no string.
func Text(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	return value[1 : len(value)-1]
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// text returns where the string that begins at i ends, behind its quote.
func text(b []byte, i int) int {
	for i++; i < len(b); {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b)
		}
		end := i + n
		slashes := 0
		for end-1-slashes >= i && b[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end + 1
		}
		i = end + 1
	}
	return len(b)
}

// skip returns where the value that begins at i ends.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return i
	}
	switch b[i] {
	case '"':
		return text(b, i)
	case '{', '[':
		return nested(b, i)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

func nested(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = text(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
	return i
}
