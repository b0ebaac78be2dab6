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
