package seal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"

	"sidegate/proxy/wire"
)

// AppendCanonical appends the value at the span so that the order of keys, the
// white space between tokens and the spelling of strings do not count; without
// the members named. What it makes is unambiguous, and no JSON. msg must have
// passed wire's scan. A request is spelt like this before anybody knows whether
// it will be parked, so plain values are copied and not decoded.
func AppendCanonical(dst, msg []byte, at wire.Span, without ...string) []byte {
	if at.Empty() {
		return append(dst, '{', '}') // no params and empty ones say the same
	}
	if msg[at.Start] != '{' {
		return appendPart(dst, plain(at.Of(msg)))
	}
	var room [8]member
	members := room[:0]
	for m := range wire.Members(msg, at) {
		if slices.Contains(without, string(m.Key)) {
			continue
		}
		key := m.Key
		if m.Value.Start-m.Whole.Start != len(key)+len(`"":`) { // it may be decoded, and valid no longer
			key = bytes.Clone(key)
		}
		members = append(members, member{key, m.Value})
	}
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(a.key, b.key) })
	dst = append(dst, '{')
	for _, m := range members {
		dst = appendPart(append(dst, ':'), m.key)
		dst = AppendCanonical(dst, msg, m.value)
	}
	return append(dst, '}')
}

// A member of an object.
type member struct {
	key   []byte // decoded
	value wire.Span
}

// appendPart appends a text so that it cannot run into the next.
func appendPart(dst, text []byte) []byte {
	return append(binary.AppendUvarint(append(dst, '='), uint64(len(text))), text...)
}

// mostDecoded bounds what is decoded of one value, in bytes: a longer one counts
// as it is written.
const mostDecoded = 64 << 10

// plain is a value that is no object, in one spelling: numbers as they came.
func plain(raw []byte) []byte {
	if len(raw) > mostDecoded {
		return raw
	}
	switch raw[0] {
	case '"':
		if bytes.IndexByte(raw, '\\') < 0 {
			return raw
		}
	case '[':
		if !bytes.ContainsAny(raw, "{\\ \t\r\n") {
			return raw
		}
	default:
		return raw
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if decoder.Decode(&value) != nil || encoder.Encode(value) != nil {
		return raw // deeper than the decoder goes: as it was written, then
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}
