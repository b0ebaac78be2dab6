package ws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sidegate/limits"
)

const fuzzLimit = 300 // bytes of a message

// opinion is what a plain decoder makes of a client's bytes: the messages in
// them, what is answered to its control frames, and how it ends.
type opinion struct {
	messages []string
	pongs    []string
	code     int  // of the gate's close frame; 0: none, the bytes just end
	said     bool // the client has said goodbye
}

// decode is that decoder (RFC 6455, section 5).
func decode(b []byte) (o opinion) {
	var message []byte
	within, total := false, uint64(0)
	for {
		if len(b) < 2 {
			return o
		}
		first, second := b[0], b[1]
		opcode, final, size := first&15, first&0x80 != 0, uint64(second&0x7f)
		control := opcode >= 8
		switch {
		case first&0x70 != 0, second&0x80 == 0,
			control && (opcode > 10 || size > 125 || !final),
			!control && opcode > 2, opcode == 0 && !within, !control && opcode != 0 && within:
			o.code = CodeProtocol
			return o
		}
		b = b[2:]
		wide := map[uint64]int{126: 2, 127: 8}[size] // bytes of the size that follow
		if len(b) < wide {
			return o
		}
		if wide > 0 {
			var eight [8]byte
			copy(eight[8-wide:], b)
			size, b = binary.BigEndian.Uint64(eight[:]), b[wide:]
		}
		if size>>63 == 1 {
			o.code = CodeTooBig // it is announced before its mask is read
			return o
		}
		if len(b) < 4 {
			return o
		}
		key := b[:4]
		b = b[4:]
		if !control {
			if opcode != 0 {
				total = 0
			}
			if total += size; total > fuzzLimit {
				o.code = CodeTooBig
				return o
			}
			if opcode == 2 {
				o.code = CodeUnsupported
				return o
			}
		}
		if uint64(len(b)) < size {
			return o
		}
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = b[i] ^ key[i%4]
		}
		b = b[size:]
		switch {
		case !control:
			if opcode != 0 {
				message = nil
			}
			message, within = append(message, payload...), !final
			if within {
				continue
			}
			if !utf8.Valid(message) {
				o.code = CodeNotUTF8
				return o
			}
			o.messages = append(o.messages, string(message))
		case opcode == 9:
			o.pongs = append(o.pongs, string(payload))
		case opcode == 8:
			o.closed(payload)
			return o
		}
	}
}

// closed judges the payload of a close frame.
func (o *opinion) closed(payload []byte) {
	o.code, o.said = CodeNone, true
	if len(payload) < 2 {
		return
	}
	o.code = int(binary.BigEndian.Uint16(payload))
	may := o.code >= 3000 && o.code < 5000 || o.code >= 1000 && o.code <= 1013 && o.code != 1004 && o.code != 1005 && o.code != 1006
	if !may || !utf8.Valid(payload[2:]) {
		o.code, o.said = CodeProtocol, false
	}
}

// heard is what the gate has written, decoded.
func heard(t *testing.T, b []byte) (pongs []string, code int) {
	for len(b) > 0 {
		size := int(b[1])
		if len(b) < 2+size || size > 125 || code != 0 {
			t.Fatalf("the gate wrote %x", b)
		}
		payload := b[2 : 2+size]
		switch b[0] {
		case 0x80 | kindPong:
			pongs = append(pongs, string(payload))
		case 0x80 | goodbye:
			if code = CodeNone; size >= 2 {
				code = int(binary.BigEndian.Uint16(payload))
			}
			if size > 2 && !utf8.Valid(payload[2:]) {
				t.Fatalf("the gate's reason is %q", payload[2:])
			}
		default:
			t.Fatalf("the gate wrote a frame %x", b[0])
		}
		b = b[2+size:]
	}
	return pongs, code
}

// pieces gives a client's bytes out a few at a time, and takes what the gate has
// to say in between, as the stream does.
type pieces struct {
	t     *testing.T
	conn  *Conn
	rest  []byte // to come
	ahead []byte // has come
	size  int
	sink  memory
	shut  bool // only for what has come may be asked
}

func (p *pieces) Read(b []byte) (int, error) {
	if !p.shut {
		p.conn.Control(&p.sink, false)
	}
	if len(p.ahead) == 0 {
		p.come()
	}
	if len(p.ahead) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.ahead)
	p.ahead = p.ahead[n:]
	return n, nil
}

// come has the next bytes come.
func (p *pieces) come() {
	if p.shut {
		p.t.Error("the source was asked for what it does not have")
	}
	n := min(p.size, len(p.rest))
	p.ahead, p.rest = p.rest[:n], p.rest[n:]
}

// memory is a sink.
type memory struct{ b []byte }

func (m *memory) Copy(p []byte) { m.b = append(m.b, p...) }
func (m *memory) Add(p []byte)  { m.b = append(m.b, p...) }

