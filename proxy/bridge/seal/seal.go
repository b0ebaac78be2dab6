// Package seal seals what the gate gives a client to keep, so that what comes
// back is known to be the gate's own, whole, and meant for this very request.
// (2026-07-28, basic/patterns/mrtr, "Server Requirements")
//
// It knows bytes, JSON and keys, and nothing of calls.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"time"
)

// KeySize is the size of a key, in bytes.
const KeySize = 32

const (
	version  = 1
	keyName  = 4 // bytes of a key's name
	replica  = 8 // bytes of a process's name
	openPart = 1 + keyName + replica
	idSize   = 16
	inner    = idSize + 4 + 8             // the call, the step, the expiry
	sealed   = openPart + 12 + inner + 16 // with AES-GCM's nonce and tag
	textSize = (sealed*8 + 5) / 6         // base64url without padding
)

// State is what is sealed.
type State struct {
	Call    [idSize]byte // unguessable
	Step    uint32       // which of the call's questions it belongs to
	Expires time.Time    // to the millisecond
}

// A Binding is what a state is bound to: it opens only under the same one.
type Binding [sha256.Size]byte

// Bind makes a binding of a caller, a method, and canonical params. Each is told
// from the next by its length.
func Bind(caller, method, params []byte) (b Binding) {
	h := sha256.New()
	for _, part := range [][]byte{caller, method, params} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	h.Sum(b[:0])
	return b
}

// Canonical spells a JSON object in one way, without some of its members: keys
// in order, no white space, numbers as they came.
func Canonical(object []byte, without ...string) ([]byte, bool) {
	if len(object) == 0 {
		return nil, true
	}
	var all map[string]any
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	if decoder.Decode(&all) != nil {
		return nil, false
	}
	for _, name := range without {
		delete(all, name)
	}
	if len(all) == 0 {
		return nil, true // no params and empty ones say the same
	}
	text, err := json.Marshal(all)
	return text, err == nil
}

// A Sealer seals and opens. Its methods may be called from any goroutine.
type Sealer struct {
	keys    []key // the first seals, all open
	replica [replica]byte
}

type key struct {
	name [keyName]byte
	aead cipher.AEAD
}

// New makes a sealer with keys of KeySize bytes each: the first seals, all
// open. Without any it makes one that nobody else has.
func New(keys [][]byte) *Sealer {
	if len(keys) == 0 {
		own := make([]byte, KeySize)
		_, _ = rand.Read(own) // never fails
		keys = [][]byte{own}
	}
	s := &Sealer{}
	_, _ = rand.Read(s.replica[:])
	for _, k := range keys {
		block, err := aes.NewCipher(k)
		if err != nil || len(k) != KeySize {
			panic("BUG: a key to seal with must have 32 bytes")
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		sum := sha256.Sum256(append([]byte("sidegate key name\x00"), k...))
		s.keys = append(s.keys, key{[keyName]byte(sum[:keyName]), aead})
	}
	return s
}

// NewID makes an unguessable id of a call.
func NewID() (id [idSize]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// Seal returns the state as text: letters, digits, "-" and "_".
func (s *Sealer) Seal(st State, b Binding) string {
	k := s.keys[0]
	raw := make([]byte, 0, sealed)
	raw = append(raw, version)
	raw = append(raw, k.name[:]...)
	raw = append(raw, s.replica[:]...)
	plain := append(make([]byte, 0, inner), st.Call[:]...)
	plain = binary.BigEndian.AppendUint32(plain, st.Step)
	plain = binary.BigEndian.AppendUint64(plain, uint64(st.Expires.UnixMilli()))
	raw = k.aead.Seal(raw, nil, plain, additional(raw, b))
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Open returns what was sealed by this process, or by another one with a key of
// the same, for the same binding. It is false for everything else, whatever is
// wrong with it. Expiry is for the caller to look at.
func (s *Sealer) Open(text []byte, b Binding) (st State, ok bool) {
	if len(text) != textSize {
		return st, false
	}
	var raw [sealed]byte
	n, err := base64.RawURLEncoding.Strict().Decode(raw[:], text)
	if err != nil || n != sealed || raw[0] != version {
		return st, false
	}
	for _, k := range s.keys {
		if !bytes.Equal(raw[1:1+keyName], k.name[:]) {
			continue
		}
		plain, err := k.aead.Open(nil, nil, raw[openPart:], additional(raw[:openPart], b))
		if err != nil || len(plain) != inner {
			return st, false
		}
		copy(st.Call[:], plain)
		st.Step = binary.BigEndian.Uint32(plain[idSize:])
		st.Expires = time.UnixMilli(int64(binary.BigEndian.Uint64(plain[idSize+4:])))
		return st, true
	}
	return st, false
}

// additional is what is authenticated beside the state.
func additional(open []byte, b Binding) []byte {
	return append(append(make([]byte, 0, openPart+len(b)), open...), b[:]...)
}
