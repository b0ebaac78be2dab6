package wire

// Elements goes through the batch msg, an array, and hands the bytes of each
// element to yield until that returns false. Elements are checked to be JSON
// one by one, so yield may have seen some before an error is returned; scan
// msg first to know it whole. An empty array is refused, and so is one with
// more than most elements, before the one too many is handed over.
// (JSON-RPC 2.0, section 6)
func Elements(msg []byte, most int, yield func(element []byte) bool) error {
	s := acquireScanner(msg)
	defer s.release()
	if s.elements(most, yield); s.err != nil {
		return s.err
	}
	return nil
}

func (s *scanner) elements(most int, yield func([]byte) bool) int {
	msg := s.msg
	i := s.token(0)
	if i >= len(msg) || msg[i] != '[' {
		return s.broken(BadEnvelope, "a batch is an array", i)
	}
	i = s.token(i + 1)
	if i < len(msg) && msg[i] == ']' {
		return s.broken(BadEnvelope, "an empty batch", i)
	}
	for n := 0; ; n++ {
		at := i
		if i = s.skip(i, 1); i < 0 {
			return i
		}
		if n >= most {
			return s.broken(BadEnvelope, "too many messages in a batch", at)
		}
		if !yield(msg[at:i:i]) {
			return i
		}
		i = s.token(i)
		if i >= len(msg) || msg[i] != ',' {
			break
		}
		i = s.token(i + 1)
	}
	if i >= len(msg) || msg[i] != ']' {
		return s.unexpected("a comma or bracket is missing", i)
	}
	if i = s.token(i + 1); i < len(msg) {
		return s.broken(NotJSON, "something stands after the message", i)
	}
	return i
}
