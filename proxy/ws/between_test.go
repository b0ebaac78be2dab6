package ws

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// shut is a source that must not be asked for more than it has.
type shut struct {
	t    *testing.T
	rest []byte
}

func (s *shut) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		s.t.Error("the source was asked for what it does not have")
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// frame is a masked frame, as a client sends it.
func frame(head byte, payload string) []byte {
	mask := [4]byte{1, 2, 3, 4}
	b := append([]byte{head, byte(0x80 | len(payload))}, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// collected is a sink.
type collected struct{ bytes.Buffer }

func (c *collected) Copy(p []byte) { c.Write(p) }
func (c *collected) Add(p []byte)  { c.Write(p) }

func TestBetween(t *testing.T) {
	ping, pong, text := frame(0x89, "hello"), frame(0x8a, ""), frame(0x81, "{}")
	long := frame(0x89, strings.Repeat("x", 125))
	unmasked := []byte{0x89, 0}
	for _, c := range []struct {
		name string
		sent []byte
		left int // bytes that Next is to judge
		says string
	}{
		{"nothing", nil, 0, ""},
		{"a pong", pong, 0, ""},
		{"a ping", ping, 0, "\x8a\x05hello"},
		{"several", bytes.Join([][]byte{pong, ping, pong, long}, nil), 0, "\x8a\x05hello\x8a\x7d" + strings.Repeat("x", 125)},
		{"and a message", bytes.Join([][]byte{ping, text, ping}, nil), len(text) + len(ping), "\x8a\x05hello"},
		{"a part of one", ping[:7], 7, ""},
		{"a part of a head", ping[:1], 1, ""},
		{"one without a mask", unmasked, 2, ""},
		{"one that is not the last", frame(0x09, ""), 6, ""},
		{"one that is too long", append([]byte{0x89, 0xfe, 0, 126}, make([]byte, 130)...), 134, ""},
		{"one with a reserved bit", frame(0xc9, ""), 6, ""},
		{"a goodbye", frame(0x88, ""), 6, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := &shut{t, nil}
			conn, _, err := Accept(source, Handshake{Key: "dGhlIHNhbXBsZSBub25jZQ=="}, Options{MaxMessage: 1 << 10})
			if err != nil {
				t.Fatal(err)
			}
			source.rest = c.sent
			if err := conn.Between(len(source.rest)); err != nil {
				t.Fatal(err)
			}
			if left := conn.Buffered() + len(source.rest); left != c.left {
				t.Errorf("%d bytes are left, want %d", left, c.left)
			}
			var said collected
			conn.Control(&said, false)
			if said.String() != c.says {
				t.Errorf("it says %q, want %q", said.String(), c.says)
			}
		})
	}
}

// TestBetweenFlood: who asks for more answers than it reads is given up.
func TestBetweenFlood(t *testing.T) {
	source := &shut{t, nil}
	conn, _, err := Accept(source, Handshake{Key: "dGhlIHNhbXBsZSBub25jZQ=="}, Options{MaxMessage: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	source.rest = bytes.Repeat(frame(0x89, strings.Repeat("x", 125)), 2*maxPending/125)
	if err := conn.Between(len(source.rest)); err == nil {
		t.Error("no end to it")
	}
}
