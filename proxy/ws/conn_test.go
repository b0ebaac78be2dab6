package ws

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// noted is a sink that tells what it may keep from what was copied.
type noted struct {
	copied, kept []byte
	parts        [][]byte // what may be kept
}

func (n *noted) Copy(p []byte) { n.copied = append(n.copied, p...) }
func (n *noted) Add(p []byte) {
	n.kept = append(n.kept, p...)
	n.parts = append(n.parts, p)
}

func accepted(t *testing.T, h Handshake, o Options) *Conn {
	t.Helper()
	h.Key = "dGhlIHNhbXBsZSBub25jZQ=="
	o.MaxMessage, o.Complete = 1<<20, time.Hour
	c, head, err := Accept(strings.NewReader(""), h, o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.HasSuffix(head, []byte("\r\n"+h.Head+"\r\n")) || bytes.Count(head, []byte("\r\n\r\n")) != 1 {
		t.Fatalf("head %q", head)
	}
	return c
}

// TestMessage: a message goes out in one frame, and what is more than its first
// byte is the message's own memory.
func TestMessage(t *testing.T) {
	c := accepted(t, Handshake{Head: "A: b\r\n"}, Options{})
	for _, size := range []int{0, 1, 2, 125, 126, 65535, 65536, 1 << 20} {
		msg := bytes.Repeat([]byte("m"), size)
		var s noted
		c.Message(&s, msg)
		var head []byte
		switch {
		case size < 126:
			head = []byte{0x81, byte(size)}
		case size < 1<<16:
			head = binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(size))
		default:
			head = binary.BigEndian.AppendUint64([]byte{0x81, 127}, uint64(size))
		}
		if !bytes.Equal(s.kept, append(head, msg...)) || len(s.copied) != 0 {
			t.Errorf("%d bytes: wrote %.20x and %.20x", size, s.copied, s.kept)
		}
		if own := s.parts[len(s.parts)-1]; size > 1 && &own[0] != &msg[1] {
			t.Errorf("%d bytes were copied by the library", size)
		}
	}
}

// TestCompressedMessage: what the library has compressed is in its own memory,
// which it uses again.
func TestCompressedMessage(t *testing.T) {
	c := accepted(t, Handshake{Extensions: "permessage-deflate"}, Options{Compress: true})
	var s noted
	c.Message(&s, bytes.Repeat([]byte("m"), 100_000))
	if len(s.kept) != 0 || len(s.copied) == 0 || len(s.copied) > 1000 {
		t.Errorf("%d bytes were copied, and %d may be kept", len(s.copied), len(s.kept))
	}
}

// TestGoodbye is the last thing that is said.
func TestGoodbye(t *testing.T) {
	c := accepted(t, Handshake{}, Options{})
	var s noted
	c.Control(&s, true)
	c.Goodbye(&s, CodePolicy, strings.Repeat("ü", 100)) // 200 bytes
	c.Message(&s, []byte("{}"))
	c.Control(&s, true)
	c.Goodbye(&s, CodeGoingAway, "")
	want := "\x89\x00" + "\x88\x7c\x03\xf0" + strings.Repeat("ü", 61)
	if string(s.copied) != want || len(s.kept) != 0 {
		t.Errorf("said %q and %q, want %q", s.copied, s.kept, want)
	}
}

func TestClosing(t *testing.T) {
	for reason, want := range map[string]int{"": 2, "why": 5, strings.Repeat("x", 123): 125, strings.Repeat("x", 124): 125, "x" + strings.Repeat("日", 41): 2 + 121, "\xff": 2} {
		if got := closing(CodeNormal, reason); len(got) != want {
			t.Errorf("%.20q: %d bytes, want %d", reason, len(got), want)
		}
	}
	if closing(CodeNone, "why") != nil {
		t.Error("there is no code to say nothing")
	}
}
