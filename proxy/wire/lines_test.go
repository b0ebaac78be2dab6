package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// drain reads all lines and writes down each as text, and each that was
// skipped as "size:id".
func drain(t *testing.T, l *LineReader) (lines []string, last error) {
	t.Helper()
	for {
		b, err := l.Next()
		var long *TooLong
		switch {
		case errors.As(err, &long):
			lines = append(lines, fmt.Sprintf("%d:%s", long.Size, long.ID))
		case err != nil:
			return lines, err
		default:
			lines = append(lines, string(b.B))
			b.Release()
		}
	}
}

func TestLines(t *testing.T) {
	long := `{"result":"` + strings.Repeat("x", 100) + `","id":7}`
	other := strings.Replace(long, `"id":7`, `"id":8`, 1)
	tests := []struct {
		name, input string
		want        []string
	}{
		{"nothing", "", nil},
		{"lines", "a\nbc\n", []string{"a", "bc"}},
		{"carriage returns", "a\r\nb\r\n", []string{"a", "b"}},
		{"one carriage return of two", "a\r\r\n", []string{"a\r"}},
		{"a carriage return inside", "a\rb\n", []string{"a\rb"}},
		{"empty lines", "\n\r\n\na\n\n\r\nb\n\n", []string{"a", "b"}},
		{"no line break at the end", "a\nb", []string{"a", "b"}},
		{"half a line break at the end", "a\nb\r", []string{"a", "b"}},
		{"only half a line break", "\r", nil},
		{"white space is a line", " \n", []string{" "}},
		{"at the limit", "1234567890\n", []string{"1234567890"}},
		{"at the limit with \\r\\n", "1234567890\r\n", []string{"1234567890"}},
		{"at the limit without line break", "1234567890", []string{"1234567890"}},
		{"one past the limit", "a\n12345678901\nb\n", []string{"a", "11:", "b"}},
		{"one past the limit with \\r\\n", "12345678901\r\nb\n", []string{"11:", "b"}},
		{"one past the limit by a \\r", "1234567890\r\r\nb\n", []string{"11:", "b"}},
		{"past the limit without line break", "12345678901", []string{"11:"}},
		{"far past the limit", long + "\na\n", []string{fmt.Sprintf("%d:7", len(long)), "a"}},
		{"several past the limit", long + "\r\n\n" + other + "\n[" + long + "]", []string{fmt.Sprintf("%d:7", len(long)), fmt.Sprintf("%d:8", len(long)), fmt.Sprintf("%d:", len(long)+2)}},
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
				got, err := drain(t, NewLineReader(wrap(strings.NewReader(tt.input)), 10, p))
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

// A line break may fall anywhere on the seam between two chunks.
func TestLinesBreakOnASeam(t *testing.T) {
	for _, seam := range []int{smallChunk, smallChunk + largeChunk, smallChunk + 2*largeChunk - 1} {
		for n := seam - 3; n < seam+3; n++ {
			want := []string{strings.Repeat("x", n), "next", "\rlast"}
			input := strings.Join(want, "\r\n")
			if got, _ := drain(t, NewLineReader(strings.NewReader(input), 1<<20, nil)); !slices.Equal(got, want) {
				t.Errorf("a line of %d bytes: %d lines, lengths wrong or bytes exchanged", n, len(got))
			}
		}
	}
}

func TestLinesFinalErrorStays(t *testing.T) {
	broken := errors.New("broken")
	l := NewLineReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 10, nil)
	if got, err := drain(t, l); err != broken || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q and %v", got, err)
	}
	for range 3 {
		if b, err := l.Next(); b != nil || err != broken {
			t.Errorf("after the end: %v, %v", b, err)
		}
	}
}

