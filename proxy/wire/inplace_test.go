package wire

import (
	"strings"
	"testing"
)

// In place or appended, the same must come out, whether the memory has room or
// must grow.
func TestBufferSplice(t *testing.T) {
	msg := `{"id":123,"method":"m","params":"` + strings.Repeat("x", 950) + `"}`
	for _, with := range []string{``, `1`, `123`, `"a longer one"`, `"` + strings.Repeat("y", 100) + `"`} {
		for _, at := range []Span{{6, 9}, {0, 0}, {0, 3}, {len(msg) - 1, len(msg)}, {len(msg), len(msg)}} {
			b := Acquire(len(msg))
			b.B = append(b.B, msg...)
			b.Splice(at, []byte(with))
			if want := AppendSplice(nil, []byte(msg), at, []byte(with)); string(b.B) != string(want) {
				t.Errorf("%.20q at %v: %q, want %q", with, at, b.B, want)
			}
			b.Release()
		}
	}
}

func TestDischarge(t *testing.T) {
	p := &purse{limit: 100}
	b := Acquire(10)
	b.B = append(b.B, "text"...)
	b.Charge(p, 4)
	b.Discharge()
	b.Discharge()
	if p.held != 0 || string(b.B) != "text" {
		t.Errorf("%d bytes held and %q in the buffer, want 0 and the text as it was", p.held, b.B)
	}
}

func TestChargeUpTo(t *testing.T) {
	p := &purse{limit: 10}
	b := Acquire(10)
	steps := []struct {
		total, held int64
		ok          bool
	}{{4, 4, true}, {4, 4, true}, {3, 4, true}, {10, 10, true}, {11, 10, false}}
	for _, s := range steps {
		if ok := b.ChargeUpTo(p, s.total); ok != s.ok || p.held != s.held {
			t.Errorf("up to %d: %t with %d held, want %t with %d", s.total, ok, p.held, s.ok, s.held)
		}
	}
	b.Release()
	if p.held != 0 {
		t.Errorf("%d bytes stay charged", p.held)
	}
}

func TestFit(t *testing.T) {
	p := &purse{limit: 10_000}
	for _, tt := range []struct {
		name     string
		size     int // of the buffer
		text     string
		isItself bool
	}{
		{"a small message in a large buffer", 64 << 10, "small", false},
		{"a message that fills its buffer", 1 << 10, strings.Repeat("x", 1000), true},
		{"nothing", 64 << 10, "", false},
	} {
		b := Acquire(tt.size)
		b.B = append(b.B, tt.text...)
		b.Charge(p, 1000)
		fit := b.Fit()
		if (fit == b) != tt.isItself || string(fit.B) != tt.text || cap(fit.B) >= 2*len(fit.B)+64 || p.held != 1000 {
			t.Errorf("%s: itself %t, %d bytes in %d, %d held", tt.name, fit == b, len(fit.B), cap(fit.B), p.held)
		}
		fit.Release()
		if p.held != 0 {
			t.Errorf("%s: %d bytes stay charged", tt.name, p.held)
		}
	}
}
