package wire

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestSSEForms(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"an event", string(AppendEvent(nil, []byte("1-7"), []byte(`{"a":1}`))), "event: message\nid: 1-7\ndata: {\"a\":1}\n\n"},
		{"without id", string(AppendEvent(nil, nil, []byte(`{}`))), "event: message\ndata: {}\n\n"},
		{"after something else", string(AppendEvent([]byte("x"), nil, []byte(`{}`))), "xevent: message\ndata: {}\n\n"},
		{"data of several lines", string(AppendEvent(nil, nil, []byte("a\nb\r\nc\rd\n"))), "event: message\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"},
		{"data with \\r only", string(AppendEvent(nil, nil, []byte("a\rb"))), "event: message\ndata: a\ndata: b\n\n"},
		{"data that tries to end the event", string(AppendEvent(nil, nil, []byte("a\n\nid: 9"))), "event: message\ndata: a\ndata: \ndata: id: 9\n\n"},
		{"a head", string(AppendEventHead(nil, []byte("1-7"))) + "{}" + EventTail, "event: message\nid: 1-7\ndata: {}\n\n"},
		{"priming", string(AppendPriming(nil, []byte("1-0"))), "id: 1-0\ndata: \n\n"},
		{"retry", string(AppendRetry(nil, 1500)), "retry: 1500\n\n"},
		{"retry of a negative time", string(AppendRetry(nil, -1)), "retry: 0\n\n"},
		{"a comment", string(AppendComment(nil, "still here")), ": still here\n\n"},
		{"a comment of several lines", string(AppendComment(nil, "a\ndata: b")), ": a\n: data: b\n\n"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestEventIDWithLineBreakPanics(t *testing.T) {
	for _, id := range []string{"a\nb", "a\rb", "a\x00b"} {
		mustPanic(t, "BUG: a line break or NUL in an event id", func() { AppendEvent(nil, []byte(id), nil) })
	}
}

// Data full of line breaks of one kind must not be searched to its end for the
// other kind again and again: at 2 MiB that would take minutes.
func TestAppendEventManyBreaks(t *testing.T) {
	data := append(bytes.Repeat([]byte{'\r'}, 2<<20), '\n')
	events := decodeSSE(AppendEvent(nil, nil, data))
	if len(events) != 1 || len(events[0].data) != 2<<20 {
		t.Errorf("%d events", len(events))
	}
}

// sseEvent is what a reader makes of an event.
type sseEvent struct{ kind, id, data string }

// decodeSSE reads a stream as the WHATWG's HTML standard says (9.2.6), line by
// line and word for word, with nothing of the encoder in it.
func decodeSSE(stream []byte) (events []sseEvent) {
	text := strings.TrimPrefix(string(stream), "\ufeff")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	lines := strings.Split(text, "\n")
	lines = lines[:len(lines)-1] // what has no line break at its end is no line

	var data strings.Builder
	var kind, lastID string
	for _, line := range lines {
		if line == "" {
			if data.Len() > 0 {
				if kind == "" {
					kind = "message"
				}
				events = append(events, sseEvent{kind, lastID, strings.TrimSuffix(data.String(), "\n")})
			}
			data.Reset()
			kind = ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			kind = value
		case "data":
			data.WriteString(value + "\n")
		case "id":
			if !strings.Contains(value, "\x00") {
				lastID = value
			}
		}
	}
	return events
}

// FuzzSSE encodes two events with everything else between them and compares
// what the decoder above makes of the stream.
func FuzzSSE(f *testing.F) {
	f.Fuzz(func(t *testing.T, id, data []byte, comment string, retry int) {
		id = bytes.Map(func(r rune) rune {
			if r == 0 || r == '\n' || r == '\r' {
				return '-'
			}
			return r
		}, id)

		stream := AppendEvent(nil, id, data)
		stream = AppendComment(stream, comment)
		stream = AppendRetry(stream, retry)
		stream = AppendPriming(stream, []byte("primed"))
		stream = AppendEventHead(stream, nil)
		stream = append(stream, strconv.Quote(string(data))...)
		stream = append(stream, EventTail...)

		lines := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
		want := []sseEvent{
			{"message", string(id), lines},
			{"message", "primed", ""},
			{"message", "primed", strconv.Quote(string(data))},
		}
		if got := decodeSSE(stream); !slices.Equal(got, want) {
			t.Errorf("\nstream %q\n   got %q\n  want %q", stream, got, want)
		}
	})
}
