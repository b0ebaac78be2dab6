package wire

import (
	"hash/maphash"
	"slices"
)

// fewKeys is how many keys of an object are compared one by one. Messages have
// fewer; what has more is a crowd, and is hashed.
const fewKeys = 8

// keptSlots is the largest table that stays with a pooled scanner.
const keptSlots = 1 << 13

// seed makes the table's order unknown to whoever chooses the keys.
var seed = maphash.MakeSeed()

// keyRef is a key in the message: its raw body between the quotes.
type keyRef struct {
	start, end int
	escaped    bool
}

// keySet remembers the keys of one object that are no fields, to find the one
// that comes twice. It keeps offsets, not text: 8 bytes a key at most half
// full, so that two million keys in 16 MiB cost 32 MiB for the moment.
type keySet struct {
	n     int
	few   [fewKeys]keyRef
	slots []uint64 // offset<<tagBits | tag; 0 is free, offset 0 is no key's
}

const (
	tagBits = 24
	tagMask = 1<<tagBits - 1
)

// add remembers the key and tells whether it was there already. text is the
// key decoded.
func (k *keySet) add(s *scanner, ref keyRef, text []byte) (duplicate bool) {
	if k.n < fewKeys {
		for i := range k.few[:k.n] {
			if s.sameKey(k.few[i], text) {
				return true
			}
		}
		k.few[k.n] = ref
		k.n++
		return false
	}
	if k.n == fewKeys {
		k.slots = slices.Grow(k.slots[:0], 8*fewKeys)[:8*fewKeys]
		clear(k.slots)
		for _, old := range k.few {
			k.insert(s, old.start, s.keyText(old))
		}
	} else if 2*k.n >= len(k.slots) {
		k.rehash(s)
	}
	if !k.insert(s, ref.start, text) {
		return true
	}
	k.n++
	return false
}

// insert puts the key whose body starts at offset start into the table. false:
// it is there already.
func (k *keySet) insert(s *scanner, start int, text []byte) bool {
	h := maphash.Bytes(seed, text)
	tag := h >> (64 - tagBits)
	mask := uint64(len(k.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		slot := k.slots[i]
		if slot == 0 {
			k.slots[i] = uint64(start)<<tagBits | tag
			return true
		}
		if slot&tagMask == tag && s.sameKey(s.refAt(int(slot>>tagBits)), text) {
			return false
		}
	}
}

// rehash moves the keys to a table that is twice as large.
func (k *keySet) rehash(s *scanner) {
	old := k.slots
	k.slots = make([]uint64, 2*len(old))
	for _, slot := range old {
		if slot != 0 {
			ref := s.refAt(int(slot >> tagBits))
			k.insert(s, ref.start, s.keyText(ref))
		}
	}
}

// refAt reads again the key whose body starts at offset start.
func (s *scanner) refAt(start int) keyRef {
	end, escaped := str(s.msg, start)
	return keyRef{start, end - 1, escaped}
}

// keyText is the key decoded; valid until the next call.
func (s *scanner) keyText(ref keyRef) []byte {
	raw := s.msg[ref.start:ref.end]
	if !ref.escaped {
		return raw
	}
	s.other, _ = appendDecoded(s.other[:0], raw)
	return s.other
}

// sameKey tells whether the key at ref decodes to text.
func (s *scanner) sameKey(ref keyRef, text []byte) bool {
	return string(s.keyText(ref)) == string(text)
}
