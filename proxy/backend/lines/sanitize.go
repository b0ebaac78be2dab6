package lines

import (
	"unicode"
	"unicode/utf8"
)

// The control characters that begin a sequence for a terminal or end one.
const (
	bell   = 0x07
	escape = 0x1b
)

// Sanitize returns a copy of what is readable of a line: no escape sequence, no
// control character, nothing that turns the direction of writing, and valid
// UTF-8. A log is read on terminals, where those are orders.
func Sanitize(line []byte) (dst []byte) {
	for len(line) > 0 {
		if line[0] == escape {
			line = line[sequence(line):]
			continue
		}
		r, size := utf8.DecodeRune(line)
		switch {
		case r == '\t':
			dst = append(dst, ' ')
		case !unicode.IsControl(r) && !turns(r):
			dst = utf8.AppendRune(dst, r) // a bad byte is U+FFFD by now
		}
		line = line[size:]
	}
	return dst
}

// turns tells the characters that reorder what stands around them or break the
// line.
func turns(r rune) bool {
	switch {
	case r == 0x061c, r == 0x200e, r == 0x200f:
		return true
	case r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// sequence is the length of the escape sequence that line begins with (ECMA-48,
// section 5): control sequences such as colours up to their final byte, control
// strings such as titles up to their terminator, all others two bytes and
// their intermediates. One that is cut off goes to the end of the line.
func sequence(line []byte) int {
	if len(line) == 1 {
		return 1
	}
	switch c := line[1]; {
	case c == '[':
		return through(line, 2, func(c byte) bool { return c >= 0x40 && c <= 0x7e })
	case c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_':
		return controlString(line)
	case c >= 0x20 && c <= 0x2f:
		return through(line, 2, func(c byte) bool { return c >= 0x30 && c <= 0x7e })
	case c >= 0x30 && c <= 0x7e:
		return 2
	}
	return 1 // an escape character by itself
}

// through is the index after the first byte from i on that is the last.
func through(line []byte, i int, last func(byte) bool) int {
	for ; i < len(line); i++ {
		if last(line[i]) {
			return i + 1
		}
	}
	return len(line)
}

// controlString ends with BEL or ESC \; another ESC begins something else.
func controlString(line []byte) int {
	for i := 2; i < len(line); i++ {
		switch {
		case line[i] == bell:
			return i + 1
		case line[i] == escape && i+1 < len(line) && line[i+1] == '\\':
			return i + 2
		case line[i] == escape:
			return i
		}
	}
	return len(line)
}
