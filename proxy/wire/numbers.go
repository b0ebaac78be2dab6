package wire

// number reads the number at i. It returns the index after it and whether it
// is an integer, without fraction and exponent; where there is no valid number,
// end is negative and ^end the offset of what is wrong.
func number(msg []byte, i int) (end int, integer bool) {
	if i < len(msg) && msg[i] == '-' {
		i++
	}
	start := i
	i = digits(msg, i)
	if i == start || i-start > 1 && msg[start] == '0' {
		return ^start, false
	}
	if i < len(msg) && (msg[i] == '.' || msg[i]|0x20 == 'e') {
		return fraction(msg, i), false
	}
	return i, true
}

// fraction reads the fraction and the exponent at i, of which there is at
// least one.
func fraction(msg []byte, i int) (end int) {
	if msg[i] == '.' {
		start := i + 1
		if i = digits(msg, start); i == start {
			return ^i
		}
	}
	if i < len(msg) && msg[i]|0x20 == 'e' {
		i++
		if i < len(msg) && (msg[i] == '+' || msg[i] == '-') {
			i++
		}
		start := i
		if i = digits(msg, start); i == start {
			return ^i
		}
	}
	return i
}

// digits returns the index after the digits at i.
func digits(msg []byte, i int) int {
	for i < len(msg) && isDigit(msg[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }
