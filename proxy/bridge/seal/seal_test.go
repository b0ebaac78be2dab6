package seal

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

var state = State{Call: NewID(), Step: 7, Expires: time.UnixMilli(1_800_000_000_123)}

func TestRoundTrip(t *testing.T) {
	s, b := New(nil), Bind([]byte("ann"), []byte("tools/call"), []byte("{}"))
	text := s.Seal(state, b)
	if len(text) != textSize || strings.ContainsAny(text, `+/="\`) {
		t.Errorf("%d bytes, want %d of base64url: %s", len(text), textSize, text)
	}
	got, ok := s.Open([]byte(text), b)
	if !ok || got.Call != state.Call || got.Step != state.Step || !got.Expires.Equal(state.Expires) {
		t.Errorf("opened as %+v, %v; sealed was %+v", got, ok, state)
	}
	if text == s.Seal(state, b) {
		t.Error("one nonce was used twice")
	}
}

// TestEveryBitCounts: no bit of the text can be changed, and nothing added or
// cut.
func TestEveryBitCounts(t *testing.T) {
	s, b := New(nil), Binding{1}
	text := []byte(s.Seal(state, b))
	for i := range text {
		for bit := range 8 {
			altered := bytes.Clone(text)
			altered[i] ^= 1 << bit
			if _, ok := s.Open(altered, b); ok {
				t.Errorf("opens with bit %d of byte %d changed", bit, i)
			}
		}
		if _, ok := s.Open(text[:i], b); ok {
			t.Errorf("opens when it is cut to %d bytes", i)
		}
	}
	if _, ok := s.Open(append(text, 'A'), b); ok {
		t.Error("opens with a byte more")
	}
	if _, ok := s.Open(text, Binding{2}); ok {
		t.Error("opens for another request")
	}
}

func TestBind(t *testing.T) {
	bind := func(a, b, c string) Binding { return Bind([]byte(a), []byte(b), []byte(c)) }
	seen := map[Binding]bool{}
	for _, b := range []Binding{bind("a", "b", "c"), bind("ab", "", "c"), bind("a", "bc", ""), bind("", "ab", "c"), bind("a", "b", "d")} {
		if seen[b] {
			t.Error("two requests have one binding")
		}
		seen[b] = true
	}
}

func TestRotation(t *testing.T) {
	old, fresh := bytes.Repeat([]byte{1}, KeySize), bytes.Repeat([]byte{2}, KeySize)
	before, during, after := New([][]byte{old}), New([][]byte{fresh, old}), New([][]byte{fresh})
	b := Binding{1}
	opens := func(s *Sealer, text string) bool { _, ok := s.Open([]byte(text), b); return ok }
	if !opens(during, before.Seal(state, b)) || !opens(after, during.Seal(state, b)) {
		t.Error("while keys change, what was sealed before does not open")
	}
	if opens(after, before.Seal(state, b)) || opens(New(nil), before.Seal(state, b)) {
		t.Error("opens with another key")
	}
}

func TestCanonical(t *testing.T) {
	for _, row := range []struct{ object, want string }{
		{``, ``},
		{`{}`, ``},
		{`{"_meta":{}}`, ``},
		{`{ "b" : [1, 2.50, {"y":1,"x":90071992547409931}], "a": "\u0041", "_meta": 1 }`, `{"a":"A","b":[1,2.50,{"x":90071992547409931,"y":1}]}`},
	} {
		if got, ok := Canonical([]byte(row.object), "_meta"); !ok || string(got) != row.want {
			t.Errorf("%s: %s, %v; want %s", row.object, got, ok, row.want)
		}
	}
	if _, ok := Canonical([]byte(`[1]`)); ok {
		t.Error("an array is an object")
	}
}

// FuzzOpen: whatever comes, nothing opens that was not sealed.
func FuzzOpen(f *testing.F) {
	s, b := New(nil), Binding{1}
	good := s.Seal(state, b)
	f.Add([]byte(good[:len(good)-1] + "_"))
	f.Add([]byte(strings.Repeat("A", textSize)))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, ok := s.Open(text, b); ok && string(text) != good {
			t.Errorf("%q opens", text)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := New(nil)
	text := []byte(s.Seal(state, Binding{}))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Open(text, Binding{}); !ok {
			b.Fatal("does not open")
		}
	}
}
