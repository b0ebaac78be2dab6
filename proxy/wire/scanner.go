package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync"
)

// maxDepth is how deep arrays and objects may nest, the message itself being
// the first.
const maxDepth = 128

// scanner is the state of one pass. Its methods that read take the index of
// what they read and return the index after it; a negative index means that
// the message is no JSON and that s.err says why. What is JSON but no
// acceptable envelope is noted in s.err as well, and the pass goes on: a
// message is called bad only if it is not broken further on.
type scanner struct {
	msg     []byte
	err     *SyntaxError
	newline bool // a line break stands between tokens

	seen    uint32       // bit f: field f was there
	spans   [fields]Span // of the fields' values, where seen
	again   uint32       // bit f: field f came twice
	escaped uint32       // bit f: field f is a string with escapes

	keys  [levels]keySet
	key   []byte // the key being read, decoded if it was escaped
	other []byte // the key it is compared with, likewise
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

// keptScratch is how many bytes of a scratch slice stay with a pooled scanner
// or an envelope.
const keptScratch = 4 << 10

func acquireScanner(msg []byte) *scanner {
	s := scanners.Get().(*scanner)
	s.msg = msg
	return s
}

// release forgets the message and all that was made of it.
func (s *scanner) release() {
	s.msg = nil
	s.err = nil
	s.newline = false
	s.seen = 0
	s.again = 0
	s.escaped = 0
	for i := range s.keys {
		if cap(s.keys[i].slots) > keptSlots {
			s.keys[i].slots = nil
		}
	}
	s.key = kept(s.key)
	s.other = kept(s.other)
	scanners.Put(s)
}

// kept is scratch emptied, or nil if it has become too large to keep.
func kept(scratch []byte) []byte {
	if cap(scratch) > keptScratch {
		return nil
	}
	return scratch[:0]
}

// broken ends the pass: what stands at offset i is not JSON, or must not be
// read on.
func (s *scanner) broken(class Class, reason string, i int) int {
	s.err = &SyntaxError{class, reason, min(i, len(s.msg))}
	return -1
}

// unexpected ends the pass at offset i, where something else was needed.
//
//go:noinline
func (s *scanner) unexpected(reason string, i int) int {
	if i >= len(s.msg) {
		reason = "unexpected end of the message"
	}
	return s.broken(NotJSON, reason, i)
}

// note keeps the first thing that is wrong with the envelope.
func (s *scanner) note(reason string, i int) {
	if s.err == nil {
		s.err = &SyntaxError{BadEnvelope, reason, i}
	}
}

// has tells whether field f was there.
func (s *scanner) has(f field) bool { return s.seen&(1<<f) != 0 }

// token returns the index of the next token: the first byte from i on that is
// no white space. Mostly there is none to pass.
func (s *scanner) token(i int) int {
	if i < len(s.msg) && s.msg[i] <= ' ' {
		return s.space(i)
	}
	return i
}

// space is token where there is white space.
//
//go:noinline
func (s *scanner) space(i int) int {
	msg := s.msg
	for ; i < len(msg); i++ {
		switch msg[i] {
		case '\n', '\r':
			s.newline = true
		case ' ':
			for i < len(msg)-wordBytes && binary.LittleEndian.Uint64(msg[i+1:]) == spaces {
				i += wordBytes
			}
		case '\t':
		default:
			return i
		}
	}
	return i
}

// message reads the whole message: one value and nothing after it.
func (s *scanner) message() (at Span, ok bool) {
	if uint64(len(s.msg)) > math.MaxUint32 { // offsets of keys are kept in 32 bits
		s.broken(BadEnvelope, "longer than 4 GiB", 0)
		return at, false
	}
	at.Start = s.token(0)
	if at.Start < len(s.msg) && s.msg[at.Start] == '{' {
		at.End = s.object(at.Start, topLevel, 1)
	} else {
		at.End = s.skip(at.Start, 0)
	}
	if at.End < 0 {
		return at, false
	}
	if i := s.token(at.End); i < len(s.msg) {
		s.broken(NotJSON, "something stands after the message", i)
		return at, false
	}
	return at, true
}

// object reads the object at i, itself at the given depth, member by member.
func (s *scanner) object(i int, lv level, depth int) int {
	msg := s.msg
	s.keys[lv].n = 0
	if i = s.token(i + 1); i < len(msg) && msg[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(msg) || msg[i] != '"' {
			return s.unexpected("a key is missing", i)
		}
		end, escaped := str(msg, i+1)
		if end < 0 {
			return s.badString(end)
		}
		f := fieldOf(lv, msg[i+1:end-1])
		if f == unread || s.has(f) {
			f = s.judgeKey(lv, keyRef{i + 1, end - 1, escaped})
		}
		if i = s.colon(end); i < 0 {
			return i
		}
		if i = s.value(i, f, depth); i < 0 {
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

// value reads the value at i of field f in an object at the given depth.
func (s *scanner) value(i int, f field, depth int) int {
	if f == unread || i >= len(s.msg) {
		return s.skip(i, depth)
	}
	at := i
	s.seen |= 1 << f
	s.spans[f] = Span{} // until the value has been read
	switch s.msg[i] {
	case '"':
		end, escaped := str(s.msg, i+1)
		if end < 0 {
			return s.badString(end)
		}
		if i = end; escaped {
			s.escaped |= 1 << f
		}
	case '{':
		i = s.fieldObject(i, f, depth)
	default:
		i = s.skip(i, depth)
	}
	if i >= 0 {
		s.spans[f] = Span{at, i}
	}
	return i
}

// fieldObject reads the object at i, which is the value of field f.
func (s *scanner) fieldObject(i int, f field, depth int) int {
	if lv, read := levelOf(f); read {
		return s.object(i, lv, depth+1)
	}
	return s.skip(i, depth)
}

// colon returns the index of the value that follows the key before i.
func (s *scanner) colon(i int) int {
	if i = s.token(i); i >= len(s.msg) || s.msg[i] != ':' {
		return s.unexpected("a colon is missing", i)
	}
	return s.token(i + 1)
}

// badString ends the pass for what str returned.
func (s *scanner) badString(end int) int {
	s.err = stringError(s.msg, ^end)
	return -1
}

// judgeKey notes what is wrong with a key and returns the field it names. It
// sees the keys that are not simply a field's for the first time.
func (s *scanner) judgeKey(lv level, ref keyRef) field {
	text := s.msg[ref.start:ref.end]
	if ref.escaped {
		text = s.decodeKey(ref)
	}
	f := fieldOf(lv, text)
	switch {
	case f != unread:
		if s.has(f) {
			s.again |= 1 << f
			s.note("a key stands twice", ref.start)
		}
	case alike(lv, text):
		s.note("a key differs only in case from one that is read", ref.start)
	case s.err == nil && s.keys[lv].add(s, ref, text):
		s.note("a key stands twice", ref.start)
	}
	return f
}

// decodeKey decodes a key with escapes; valid until the next one.
func (s *scanner) decodeKey(ref keyRef) []byte {
	text, ok := appendDecoded(s.key[:0], s.msg[ref.start:ref.end])
	s.key = text
	if !ok {
		s.note("a lone surrogate in a key", ref.start)
	}
	if bytes.IndexByte(text, 0) >= 0 {
		s.note("a NUL in a key", ref.start)
	}
	return text
}