// read is what the package makes of a client's bytes, with calls of Between or
// without.
func read(t *testing.T, b []byte, size int, between bool) (o opinion) {
	source := &pieces{t: t, rest: b, size: size}
	budget := limits.NewBytes(1 << 20)
	c, _, err := Accept(source, Handshake{Key: "dGhlIHNhbXBsZSBub25jZQ=="}, Options{MaxMessage: fuzzLimit, Budget: budget, Complete: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	source.conn = c
	for {
		if between {
			source.between()
		}
		msg, err := c.Next()
		if err != nil {
			c.Control(&source.sink, false)
			o.pongs, o.code = heard(t, source.sink.b)
			o.check(t, err)
			if n := budget.InUse(); n != 0 {
				t.Errorf("%d bytes were not given back", n)
			}
			return o
		}
		o.messages = append(o.messages, string(msg.B))
		msg.Release()
	}
}

// between reads what stands before the next message as the frontend does: Next
// is called where Between has left something to it, or nothing comes any more.
func (p *pieces) between() {
	for {
		p.shut = true
		if err := p.conn.Between(len(p.ahead)); err != nil {
			p.t.Fatal(err)
		}
		p.shut = false
		p.conn.Control(&p.sink, false)
		if p.conn.Buffered()+len(p.ahead) > 0 || len(p.rest) == 0 {
			return
		}
		p.come()
	}
}

// check wants err to be what the client was told.
func (o *opinion) check(t *testing.T, err error) {
	var said *Closed
	var fault *Fault
	switch {
	case errors.As(err, &said):
		if o.said = true; said.Code != o.code {
			t.Errorf("%v, and it was answered with %d", err, o.code)
		}
	case errors.As(err, &fault):
		if fault.Code != o.code || fault.Text == "" || strings.Contains(fault.Text, "websocket:") {
			t.Errorf("%d %q, and the client was told %d", fault.Code, fault.Text, o.code)
		}
	case !errors.Is(err, io.ErrUnexpectedEOF) || o.code != 0:
		t.Errorf("%v, and the client was told %d", err, o.code)
	}
}

func (o opinion) String() string {
	return fmt.Sprintf("%d messages %.200q, pongs %.200q, close %d, said %v", len(o.messages), o.messages, o.pongs, o.code, o.said)
}

// FuzzRead: whatever a client sends, the package and the plain decoder have one
// opinion of it.
func FuzzRead(f *testing.F) { fuzz(f, false) }

// FuzzBetween: they have it, too, where what stands between messages is read
// without waiting for a message. Nothing is read but what has come.
func FuzzBetween(f *testing.F) { fuzz(f, true) }

func fuzz(f *testing.F, between bool) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte, size uint16) {
		got, want := read(t, slices.Clone(b), int(size)%2000+1, between), decode(b)
		if got.String() != want.String() || !slices.Equal(got.messages, want.messages) || !slices.Equal(got.pongs, want.pongs) {
			t.Errorf("of %x\nread    %v\ndecoded %v", b, got, want)
		}
	})
}

// seeds adds what is known to be worth a try, in one piece and in many.
func seeds(f *testing.F) {
	masked := func(first byte, payload string) string {
		size := []byte{0x80 | byte(len(payload))}
		if len(payload) > 125 {
			size = binary.BigEndian.AppendUint16([]byte{0x80 | 126}, uint16(len(payload)))
		}
		b := append(append([]byte{first}, size...), 1, 2, 3, 4)
		for i := range len(payload) {
			b = append(b, payload[i]^byte(1+i%4))
		}
		return string(b)
	}
	long := strings.Repeat("x", fuzzLimit)
	for _, seed := range []string{
		"", masked(0x81, "{}"), masked(1, "{") + masked(0x89, "p") + masked(0x80, "}"), masked(0x81, long), masked(0x81, long+"x"),
		masked(1, long) + masked(0x80, "x"), masked(0x82, "{}"), masked(0x81, "\xff"), masked(1, "\xe6") + masked(0x80, "\x97\xa5"),
		masked(0xc1, "{}"), masked(0x91, "{}"), "\x81\x02{}", masked(0x83, ""), masked(0x80, "{}"), masked(1, "{") + masked(0x81, "}"),
		masked(9, ""), masked(0x89, strings.Repeat("p", 126)), masked(0x88, ""), masked(0x88, "\x03"), masked(0x88, "\x03\xe8bye"),
		masked(0x88, "\x03\xed"), masked(0x88, "\x03\xe8\xff"), masked(0x8a, "x") + masked(0x81, "") + masked(0x88, "\x0b\xb8"),
		"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", "\x81\xfe\x00\x01\x01\x02\x03\x04z",
		masked(0x89, strings.Repeat("p", 125)), "\x89\x00", "\x8a\x01x", masked(0xc9, "p"), masked(0x99, "p"), masked(0x0a, "p"), "\x89\xfe\x00\x01\x01\x02\x03\x04p",
		strings.Repeat(masked(0x89, "p"), 50), masked(1, "{") + masked(0x8a, "") + masked(0x89, "p"), masked(0x89, "p")[:5], masked(0x89, "p")[:6],
	} {
		for _, size := range []uint16{1, 5, 1000} {
			f.Add([]byte(seed), size)
			f.Add([]byte(seed+masked(0x81, "after")+masked(0x89, "last")), size)
			f.Add([]byte(masked(0x89, "first")+masked(0x8a, "")+seed), size)
		}
	}
}
