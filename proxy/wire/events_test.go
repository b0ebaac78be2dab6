package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// drainEvents reads all events and writes each down as "type|id|data", and each
// that was skipped as "size:id".
func drainEvents(e *EventReader) (events []string, last error) {
	for {
		b, err := e.Next()
		var long *TooLong
		switch {
		case errors.As(err, &long):
			events = append(events, fmt.Sprintf("%d:%s", long.Size, long.ID))
		case err != nil:
			return events, err
		default:
			events = append(events, fmt.Sprintf("%s|%s|%s", e.Type(), e.ID(), b.B))
			b.Release()
		}
	}
}

func TestEvents(t *testing.T) {
	long := `{"result":"` + strings.Repeat("x", 100) + `","id":7}`
	tests := []struct {
		name, input string
		want        []string
	}{
		{"nothing", "", nil},
		{"an event", "data: a\n\n", []string{"||a"}},
		{"two", "data: a\n\ndata: b\n\n", []string{"||a", "||b"}},
		{"\\r\\n", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"||a", "||b"}},
		{"\\r", "data: a\r\rdata: b\r\r", []string{"||a", "||b"}},
		{"all kinds of line break", "data: a\r\ndata: b\rdata: c\n\rdata: d\n\r\n", []string{"||a\nb\nc", "||d"}},
		{"\\n\\r is two", "data: a\n\rdata: b\n\n", []string{"||a", "||b"}},
		{"no space after the colon", "data:a\n\n", []string{"||a"}},
		{"two spaces after the colon", "data:  a\n\n", []string{"|| a"}},
		{"a colon in the data", "data:a:b\n\n", []string{"||a:b"}},
		{"several lines", "data: a\ndata\ndata:\ndata: b\n\n", []string{"||a\n\n\nb"}},
		{"empty data", "data\n\ndata:\n\ndata: \n\n", nil},
		{"two empty lines of data", "data\ndata\n\n", []string{"||\n"}},
		{"a byte order mark", "\ufeffdata: a\n\n", []string{"||a"}},
		{"two byte order marks", "\ufeff\ufeffdata: a\n\ndata: b\n\n", []string{"||b"}},
		{"half a byte order mark", "\xef\xbbdata: a\ndata: b\n\n", []string{"||b"}},
		{"half a byte order mark on a line", "\xef\xbb\ndata: b\n\n", []string{"||b"}},
		{"a byte order mark later", "\n\ufeffdata: a\ndata: b\n\n", []string{"||b"}},
		{"comments", ": hello\n\n:\n:data: x\ndata: a\n: more\n\n", []string{"||a"}},
		{"a type", "event: endpoint\ndata: /x\n\ndata: a\n\n", []string{"endpoint||/x", "||a"}},
		{"a type without data is forgotten", "event: endpoint\n\ndata: a\n\n", []string{"||a"}},
		{"the last of two types", "event: a\nevent: b\ndata: c\n\n", []string{"b||c"}},
		{"an id stays", "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", []string{"|1|a", "|1|b", "||c"}},
		{"an id without data", "id: 1\n\ndata: a\n\n", []string{"|1|a"}},
		{"an id with NUL", "id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\n", []string{"|1|a", "|1|b"}},
		{"an id past what is kept", "id: 1\ndata: a\n\nid: " + strings.Repeat("2", maxField+1) + "\ndata: b\n\n", []string{"|1|a", "||b"}},
		{"unknown fields", "datas: x\ndat: x\nDATA: x\n data: x\nid : 1\n" + long + "\ndata: a\n\n", []string{"||a"}},
		{"cut behind a line", "data: a\n\ndata: b\n", []string{"||a"}},
		{"cut in a line", "data: a\n\ndata: b", []string{"||a"}},
		{"cut in a line break", "data: a\r\n\r", []string{"||a"}},
		{"the id of an event that was cut", "id: 1\ndata: a\n\nid: 2\ndata: b\n", []string{"|1|a"}},
		{"at the limit", "data: 1234567890\n\n", []string{"||1234567890"}},
		{"one past the limit", "data: 12345678901\n\ndata: a\n\n", []string{"11:", "||a"}},
		{"past the limit in several lines", "data: 12345\ndata: 67890\n\ndata: a\n\n", []string{"11:", "||a"}},
		{"far past the limit", "id: 1\ndata: " + long + "\n\ndata: a\n\n", []string{fmt.Sprintf("%d:7", len(long)), "|1|a"}},
		{"cut past the limit", "data: 12345678901\n", nil},
		{"lines that are no data have no limit", ": " + long + "\nevent:" + strings.Repeat("e", 9) + "\nxyz:" + long + "\ndata: a\n\n", []string{"eeeeeeeee||a"}},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole":         func(r io.Reader) io.Reader { return r },
		"byte by byte":  iotest.OneByteReader,
		"by halves":     iotest.HalfReader,
		"error at once": iotest.DataErrReader,
	}
	for _, tt := range tests {
		for how, wrap := range readers {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				p := &purse{limit: 1 << 20}
				got, err := drainEvents(NewEventReader(wrap(strings.NewReader(tt.input)), 10, p))
				if err != io.EOF || !slices.Equal(got, tt.want) {
					t.Errorf("%q and %v, want %q and EOF", got, err, tt.want)
				}
				if p.held != 0 {
					t.Errorf("%d bytes stay charged", p.held)
				}
			})
		}
	}
}

