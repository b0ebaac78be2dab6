package wire

import (
	"bytes"
	"testing"
)

// Counts of allocations are promises, so they are tested.
func TestScanAllocations(t *testing.T) {
	skipUnderRace(t)
	msgs := map[string][]byte{
		"initialize":          []byte(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`),
		"tools/call of 350 B": body(350),
		"tools/call of 5 kB":  body(5 << 10),
		"tools/call of 70 kB": body(70 << 10),
		"tools/call of 1 MB":  body(1 << 20),
		"escaped texts":       []byte(`{"jsonrpc":"2.0","id":"\u0031","m\u0065thod":"tools\/call","params":{"n\u0061me":"na\u00efve","x\u0061":1}}`),
		"100 keys":            crowd(100),
		"1000 keys":           crowd(1000),
		"unknown keys":        []byte(`{"jsonrpc":"2.0","x":1,"id":1,"result":{"x":1},"params":{"x":1,"_meta":{"io.modelcontextprotocol/clientCapabilities":{},"x":1}}}`),
		"a result":            []byte(`{"result":{"content":[{"type":"text","text":"a\nb"}]},"jsonrpc":"2.0","id":7}`),
		"an error":            []byte(`{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no"}}`),
	}
	for name, msg := range msgs {
		var e Envelope
		if err := e.Scan(msg); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if allocs := testing.AllocsPerRun(100, func() { e.Scan(msg) }); allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
}

// A refusal costs its error value and nothing else.
func TestScanRefusalAllocations(t *testing.T) {
	skipUnderRace(t)
	for _, msg := range []string{``, `{"a":01}`, nest(100_000), `{"jsonrpc":"2.0","id":1,"id":1}`, `{}`, "{\"\xff\":1}"} {
		var e Envelope
		b := []byte(msg)
		if allocs := testing.AllocsPerRun(100, func() { e.Scan(b) }); allocs > 1 {
			t.Errorf("%.20q: %v allocations, want 1", msg, allocs)
		}
	}
}

func TestEncodersDoNotAllocate(t *testing.T) {
	skipUnderRace(t)
	msg := body(350)
	var e Envelope
	if err := e.Scan(msg); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 4<<10)
	id := []byte("stream-1-17")
	tests := map[string]func(){
		"AppendSplice":    func() { dst = AppendSplice(dst[:0], msg, e.ID, id) },
		"AppendPatched":   func() { dst = AppendPatched(dst[:0], msg, Patch{e.ID, id}, Patch{e.ProgressToken, id}) },
		"Flatten":         func() { Flatten(msg) },
		"AppendEvent":     func() { dst = AppendEvent(dst[:0], id, msg) },
		"AppendEventHead": func() { dst = AppendEventHead(dst[:0], id) },
		"AppendPriming":   func() { dst = AppendPriming(dst[:0], id) },
		"AppendRetry":     func() { dst = AppendRetry(dst[:0], 1500) },
		"AppendComment":   func() { dst = AppendComment(dst[:0], "still here") },
	}
	for name, f := range tests {
		if allocs := testing.AllocsPerRun(100, f); allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
}

// A line costs no allocation once the reader runs: its buffer is pooled.
func TestLineReaderAllocations(t *testing.T) {
	skipUnderRace(t)
	line := append(body(350), '\n')
	l := NewLineReader(endless{line}, 1<<20, nil)
	next := func() {
		b, err := l.Next()
		if err != nil || len(b.B) != len(line)-1 {
			t.Fatal("a line was lost")
		}
		b.Release()
	}
	next()
	if allocs := testing.AllocsPerRun(1000, next); allocs != 0 {
		t.Errorf("%v allocations a line, want 0", allocs)
	}
}

// endless reads the same line over and over, as much as the caller has room
// for but whole lines only.
type endless struct{ line []byte }

func (r endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(r.line) <= len(p) {
		n += copy(p[n:], r.line)
	}
	if n == 0 {
		panic("the chunk is smaller than the line")
	}
	return n, nil
}

func BenchmarkLines(b *testing.B) {
	for _, s := range sizes {
		b.Run(s.name, func(b *testing.B) {
			line := append(body(s.size), '\n')
			l := NewLineReader(repeated(line), 16<<20, nil)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				buf, err := l.Next()
				if err != nil {
					b.Fatal(err)
				}
				buf.Release()
			}
		})
	}
}

// BenchmarkSkippedLines is what it costs to look for the id of lines that are
// too long.
func BenchmarkSkippedLines(b *testing.B) {
	line := append(body(1<<20), '\n')
	l := NewLineReader(repeated(line), 1000, nil)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Next(); err == nil {
			b.Fatal("the line is too long and was not skipped")
		}
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	for _, s := range sizes {
		b.Run(s.name, func(b *testing.B) {
			msg, dst := body(s.size), []byte(nil)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendEvent(dst[:0], []byte("1-17"), msg)
			}
		})
	}
}

func BenchmarkFlatten(b *testing.B) {
	msg := bytes.Repeat([]byte("        \"key\": {\n            \"value\": 12\n        },\n"), 100)
	work := bytes.Clone(msg)
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		copy(work, msg)
		Flatten(work)
	}
}

// repetition is a reader of one line without an end, as a pipe gives it.
type repetition struct {
	line []byte
	at   int
}

func repeated(line []byte) *repetition { return &repetition{line: line} }

func (r *repetition) Read(p []byte) (int, error) {
	n := copy(p, r.line[r.at:])
	r.at = (r.at + n) % len(r.line)
	return n, nil
}
