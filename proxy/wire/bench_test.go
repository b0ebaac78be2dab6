package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// body makes a tools/call of about size bytes as clients send it: prose with
// line breaks and quotes escaped and some of it past ASCII, among nested
// arguments with numbers, flags, and short strings.
func body(size int) []byte {
	const head = `{"jsonrpc":"2.0","id":4217,"method":"tools/call","params":{"name":"edit_file","arguments":{"path":"/src/pkg/server/handler.go","dryRun":false`
	const edit = `{"line":1042,"column":7,"weight":0.25,"tags":["a","refactor",null,true],"range":{"start":{"line":10,"character":0},"end":{"line":14,"character":80}},"text":`
	const prose = `"The handler returns \"ok\" once the naïve check — the one in front — has passed.\nEverything after it runs under the session's lock, and the caller waits for it to end.\n\tif err != nil {\n\t\treturn fmt.Errorf(\"cannot open %s: %w\", path, err)\n\t}\nSee the notes on 接続 handling for the reasons, which are long and were argued over at length by everybody involved. "`
	const tail = `},"_meta":{"progressToken":4217}}}`
	out := []byte(head)
	if size < 1000 {
		out = append(out, `,"text":"The naïve check \"passed\".\nEverything after it runs under the session's lock, and the caller waits."`...)
	} else {
		out = append(out, `,"edits":[`...)
		for len(out) < size-len(prose)-len(tail) {
			out = append(out, edit...)
			out = append(out, prose...)
			out = append(out, "},"...)
		}
		out = append(out[:len(out)-1], ']')
	}
	return append(out, tail...)
}

// prose makes one that is nearly all one string, as file contents are.
func prose(size int) []byte {
	const head = `{"method":"tools/call","params":{"name":"write_file","arguments":{"path":"/tmp/notes.md","content":"`
	const line = `It was argued over at length – everybody involved has an opinion – and the notes say \"why\".\nThe next paragraph is plain ASCII, as most of what is written in English turns out to be, and goes on for a while.\n`
	const tail = `"},"_meta":{"progressToken":"a-7"}},"jsonrpc":"2.0","id":"call-7"}`
	n := max(1, (size-len(head)-len(tail))/len(line))
	return append(append([]byte(head), bytes.Repeat([]byte(line), n)...), tail...)
}

var sizes = []struct {
	name string
	size int
}{{"350B", 350}, {"5kB", 5 << 10}, {"70kB", 70 << 10}, {"16MB", 16 << 20}}

func BenchmarkScan(b *testing.B) {
	kinds := []struct {
		name string
		make func(int) []byte
	}{{"nested", body}, {"prose", prose}}
	for _, k := range kinds {
		for _, s := range sizes {
			b.Run(fmt.Sprintf("%s/%s", k.name, s.name), func(b *testing.B) { benchScan(b, k.make(s.size)) })
		}
	}
}

// BenchmarkScanShapes are bodies that do not flatter the scanner.
func BenchmarkScanShapes(b *testing.B) {
	call := func(arguments string) []byte {
		return []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":` + arguments + `}}`)
	}
	repeat := func(s string) string { return string(bytes.Repeat([]byte(s), (70<<10)/len(s))) }
	shapes := []struct{ name, arguments string }{
		{"base64", `"` + repeat("QUJDREVGR0hJSktMTU5P") + `"`},
		{"json-in-string", `"` + repeat(`{\"a\":\"bc\",\"n\":[1,2]},`) + `"`},
		{"chinese", `"` + repeat("工具服务器的回答很长") + `"`},
		{"french", `"` + repeat("l'été dernier, à la première réunion, ") + `"`},
		{"unicode-escapes", `"` + repeat(`\u5de5\u5177`) + `"`},
		{"numbers", `[` + repeat("0.0123,-4,77,") + `1]`},
		{"embeddings", `[` + repeat("-0.012345678901,") + `1]`},
		{"short-strings", `[` + repeat(`"a","bc","def",`) + `1]`},
		{"pretty", "{" + repeat("\n        \"key\": {\n            \"value\": 12\n        },") + "\"z\": 1\n}"},
		{"brackets", `[` + repeat("[[]],[{}],") + `1]`},
	}
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) { benchScan(b, call(s.arguments)) })
	}
}

func benchScan(b *testing.B, msg []byte) {
	var e Envelope
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Scan(msg); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScanCrowd is what somebody can do who sends 16 MB of nothing but
// keys where they must be compared.
func BenchmarkScanCrowd(b *testing.B) { benchScan(b, crowd(1_300_000)) }

// BenchmarkEncodingJSON is what the standard library does with the same bodies
// when it only says yes or no.
func BenchmarkEncodingJSON(b *testing.B) {
	for _, s := range sizes {
		b.Run(s.name, func(b *testing.B) {
			msg := body(s.size)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				if !json.Valid(msg) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
