package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// FuzzEvents reads a stream in pieces of random size with a small limit, and
// compares with the standard's algorithm done on the whole text.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		"\ufeff: hi\r\n\r\nevent: endpoint\ndata: /messages?session=1\n\n",
		"id: 1\nretry: 10\ndata:\n\nid: 2\ndata: {\"jsonrpc\":\"2.0\",\rdata:\"id\":7,\r\ndata: \"result\":{}}\n\n",
		"id: a\x00b\ndata\ndata\n\n\n\rdata:x\n\r",
		"\xef\xbbdata: x\n\ndata: {\"result\":\"0123456789012345678901234567890123456789\",\"id\":3}\n\n",
	} {
		f.Add([]byte(seed), uint64(1), uint8(60))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, limit uint8) {
		if len(data) > 0 && seed%8 == 0 { // long enough for chunks to be exchanged
			data = bytes.Repeat(data, 1+(80<<10)/len(data))
		}
		want := judgeEvents(string(data), int(limit))
		p := &purse{limit: int64(limit)}
		e := NewEventReader(&crumbs{data, rand.New(rand.NewPCG(seed, 0))}, int(limit), p)
		var got []string
		for {
			b, err := e.Next()
			var long *TooLong
			if errors.As(err, &long) {
				if long.Budget || long.Size <= int64(limit) {
					t.Errorf("reported %d bytes, budget %t", long.Size, long.Budget)
				}
				got = append(got, "skipped "+string(long.ID))
				continue
			}
			if err != nil {
				if err != io.EOF || p.held != 0 {
					t.Errorf("error %v, %d bytes stay charged", err, p.held)
				}
				break
			}
			got = append(got, fmt.Sprintf("%q %q %q", e.Type(), e.ID(), b.B))
			b.Release()
		}
		got = append(got, fmt.Sprintf("%q %d", e.ID(), e.Retry().Milliseconds()))
		if !sameEvents(got, want) {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
	})
}

// sameEvents compares what was read with the second opinion. The id of an event
// that was skipped may have been seen before the event turned out to have two,
// and so may an event that was cut afterwards.
func sameEvents(got, want []string) bool {
	if len(got) == len(want)+1 { // the last event was reported and then cut
		if n := len(got) - 2; strings.HasPrefix(got[n], "skipped ") && got[n] != "skipped " {
			got = slices.Delete(slices.Clone(got), n, n+1)
		}
	}
	return slices.EqualFunc(got, want, func(g, w string) bool {
		return g == w || w == "skipped " && strings.HasPrefix(g, w)
	})
}

// judgeEvents is the second opinion.
func judgeEvents(text string, limit int) (events []string) {
	var data, kind, id, nextID string
	retry := int64(0)
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] { // the last is not ended
		if line == "" {
			id = nextID
			data = strings.TrimSuffix(data, "\n")
			if len(data) > limit {
				events = append(events, "skipped "+string(FindID([]byte(data))))
			} else if data != "" {
				events = append(events, fmt.Sprintf("%q %q %q", kind, id, data))
			}
			data, kind = "", ""
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data += value + "\n"
		case "event":
			kind = value[:min(len(value), maxField)]
		case "id":
			if len(value) > maxField {
				nextID = ""
			} else if !strings.Contains(value, "\x00") {
				nextID = value
			}
		case "retry":
			if value == "" || len(value) > maxField || strings.Trim(value, "0123456789") != "" {
				continue
			}
			retry = 0
			for _, c := range value {
				retry = min(10*retry+int64(c-'0'), maxRetry)
			}
		}
	}
	return append(events, fmt.Sprintf("%q %d", id, retry))
}
