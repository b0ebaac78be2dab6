package wire

// What is below the levels that are read is skipped: checked to be JSON, and
// not looked at. skip, skipObject and skipArray call each other no deeper than
// maxDepth.

// skip reads the value at i, which stands inside depth containers.
func (s *scanner) skip(i, depth int) int {
	msg := s.msg
	if i >= len(msg) {
		return s.unexpected("a value is missing", i)
	}
	switch c := msg[i]; c {
	case '"':
		end, _ := str(msg, i+1)
		if end < 0 {
			return s.badString(end)
		}
		return end
	case '{':
		return s.skipObject(i, depth+1)
	case '[':
		return s.skipArray(i, depth+1)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		if c != '-' && !isDigit(c) {
			return s.unexpected("a value is missing", i)
		}
		end, _ := number(msg, i)
		if end < 0 {
			return s.unexpected("a malformed number", ^end)
		}
		return end
	}
}

// literal reads the word that must stand at i.
func (s *scanner) literal(i int, word string) int {
	end := i + len(word)
	if end > len(s.msg) || string(s.msg[i:end]) != word {
		return s.unexpected("a value is missing", i)
	}
	return end
}

// skipObject reads the object at i, itself at the given depth.
func (s *scanner) skipObject(i, depth int) int {
	if depth > maxDepth {
		return s.broken(BadEnvelope, "nested too deeply", i)
	}
	msg := s.msg
	if i = s.token(i + 1); i < len(msg) && msg[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(msg) || msg[i] != '"' {
			return s.unexpected("a key is missing", i)
		}
		end, _ := str(msg, i+1)
		if end < 0 {
			return s.badString(end)
		}
		if i = s.colon(end); i < 0 {
			return i
		}
		if i = s.skip(i, depth); i < 0 {
			return i
		}
		if i = s.token(i); i >= len(msg) || msg[i] != ',' {
			break
		}
		i = s.token(i + 1)
	}
	if i >= len(msg) || msg[i] != '}' {
		return s.unexpected("a comma or brace is missing", i)
	}
	return i + 1
}

// skipArray reads the array at i, itself at the given depth.
func (s *scanner) skipArray(i, depth int) int {
	if depth > maxDepth {
		return s.broken(BadEnvelope, "nested too deeply", i)
	}
	msg := s.msg
	if i = s.token(i + 1); i < len(msg) && msg[i] == ']' {
		return i + 1
	}
	for {
		if i = s.skip(i, depth); i < 0 {
			return i
		}
		if i = s.token(i); i >= len(msg) || msg[i] != ',' {
			break
		}
		i = s.token(i + 1)
	}
	if i >= len(msg) || msg[i] != ']' {
		return s.unexpected("a comma or bracket is missing", i)
	}
	return i + 1
}
