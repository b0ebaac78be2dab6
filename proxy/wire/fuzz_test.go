package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"
)

func FuzzScan(f *testing.F) {
	f.Add(body(350))
	f.Add(crowd(20))
	f.Fuzz(checkScan)
}

// checkScan compares the scan of any bytes with the second opinion.
func checkScan(t *testing.T, msg []byte) {
	original := bytes.Clone(msg)
	var e Envelope
	err := e.Scan(msg)
	if !bytes.Equal(msg, original) {
		t.Fatal("Scan changed the message")
	}
	want := judgeByJSON(msg)
	if err != nil {
		checkRefusal(t, &e, msg, err, want)
		return
	}
	if want.class != 0 {
		t.Fatalf("passed; the second opinion is class %d", want.class)
	}
	if e.Kind != want.kind || e.HasNewline != bytes.ContainsAny(msg, "\r\n") {
		t.Errorf("kind %d and newline %t; the second opinion is kind %d", e.Kind, e.HasNewline, want.kind)
	}
	for name, got := range found(&e, msg) {
		if got != want.texts[name] {
			t.Errorf("%s = %q; the second opinion is %q", name, got, want.texts[name])
		}
	}
	checkForwarding(t, &e, msg)
}

// checkRefusal compares a refusal with the second opinion. What is not JSON may
// be called a bad envelope where bad UTF-8 or depth came before the fault.
func checkRefusal(t *testing.T, e *Envelope, msg []byte, err error, want *opinion) {
	var got *SyntaxError
	if !errors.As(err, &got) || got.Offset < 0 || got.Offset > len(msg) {
		t.Fatalf("error %#v", err)
	}
	stopped := got.Reason == "invalid UTF-8" || got.Reason == "nested too deeply"
	if got.Class != want.class && !(stopped && want.class == NotJSON) {
		t.Errorf("%v, class %d; the second opinion is class %d", got, got.Class, want.class)
	}
	if got.Reason == "invalid UTF-8" && utf8.Valid(msg) {
		t.Errorf("%v, but all of it is valid", got)
	}
	if id := string(e.ID.Of(msg)); id != "" && !stopped && (len(want.ids) != 1 || want.ids[0] != id) {
		t.Errorf("refused with id %s; the second opinion is %q", id, want.ids)
	}
}

// checkForwarding does to a message what is done before it is passed on.
func checkForwarding(t *testing.T, e *Envelope, msg []byte) {
	if e.Kind == Batch {
		checkElements(t, msg)
		return
	}
	var before, after bytes.Buffer
	json.Compact(&before, msg)
	flat := bytes.Clone(msg)
	Flatten(flat)
	json.Compact(&after, flat)
	if bytes.ContainsAny(flat, "\r\n") || !bytes.Equal(before.Bytes(), after.Bytes()) {
		t.Errorf("flattened to %q", flat)
	}
	if e.ID.Empty() {
		return
	}
	var again Envelope
	spliced := AppendSplice(nil, flat, e.ID, []byte(`"other"`))
	if err := again.Scan(spliced); err != nil || string(again.ID.Of(spliced)) != `"other"` || again.Kind != e.Kind {
		t.Errorf("spliced to %q: %v", spliced, err)
	}
	if back := AppendSplice(nil, spliced, again.ID, e.ID.Of(flat)); !bytes.Equal(back, flat) {
		t.Errorf("spliced back to %q", back)
	}
}

// checkElements compares the elements of a batch with encoding/json's.
func checkElements(t *testing.T, msg []byte) {
	var want []json.RawMessage
	if err := json.Unmarshal(msg, &want); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := Elements(msg, len(want), func(element []byte) bool {
		if n >= len(want) || !bytes.Equal(element, want[n]) {
			t.Errorf("element %d is %q", n, element)
		}
		n++
		return true
	})
	if n != len(want) || (err == nil) != (n > 0) {
		t.Errorf("%d elements of %d and error %v", n, len(want), err)
	}
}

// FuzzLines reads data in pieces of random size with a small limit and a small
// budget, and compares with bufio's lines.
func FuzzLines(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, limit uint8) {
		if len(data) > 0 && seed%8 == 0 { // long enough for chunks to be exchanged
			data = bytes.Repeat(data, 1+(80<<10)/len(data))
		}
		var want []string
		var skipped [][]byte
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, len(data)+2)
		for lines.Scan() {
			switch line := lines.Bytes(); {
			case len(line) == 0:
			case len(line) > int(limit):
				want = append(want, "skipped")
				skipped = append(skipped, bytes.Clone(line))
				checkFoundID(t, line)
			default:
				want = append(want, string(line))
			}
		}
		if lines.Err() != nil {
			t.Fatal(lines.Err())
		}

		p := &purse{limit: int64(limit)}
		r := &crumbs{data, rand.New(rand.NewPCG(seed, 0))}
		var got []string
		reader := NewLineReader(r, int(limit), p)
		for {
			b, err := reader.Next()
			var long *TooLong
			if errors.As(err, &long) && len(skipped) > 0 {
				checkSkipped(t, long, skipped[0], int(limit))
				skipped = skipped[1:]
				got = append(got, "skipped")
				continue
			}
			if err != nil {
				if err != io.EOF || p.held != 0 {
					t.Errorf("error %v, %d bytes stay charged", err, p.held)
				}
				break
			}
			got = append(got, string(b.B))
			b.Release()
		}
		if !slices.Equal(got, want) {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
	})
}

// checkSkipped compares what was reported of a line with the line. It may have
// been reported before its end, as soon as there was an id.
func checkSkipped(t *testing.T, long *TooLong, line []byte, limit int) {
	if long.Size <= int64(limit) || long.Size > int64(len(line)) {
		t.Fatalf("reported %d bytes of a line of %d", long.Size, len(line))
	}
	if seen := FindID(line[:long.Size]); !bytes.Equal(long.ID, seen) {
		t.Errorf("reported id %s after %d bytes of %q, in which stands %s", long.ID, long.Size, line, seen)
	}
	if long.ID == nil && long.Size != int64(len(line)) {
		t.Errorf("reported without an id after %d bytes of %d", long.Size, len(line))
	}
}

// checkFoundID compares the id found in a line with what encoding/json reads,
// where that can read it at all.
func checkFoundID(t *testing.T, line []byte) {
	id := string(FindID(line))
	if id != "" && (!json.Valid([]byte(id)) || len(id) > maxFoundID) {
		t.Errorf("found id %s in %q", id, line)
	}
	if !json.Valid(line) || !utf8.Valid(line) {
		return
	}
	want, keys := "", map[string]int{}
	for _, m := range membersOf(line) {
		keys[m.rawKey]++
		if m.rawKey == "id" {
			want = string(m.value)
		}
	}
	sound := isIntegerText(want) || want != "" && want[0] == '"' && !hasLoneSurrogate(want[1:len(want)-1])
	if keys["id"] != 1 || keys["method"] > 0 || keys["result"]+keys["error"] == 0 || !sound || len(want) > maxFoundID {
		want = ""
	}
	if id != want {
		t.Errorf("found id %s in %q, want %s", id, line, want)
	}
}

// crumbs reads data in pieces of random size.
type crumbs struct {
	data []byte
	rand *rand.Rand
}

func (r *crumbs) Read(p []byte) (int, error) {
	size := 1 + r.rand.IntN(16)
	if r.rand.IntN(4) == 0 {
		size = 1 + r.rand.IntN(128<<10)
	}
	n := copy(p[:min(len(p), size)], r.data)
	r.data = r.data[n:]
	if n == 0 || len(r.data) == 0 && r.rand.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}