// What comes without data changes the stream all the same.
func TestEventsIDAndRetry(t *testing.T) {
	tests := []struct {
		input string
		id    string
		retry time.Duration
	}{
		{"id: 1\ndata:\n\n", "1", 0},
		{"id: 1\n", "", 0},
		{"retry: 1500\n", "", 1500 * time.Millisecond},
		{"retry: 1500\nretry: 5x\nretry:\nretry: -1\nretry: 1.5\n\n", "", 1500 * time.Millisecond},
		{"retry: 5\nretry: 7\n", "", 7 * time.Millisecond},
		{"retry: 99999999999999999999999\n", "", maxRetry * time.Millisecond},
	}
	for _, tt := range tests {
		e := NewEventReader(strings.NewReader(tt.input), 10, nil)
		if events, err := drainEvents(e); err != io.EOF || len(events) != 0 {
			t.Errorf("%q: %q and %v", tt.input, events, err)
		}
		if string(e.ID()) != tt.id || e.Retry() != tt.retry {
			t.Errorf("%q: id %q and retry %v", tt.input, e.ID(), e.Retry())
		}
	}
}

// A \r ends a line although nothing comes after it for long.
func TestEventsDoNotWaitBehindReturn(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go func() {
		_, _ = io.WriteString(w, "data: a\r\r")
	}()
	b, err := NewEventReader(r, 10, nil).Next()
	if err != nil || string(b.B) != "a" {
		t.Errorf("%v and %v", b, err)
	}
	b.Release()
}

func TestEventsBudget(t *testing.T) {
	p := &purse{limit: 20}
	answer := `{"result":{},"id":7}`
	e := NewEventReader(strings.NewReader("data: "+answer+"\n\ndata: "+answer+"\n\ndata: short\n\n"), 1000, p)
	b, err := e.Next()
	if err != nil || p.held != 20 {
		t.Fatalf("%v, %d bytes charged", err, p.held)
	}
	_, err = e.Next()
	var long *TooLong
	if !errors.As(err, &long) || !long.Budget || string(long.ID) != "7" || long.Size != 20 {
		t.Fatalf("error %#v, want one of the budget with id 7 and size 20", err)
	}
	b.Release()
	if b, err = e.Next(); err != nil || string(b.B) != "short" {
		t.Fatalf("after the event that had no room: %v, %v", b, err)
	}
	b.Release()
	if p.held != 0 {
		t.Errorf("%d bytes stay charged", p.held)
	}
}

// Reset gives back what was held, and forgets the stream before.
func TestEventsReset(t *testing.T) {
	p := &purse{limit: 1 << 20}
	e := NewEventReader(iotest.DataErrReader(strings.NewReader("id: 1\nretry: 5\nevent: e\ndata: a\n\ndata: half")), 1000, p)
	if b, err := e.Next(); err != nil || string(b.B) != "a" {
		t.Fatalf("%v, %v", b, err)
	} else {
		b.Release()
	}
	_, _ = e.Next()
	e.Reset(strings.NewReader("\ufeffdata: b\n\n"))
	if p.held != 0 {
		t.Errorf("%d bytes stay charged", p.held)
	}
	if events, err := drainEvents(e); err != io.EOF || !slices.Equal(events, []string{"||b"}) || e.Retry() != 0 {
		t.Errorf("%q and %v", events, err)
	}
}

// An event, a comment and a field without an end cost no memory, and what comes
// behind is not lost.
func TestEndlessEventMemory(t *testing.T) {
	skipUnderRace(t)
	const size = 64 << 20
	endless := func(head string) io.Reader {
		return io.MultiReader(strings.NewReader(head), io.LimitReader(repeated(bytes.Repeat([]byte{'x'}, 1<<10)), size))
	}
	r := io.MultiReader(
		endless(": "), strings.NewReader("\n"),
		endless("id: "), strings.NewReader("\n"),
		endless("unknown"), strings.NewReader("\n"),
		endless(`data: {"id":7,"result":"`), strings.NewReader("\"}\n\ndata: next\n\n"),
	)
	before := allocated()
	events, err := drainEvents(NewEventReader(r, 64<<10, nil))
	if err != io.EOF || len(events) != 2 || !strings.HasSuffix(events[0], ":7") || events[1] != "||next" {
		t.Fatalf("%q and %v", events, err)
	}
	if got := allocated() - before; got > 4<<20 {
		t.Errorf("allocated %d MiB", got>>20)
	}
}

// Many short lines that end with \r are not looked through again and again.
func BenchmarkEventsReturns(b *testing.B) {
	text := strings.Repeat(":\r", 1<<19)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := NewEventReader(strings.NewReader(text), 10, nil).Next(); err != io.EOF {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvents(b *testing.B) {
	for _, size := range []int{200, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			event := AppendEvent(nil, []byte("1"), bytes.Repeat([]byte{'x'}, size))
			e := NewEventReader(repeated(event), 2<<20, nil)
			b.SetBytes(int64(len(event)))
			b.ReportAllocs()
			for b.Loop() {
				data, err := e.Next()
				if err != nil {
					b.Fatal(err)
				}
				data.Release()
			}
		})
	}
}
