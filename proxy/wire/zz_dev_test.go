package wire

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	if os.Getenv("ZZ") == "" {
		t.Skip("dev")
	}
	call := func(arguments string) []byte {
		return []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":` + arguments + `}}`)
	}
	repeat := func(s string) string {
		o := ""
		for len(o) < 7000 {
			o += s
		}
		return o
	}
	m := []struct {
		n string
		b []byte
	}{
		{"tiny", []byte(`{"jsonrpc":"2.0","method":"x"}`)},
		{"ping", []byte(`{"jsonrpc":"2.0","method":"ping","id":77}`)},
		{"init", []byte(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{},"elicitation":{},"roots":{"listChanged":true}},"clientInfo":{"name":"my-client","version":"1.0.0"}}}`)},
		{"result", []byte(`{"result":{"content":[{"type":"text","text":"The answer is 42 and there is nothing else to say about it, is there?"}]},"jsonrpc":"2.0","id":12}`)},
		{"nested350", body(350)}, {"nested5k", body(5 << 10)}, {"nested70k", body(70 << 10)},
		{"prose350", prose(350)}, {"prose5k", prose(5 << 10)}, {"prose70k", prose(70 << 10)},
		{"base64", call(`"` + repeat("QUJDREVGR0hJSktMTU5P") + `"`)},
		{"jsoninstr", call(`"` + repeat(`{\"a\":\"bc\",\"n\":[1,2]},`) + `"`)},
		{"chinese", call(`"` + repeat("工具服务器的回答很长") + `"`)},
		{"french", call(`"` + repeat("l'été dernier, à la première réunion, ") + `"`)},
		{"uescapes", call(`"` + repeat(`\u5de5\u5177`) + `"`)},
		{"numbers", call(`[` + repeat("0.0123,-4,77,") + `1]`)},
		{"embeddings", call(`[` + repeat("-0.012345678901,") + `1]`)},
		{"shortstr", call(`[` + repeat(`"a","bc","def",`) + `1]`)},
		{"pretty", call("{" + repeat("\n        \"key\": {\n            \"value\": 12\n        },") + "\"z\": 1\n}")},
		{"brackets", call(`[` + repeat("[[]],[{}],") + `1]`)},
	}
	var e Envelope
	best := make([]time.Duration, len(m))
	reps := make([]int, len(m))
	for i := range m {
		reps[i] = max(1, 300000/len(m[i].b))
		best[i] = time.Hour
	}
	for r := 0; r < 300; r++ {
		for i := range m {
			t0 := time.Now()
			for k := 0; k < reps[i]; k++ {
				if err := e.Scan(m[i].b); err != nil {
					t.Fatal(err)
				}
			}
			best[i] = min(best[i], time.Since(t0))
		}
	}
	for i := range m {
		ns := float64(best[i].Nanoseconds()) / float64(reps[i])
		fmt.Printf("%-12s %6d B %9.1f ns %7.0f MB/s\n", m[i].n, len(m[i].b), ns, float64(len(m[i].b))/ns*1000)
	}
}
