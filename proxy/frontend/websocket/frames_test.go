package websocket

import (
	"bytes"
	"compress/flate"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestFrames is the table of what clients may send and what becomes of it. A
// case is sent after initialize.
func TestFrames(t *testing.T) {
	hello := echo("1", `["hällo 日本 🎉"]`)
	answer := echoed("1", `["hällo 日本 🎉"]`)
	half := len(hello) / 2
	unmasked := append([]byte{fin | text_, byte(len(`{"a":1}`))}, `{"a":1}`...)
	long := echo("1", `["`+strings.Repeat("x", maxMessage-len(echo("1", `[""]`)))+`"]`) // the largest
	for _, c := range []struct {
		name   string
		frames [][]byte
		want   []string // the last is the end of the connection, unless it still works
	}{
		{"one frame", [][]byte{frame(fin|text_, hello)}, []string{answer}},
		{"two fragments", [][]byte{frame(text_, hello[:half]), frame(fin|cont, hello[half:])}, []string{answer}},
		{"a fragment for each byte, so UTF-8 is split", each(hello), []string{answer}},
		{"an empty fragment at each end", [][]byte{frame(text_, ""), frame(cont, hello), frame(fin|cont, "")}, []string{answer}},
		{"a byte at a time", bytesOf(frame(fin|text_, hello)), []string{answer}},
		{"ping between fragments", [][]byte{frame(text_, hello[:half]), frame(fin|ping_, "now"), frame(fin|cont, hello[half:])}, []string{"pong now", answer}},
		{"pong between fragments", [][]byte{frame(text_, hello[:half]), frame(fin|pong_, "x"), frame(fin|cont, hello[half:])}, []string{answer}},
		{"close between fragments", [][]byte{frame(text_, hello[:half]), closeFrame(1000, "")}, []string{"close 1000", "end"}},
		{"ping", [][]byte{frame(fin|ping_, "are you there?")}, []string{"pong are you there?"}},
		{"empty ping", [][]byte{frame(fin|ping_, "")}, []string{"pong "}},
		{"largest ping", [][]byte{frame(fin|ping_, strings.Repeat("p", 125))}, []string{"pong " + strings.Repeat("p", 125)}},
		{"pings in a row", [][]byte{frame(fin|ping_, "1"), frame(fin|ping_, "2"), frame(fin|ping_, "3")}, []string{"pong 1", "pong 2", "pong 3"}},
		{"pong unasked", [][]byte{frame(fin|pong_, "")}, nil},

		{"the largest message", [][]byte{frame(fin|text_, long)}, []string{echoed("1", long[len(`{"jsonrpc":"2.0","id":1,"method":"echo","params":`):len(long)-1])}},
		{"a byte more", [][]byte{frame(fin|text_, long+" ")}, []string{"close 1009", "end"}},
		{"a byte more, announced", [][]byte{frame(fin|text_, long+" ")[:14]}, []string{"close 1009", "end"}},
		{"a byte more in fragments", [][]byte{frame(text_, long[:1000]), frame(cont, long[1000:]), frame(fin|cont, " ")}, []string{"close 1009", "end"}},
		{"2^63 bytes announced", [][]byte{{fin | text_, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}}, []string{"close 1009", "end"}},
		{"2^64 bytes announced", [][]byte{{fin | text_, 0x80 | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}}, []string{"close 1009", "end"}},
		{"length in more bytes than it needs", [][]byte{append(append([]byte{fin | text_, 0x80 | 126, 0, byte(len("{}"))}, mask[:]...), '{'^mask[0], '}'^mask[1])}, []string{"refused"}},

		{"binary", [][]byte{frame(fin|bin, hello)}, []string{"close 1003", "end"}},
		{"invalid UTF-8", [][]byte{frame(fin|text_, "{\"a\":\"\xff\"}")}, []string{"close 1007", "end"}},
		{"UTF-8 cut at the end", [][]byte{frame(fin|text_, "{\"a\":\"\xe6\x97")}, []string{"close 1007", "end"}},
		{"a surrogate in UTF-8", [][]byte{frame(fin|text_, "{\"a\":\"\xed\xa0\x80\"}")}, []string{"close 1007", "end"}},
		{"invalid UTF-8 over fragments", [][]byte{frame(text_, "{\"a\":\"\xe6"), frame(fin|cont, "x\"}")}, []string{"close 1007", "end"}},
		{"RSV1", [][]byte{frame(fin|rsv1|text_, hello)}, []string{"close 1002", "end"}},
		{"RSV2", [][]byte{frame(fin|rsv2|text_, hello)}, []string{"close 1002", "end"}},
		{"RSV3", [][]byte{frame(fin|rsv3|text_, hello)}, []string{"close 1002", "end"}},
		{"RSV1 on a ping", [][]byte{frame(fin|rsv1|ping_, "")}, []string{"close 1002", "end"}},
		{"not masked", [][]byte{unmasked}, []string{"close 1002", "end"}},
		{"opcode 3", [][]byte{frame(fin|3, hello)}, []string{"close 1002", "end"}},
		{"opcode 11", [][]byte{frame(fin|11, "")}, []string{"close 1002", "end"}},
		{"continuation of nothing", [][]byte{frame(fin|cont, hello)}, []string{"close 1002", "end"}},
		{"a message within a message", [][]byte{frame(text_, hello[:half]), frame(fin|text_, hello)}, []string{"close 1002", "end"}},
		{"a ping in fragments", [][]byte{frame(ping_, "x")}, []string{"close 1002", "end"}},
		{"a ping that is too long", [][]byte{frame(fin|ping_, strings.Repeat("p", 126))}, []string{"close 1002", "end"}},
		{"a close that is too long", [][]byte{closeFrame(1000, strings.Repeat("c", 124))}, []string{"close 1002", "end"}},
		{"HTTP", [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, []string{"close 1002", "end"}},

		{"close without a code", [][]byte{frame(fin|bye, "")}, []string{"close", "end"}},
		{"close with half a code", [][]byte{frame(fin|bye, "\x03")}, []string{"close", "end"}}, // the library does not tell it from none
		{"close with a reason", [][]byte{closeFrame(1001, "tschüß")}, []string{"close 1001", "end"}},
		{"a reason that is not UTF-8", [][]byte{closeFrame(1000, "\xff")}, []string{"close 1002", "end"}},
		{"what comes after a close", [][]byte{closeFrame(1000, ""), frame(fin|text_, hello)}, []string{"close 1000", "end"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			s := b.session()
			s.raw(c.frames...)
			for _, want := range c.want {
				if want == "refused" {
					s.wantError("", -32600)
					continue
				}
				s.want(want)
			}
			if len(c.want) == 0 || c.want[len(c.want)-1] != "end" {
				s.works()
			}
		})
	}
}

// each is text with a frame for each of its bytes.
func each(text string) (frames [][]byte) {
	for i := range len(text) {
		first := byte(cont)
		if i == 0 {
			first = text_
		}
		if i == len(text)-1 {
			first |= fin
		}
		frames = append(frames, frame(first, text[i:i+1]))
	}
	return frames
}

func bytesOf(b []byte) (pieces [][]byte) {
	for i := range b {
		pieces = append(pieces, b[i:i+1])
	}
	return pieces
}

// TestCloseCodes: a code that may be sent is answered by the same, any other by
// 1002. Those that mean the end of the session end it.
func TestCloseCodes(t *testing.T) {
	b := newBed(t, nil)
	for _, c := range []struct {
		code, answer int
		ends         bool
	}{
		{1000, 1000, true}, {1001, 1001, true}, {1002, 1002, false}, {1003, 1003, false}, {1007, 1007, false}, {1008, 1008, false},
		{1009, 1009, false}, {1010, 1010, false}, {1011, 1011, false}, {1012, 1012, false}, {1013, 1013, false},
		{3000, 3000, false}, {4999, 4999, false},
		{0, 1002, false}, {999, 1002, false}, {1004, 1002, false}, {1005, 1002, false}, {1006, 1002, false}, {1015, 1002, false},
		{1016, 1002, false}, {2999, 1002, false}, {5000, 1002, false}, {65535, 1002, false},
	} {
		s := b.session()
		s.raw(closeFrame(c.code, ""))
		s.want(fmt.Sprintf("close %d", c.answer), "end")
		again, response := b.dial("Mcp-Session-Id: " + s.id())
		switch {
		case c.ends && response.StatusCode != http.StatusNotFound:
			t.Errorf("after %d the session is answered with status %d", c.code, response.StatusCode)
		case !c.ends && response.StatusCode != http.StatusSwitchingProtocols:
			t.Errorf("after %d the session cannot be resumed: status %d", c.code, response.StatusCode)
		case !c.ends:
			again.works()
		}
		again.Close()
	}
}

// TestIncompleteMessage: fragments do not come for ever, however lively they are
// meanwhile. A message is granted its time anew for each MiB.
func TestIncompleteMessage(t *testing.T) {
	b := newBed(t, func(o *Options, _ *sessionOptions) { o.Complete = 200 * time.Millisecond })
	s := b.session()
	s.raw(frame(text_, `{"jsonrpc":`))
	for i := 0; ; i++ {
		s.raw(frame(fin|ping_, fmt.Sprint(i)), frame(cont, " "))
		if got := s.next(); got == "close 1008" {
			break
		} else if got != fmt.Sprint("pong ", i) {
			t.Fatalf("got %q", got)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if b.counted(b.refused, "body_timeout") != 1 {
		t.Errorf("counted as %v", b.refused)
	}
	again := b.connect("Mcp-Session-Id: " + s.id())
	again.works()
}

// deflated is text as permessage-deflate has it.
func deflated(t *testing.T, text string) string {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(text))
	_ = w.Flush()
	return strings.TrimSuffix(out.String(), "\x00\x00\xff\xff")
}

func inflated(t *testing.T, data string) string {
	var out bytes.Buffer
	if _, err := out.ReadFrom(flate.NewReader(strings.NewReader(data + "\x00\x00\xff\xff\x01\x00\x00\xff\xff"))); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestCompression: off unless asked for on both sides, and then the inflated
// size is what counts.
func TestCompression(t *testing.T) {
	const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
	t.Run("off", func(t *testing.T) {
		s := newBed(t, nil).session(offer)
		if got := s.head.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("agreed on %q", got)
		}
		s.raw(frame(fin|rsv1|text_, deflated(t, echo("1", "[]"))))
		s.want("close 1002", "end")
	})
	on := func(o *Options, _ *sessionOptions) { o.Compress = true }
	t.Run("not offered", func(t *testing.T) {
		s := newBed(t, on).session()
		s.works()
		s.raw(frame(fin|rsv1|text_, deflated(t, echo("1", "[]"))))
		s.want("close 1002", "end")
	})
	t.Run("a window that the library cannot make", func(t *testing.T) {
		s := newBed(t, on).session("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9")
		if got := s.head.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("agreed on %q", got)
		}
	})
	t.Run("on", func(t *testing.T) {
		b := newBed(t, on)
		s := b.connect(offer)
		if got := s.head.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
			t.Fatalf("agreed on %q", got)
		}
		s.raw(frame(fin|rsv1|text_, deflated(t, initialize)))
		s.wantInflated(`{"jsonrpc":"2.0","id":"first","result":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		large := `["` + strings.Repeat("abcdefghij", maxMessage/11) + `"]`
		s.raw(frame(fin|rsv1|text_, deflated(t, echo("1", large))))
		s.wantInflated(echoed("1", large))
		s.say(echo("2", "[]")) // a message need not be compressed
		s.wantInflated(echoed("2", "[]"))
		random := `["` + fmt.Sprintf("%x", bytes.Repeat(mask[:], 5000)) + `"]`
		s.raw(frame(fin|rsv1|text_, deflated(t, echo("3", random))))
		s.wantInflated(echoed("3", random))
		bomb := deflated(t, echo("4", `["`+strings.Repeat("x", 50<<20)+`"]`))
		if len(bomb) >= maxMessage {
			t.Fatalf("the bomb has %d bytes", len(bomb))
		}
		s.raw(frame(fin|rsv1|text_, bomb))
		s.want("close 1009", "end")
	})
	t.Run("garbage", func(t *testing.T) {
		s := newBed(t, on).connect(offer)
		s.raw(frame(fin|rsv1|text_, strings.Repeat("\xff\x00garbage", 100)))
		s.want("close 1002", "end")
	})
}

// wantInflated wants a compressed message, in however many frames.
func (c *client) wantInflated(want string) {
	c.t.Helper()
	first, data := c.frame()
	if first&^fin != rsv1|text_ {
		c.t.Fatalf("frame %x: %.200q", first, data)
	}
	for first&fin == 0 {
		var more string
		first, more = c.frame()
		data += more
	}
	if got := inflated(c.t.(*testing.T), data); got != want {
		c.t.Errorf("got %.300q\nwant %.300q", got, want)
	}
}
