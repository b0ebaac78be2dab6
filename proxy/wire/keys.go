package wire

import "hash/maphash"

// fewKeys is how many keys of an object are compared one by one. Messages have
// fewer; what has more is a crowd, and is hashed.
const fewKeys = 8

// A table starts with minSlots. The largest that stays with a pooled scanner
// has keptSlots, so that objects of up to 1024 keys cost no allocation.
const (
	minSlots  = 8 * fewKeys
	keptSlots = 1 << 11
)

// seed makes the table's order unknown to whoever chooses the keys.
var seed = maphash.MakeSeed()

// keyRef is a key in the message: its raw body between the quotes.
type keyRef struct {
	start, end int
	escaped    bool
}

// keySet remembers the keys of one object that are no fields, to find the one
// that comes twice. It keeps offsets and no text, in slots of 8 bytes of which
// at most half are used: two million keys in 16 MiB cost 32 MiB, and half of
// that again while the table grows.
type keySet struct {
	n     int
	few   [fewKeys]keyRef
	slots []slot // as many as a power of two
}

// slot is a key in the table: its hash in the upper half, the offset of its
// body in the lower. 0 is free, since no key's body is at offset 0.
type slot uint64

func (s slot) hash() uint32 { return uint32(s >> 32) }
func (s slot) start() int   { return int(uint32(s)) }

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
		k.open(s)
	} else if 2*k.n >= len(k.slots) {
		k.double()
	}
	hash := hashKey(text)
	i := k.first(hash)
	for ; k.slots[i] != 0; i = k.next(i) {
		if k.slots[i].hash() == hash && s.sameKey(s.refAt(k.slots[i].start()), text) {
			return true
		}
	}
	k.slots[i] = slot(hash)<<32 | slot(ref.start)
	k.n++
	return false
}

// open begins the table with the few keys there were.
func (k *keySet) open(s *scanner) {
	if k.slots == nil {
		k.slots = make([]slot, minSlots)
	}
	clear(k.slots) // what an earlier object left
	for _, ref := range k.few {
		k.place(slot(hashKey(s.keyText(ref)))<<32 | slot(ref.start))
	}
}

// double moves the keys to a table that is twice as large, without a look at
// the message. Both tables are passed from front to back, because a slot's
// place is by the upper bits of its hash.
func (k *keySet) double() {
	old := k.slots
	k.slots = make([]slot, 2*len(old))
	for _, key := range old {
		if key != 0 {
			k.place(key)
		}
	}
}

// place puts a key that is not there yet into the table.
func (k *keySet) place(key slot) {
	i := k.first(key.hash())
	for k.slots[i] != 0 {
		i = k.next(i)
	}
	k.slots[i] = key
}

// first is where the search for a hash begins, next where it goes on.
func (k *keySet) first(hash uint32) int { return int(uint64(hash) * uint64(len(k.slots)) >> 32) }
func (k *keySet) next(i int) int        { return (i + 1) & (len(k.slots) - 1) }

func hashKey(text []byte) uint32 { return uint32(maphash.Bytes(seed, text) >> 32) }

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
