package wire

import "bytes"

// Span is a half-open range of byte offsets into the scanned message.
type Span struct{ Start, End int }

// Empty tells that there is nothing there: no value ends at offset 0.
func (s Span) Empty() bool { return s.End == 0 }

// Of returns the bytes of msg that the span covers, nil for an empty one. They
// are part of msg and valid as long as it is.
func (s Span) Of(msg []byte) []byte {
	if s.Empty() {
		return nil
	}
	return msg[s.Start:s.End:s.End]
}

// Flatten replaces the line breaks between msg's tokens by spaces, in place,
// so that msg fits on one line. msg must have passed Scan: then no string
// holds a raw line break, and every one that is found stands between tokens.
func Flatten(msg []byte) {
	blank(msg, '\n')
	blank(msg, '\r')
}

// blank replaces every c in msg by a space.
func blank(msg []byte, c byte) {
	for {
		i := bytes.IndexByte(msg, c)
		if i < 0 {
			return
		}
		msg[i] = ' '
		msg = msg[i+1:]
	}
}

// AppendSplice appends msg to dst with the bytes at span at exchanged for
// with. A span whose Start is its End inserts.
func AppendSplice(dst, msg []byte, at Span, with []byte) []byte {
	dst = append(dst, msg[:at.Start]...)
	dst = append(dst, with...)
	return append(dst, msg[at.End:]...)
}

// Patch is one exchange of AppendPatched.
type Patch struct {
	At   Span
	With []byte
}

// AppendPatched appends msg to dst with every patch applied. The patches stand
// in the order of their spans, which must not overlap.
func AppendPatched(dst, msg []byte, patches ...Patch) []byte {
	done := 0
	for _, p := range patches {
		dst = append(dst, msg[done:p.At.Start]...)
		dst = append(dst, p.With...)
		done = p.At.End
	}
	return append(dst, msg[done:]...)
}
