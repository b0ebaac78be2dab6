package wire

import "bytes"

// isInteger tells whether a number is one without fraction and exponent, of
// whatever length: 9007199254740993 must come back as it was.
func isInteger(token []byte) bool {
	if len(token) == 0 || token[0] != '-' && !isDigit(token[0]) {
		return false
	}
	end, integer := number(token, 0)
	return end == len(token) && integer
}

// soundText tells whether the body of a valid string holds no lone surrogate.
func soundText(body []byte) bool {
	if bytes.IndexByte(body, '\\') < 0 {
		return true
	}
	var text [64]byte
	_, ok := appendDecoded(text[:0], body)
	return ok
}

// validID tells whether raw bytes are an id: an integer or a sound string.
func validID(token []byte) bool {
	if len(token) < 2 || token[0] != '"' {
		return isInteger(token)
	}
	end, _ := str(token, 1)
	return end == len(token) && soundText(token[1:end-1])
}

// SameID tells whether two raw ids or tokens are one: strings may be spelt in
// more than one way, as by JSON libraries that escape what others do not.
func SameID(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0 {
		return false
	}
	return bytes.Equal(AppendPlainID(nil, a), AppendPlainID(nil, b))
}

// AppendPlainID appends a raw id or token in one spelling for all that are the
// same: a string with nothing in it escaped. It is for comparing, and not for
// sending. The id must have passed Scan.
func AppendPlainID(dst, id []byte) []byte {
	if len(id) < 2 || id[0] != '"' || bytes.IndexByte(id, '\\') < 0 {
		return append(dst, id...)
	}
	dst = append(dst, '"')
	dst, _ = appendDecoded(dst, id[1:len(id)-1])
	return append(dst, '"')
}