func TestLinesGiveUpOnAnIdleReader(t *testing.T) {
	l := NewLineReader(idle{}, 10, nil)
	if _, err := l.Next(); err != io.ErrNoProgress {
		t.Errorf("error %v, want %v", err, io.ErrNoProgress)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestLinesBudget(t *testing.T) {
	p := &purse{limit: 60}
	answer := `{"result":{},"id":7}`
	input := answer + "\n" + answer + "\n" + answer + "\n" + answer + "\nshort\n"
	l := NewLineReader(strings.NewReader(input), 1000, p)

	var held []*Buffer
	for range 3 {
		b, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, b)
	}
	if p.held != 60 {
		t.Fatalf("%d bytes charged, want the 60 of three lines", p.held)
	}

	_, err := l.Next()
	var long *TooLong
	if !errors.As(err, &long) || !errors.Is(err, ErrBudget) || string(long.ID) != "7" || long.Size != 20 {
		t.Fatalf("error %#v, want one of the budget with id 7 and size 20", err)
	}
	for _, b := range held {
		b.Release()
	}
	b, err := l.Next()
	if err != nil || string(b.B) != "short" {
		t.Fatalf("after the line that had no room: %v, %v", b, err)
	}
	b.Release()
	if p.held != 0 {
		t.Errorf("%d bytes stay charged", p.held)
	}
}

// A line that is past the limit is too long, whatever the budget says.
func TestLinesTooLongIsNotBudget(t *testing.T) {
	l := NewLineReader(strings.NewReader(strings.Repeat("x", 200_000)+"\n"), 100_000, &purse{limit: 10})
	_, err := l.Next()
	var long *TooLong
	if !errors.As(err, &long) || errors.Is(err, ErrBudget) || long.Size != 200_000 {
		t.Errorf("error %v", err)
	}
}

// A line of the size of the limit costs less than 2.5 times that in all.
func TestLongLineMemory(t *testing.T) {
	skipUnderRace(t)
	const size = 16 << 20
	line := repeated(append(bytes.Repeat([]byte{'x'}, size), "\r\n"...))
	l := NewLineReader(line, size, nil)
	before := allocated()
	b, err := l.Next()
	if err != nil || len(b.B) != size {
		t.Fatal(err)
	}
	if got := allocated() - before; got > size*5/2 {
		t.Errorf("allocated %d MiB for a line of %d MiB", got>>20, size>>20)
	}
	b.Release()
}

// A line without an end costs no memory, and the next line is not lost.
func TestEndlessLineMemory(t *testing.T) {
	skipUnderRace(t)
	const size = 256 << 20
	r := io.MultiReader(
		strings.NewReader(`{"jsonrpc":"2.0","result":"`),
		io.LimitReader(repeated([]byte(strings.Repeat(`some text \" and more of it,`, 1000))), size),
		strings.NewReader("\",\"id\":7}\nnext\n"),
	)
	l := NewLineReader(r, 64<<10, nil)
	before := allocated()
	_, err := l.Next()
	var long *TooLong
	if !errors.As(err, &long) || string(long.ID) != "7" || long.Size < size {
		t.Fatalf("error %#v", err)
	}
	if got := allocated() - before; got > 1<<20 {
		t.Errorf("allocated %d kB to skip a line", got>>10)
	}
	b, err := l.Next()
	if err != nil || string(b.B) != "next" {
		t.Fatalf("after the long line: %v, %v", b, err)
	}
	b.Release()
}

// A line whose id comes first is reported while it is still arriving, since its
// end may never come, and is not reported again when it does.
func TestLinesReportBeforeTheEnd(t *testing.T) {
	ended := false
	end := readerFunc(func(p []byte) (int, error) {
		ended = true
		return copy(p, "\"}\nnext"), io.EOF
	})
	start := strings.NewReader(`{"jsonrpc":"2.0","id":7,"result":"` + strings.Repeat("x", 100_000))
	l := NewLineReader(io.MultiReader(start, end), 1000, nil)

	_, err := l.Next()
	var long *TooLong
	if !errors.As(err, &long) || string(long.ID) != "7" || long.Size <= 1000 || long.Budget {
		t.Fatalf("error %#v", err)
	}
	if ended {
		t.Error("the report waited for the line's end")
	}
	if lines, err := drain(t, l); err != io.EOF || !slices.Equal(lines, []string{"next"}) {
		t.Errorf("%q and %v after it, want the next line and EOF", lines, err)
	}
}

// allocated is how many bytes were allocated since the start.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A reader that waits for its next line holds the small chunk only.
func TestLinesRestOnTheSmallChunk(t *testing.T) {
	var waiting bool
	burst := strings.NewReader(strings.Repeat(strings.Repeat("x", 999)+"\n", 1000))
	var l *LineReader
	wait := readerFunc(func([]byte) (int, error) {
		waiting = true
		if l.large != nil || len(l.chunk) != smallChunk {
			t.Errorf("waits with a chunk of %d bytes", len(l.chunk))
		}
		return 0, io.EOF
	})
	l = NewLineReader(io.MultiReader(burst, wait), 1<<20, nil)
	large := false
	for {
		b, err := l.Next()
		if err != nil {
			break
		}
		large = large || l.large != nil
		b.Release()
	}
	if !large {
		t.Error("read a burst of 1 MB without the large chunk")
	}
	if !waiting {
		t.Error("never waited")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
