package wire

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Masks with one pattern in each of the eight bytes of a word.
const (
	ones      = 0x0101010101010101
	highs     = 0x80 * ones
	spaces    = ' ' * ones
	quotes    = '"' * ones
	slashes   = '\\' * ones
	wordBytes = 8
)

// special marks, by its high bit, the first byte of w that is not plain string
// text: a quote, a backslash, a control character, or a byte past ASCII. Marks
// above the first may be false, because a subtraction borrows from the next
// byte.
//
// Exchanging 0x20 with 0x22 and 0x21 with 0x23 puts the quote right after the
// control characters, so that one subtraction finds both. A byte past ASCII is
// marked as it is, whatever the other tests make of it.
func special(w uint64) uint64 {
	return (w | ((w ^ 0x02*ones) - 0x21*ones) | ((w ^ slashes) - ones)) & highs
}

// str reads the string whose body starts at i. It returns the index after the
// closing quote and whether the body holds escapes; where the string is not
// valid, end is negative and ^end is the offset of what is wrong with it.
//
// Most bytes of a message pass here, a word at a time up to the next special
// byte; the usual ones are dealt with in place.
func str(msg []byte, i int) (end int, escaped bool) {
	for i >= 0 && i <= len(msg)-wordBytes { // in this form no bounds check is left
		w := binary.LittleEndian.Uint64(msg[i:])
		m := special(w)
		if m == 0 {
			i += wordBytes
			continue
		}
		at := bits.TrailingZeros64(m) &^ 7
		i += at / 8
		switch c := byte(w >> at); {
		case c == '"':
			return i + 1, escaped
		case c == '\\' && i+1 < len(msg) && simpleEscape[msg[i+1]]:
			escaped = true
			i += 2
		default:
			escaped = escaped || c == '\\'
			i = step(msg, i)
		}
	}
	return strTail(msg, i, escaped)
}

// strTail is str where less than a word is left of the message, or where i is
// what step returned for something that is not valid.
func strTail(msg []byte, i int, escaped bool) (end int, _ bool) {
	for i >= 0 && i < len(msg) {
		c := msg[i]
		if c == '"' {
			return i + 1, escaped
		}
		escaped = escaped || c == '\\'
		i = step(msg, i)
	}
	if i >= 0 {
		i = ^len(msg)
	}
	return i, escaped
}

// step returns the index after the character or escape at i, or after several
// of its kind; ^i if it is not valid.
func step(msg []byte, i int) int {
	switch c := msg[i]; {
	case c >= utf8.RuneSelf:
		return multibytes(msg, i)
	case c == '\\':
		return escape(msg, i)
	case c < ' ':
		return ^i
	}
	return i + 1
}

// stringError says what str found wrong at offset i.
func stringError(msg []byte, i int) *SyntaxError {
	switch {
	case i >= len(msg):
		return &SyntaxError{NotJSON, "a string without an end", i}
	case msg[i] == '\\':
		return &SyntaxError{NotJSON, "an escape that JSON does not have", i}
	case msg[i] >= utf8.RuneSelf:
		return &SyntaxError{BadEnvelope, "invalid UTF-8", i}
	}
	return &SyntaxError{NotJSON, "a raw control character in a string", i}
}

// simpleEscape holds what may follow a backslash by itself.
var simpleEscape = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// escape returns the index after the escape at i, or after several \uXXXX in a
// row; ^i if what stands there is none.
func escape(msg []byte, i int) int {
	if i+1 < len(msg) && simpleEscape[msg[i+1]] {
		return i + 2
	}
	for {
		if i > len(msg)-6 || msg[i+1] != 'u' || hex4(msg[i+2:]) < 0 {
			return ^i
		}
		i += 6
		if i > len(msg)-2 || msg[i] != '\\' || msg[i+1] != 'u' {
			return i
		}
	}
}

// hex4 is the number that four hexadecimal digits make, negative if one of
// them is none.
func hex4(b []byte) rune {
	_ = b[3]
	return rune(hexDigit[b[0]])<<12 | rune(hexDigit[b[1]])<<8 | rune(hexDigit[b[2]])<<4 | rune(hexDigit[b[3]])
}

// hexDigit is the value of a hexadecimal digit, -1 for any other byte.
var hexDigit = func() (t [256]int8) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9':
			t[c] = int8(c - '0')
		case 'a' <= c && c <= 'f':
			t[c] = int8(c - 'a' + 10)
		case 'A' <= c && c <= 'F':
			t[c] = int8(c - 'A' + 10)
		default:
			t[c] = -1
		}
	}
	return t
}()

// multibytes returns the index after the UTF-8 sequences past ASCII from i on,
// of which there is at least one, or the inverse of the index of the one that
// is overlong, a surrogate, past U+10FFFF, or cut.
func multibytes(msg []byte, i int) int {
	// One load a sequence, the lead byte lowest. The first mask of each test
	// checks the shape, the others the bits that must not all be zero
	// (overlong) or that are at a bound (surrogates, U+10FFFF).
	for i >= 0 && i <= len(msg)-4 {
		w := binary.LittleEndian.Uint32(msg[i:])
		switch {
		case w&0x80 == 0:
			return i
		case w&0xC0C0F0 == 0x8080E0 && w&0x200F != 0 && w&0x200F != 0x200D:
			i += 3
		case w&0xC0E0 == 0x80C0 && w&0x1E != 0:
			i += 2
		case w&0xC0C0C0F8 == 0x808080F0 && w&0x3007 != 0 && (w&0x4 == 0 || w&0x3003 == 0):
			i += 4
		default:
			return ^i
		}
	}
	for i < len(msg) && msg[i] >= utf8.RuneSelf {
		r, n := utf8.DecodeRune(msg[i:])
		if r == utf8.RuneError && n == 1 {
			return ^i
		}
		i += n
	}
	return i
}

// appendDecoded appends the text that the body of a valid string stands for.
// ok is false if it holds an escaped surrogate without its partner, which
// stands for no text at all.
func appendDecoded(dst, body []byte) (text []byte, ok bool) {
	for i := 0; i < len(body); {
		c := body[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		if body[i+1] != 'u' {
			dst = append(dst, unescape(body[i+1]))
			i += 2
			continue
		}
		r := hex4(body[i+2:])
		i += 6
		if utf16.IsSurrogate(r) {
			if i+6 > len(body) || body[i] != '\\' || body[i+1] != 'u' {
				return dst, false
			}
			if r = utf16.DecodeRune(r, hex4(body[i+2:])); r == utf8.RuneError {
				return dst, false
			}
			i += 6
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, true
}

// unescape is what a backslash and c stand for, c being none of u's.
func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
