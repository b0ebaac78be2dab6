package wire

import (
	"strings"
	"testing"
)

func TestFindID(t *testing.T) {
	fits := `"` + strings.Repeat("x", maxFoundID-2) + `"`
	tests := []struct{ name, line, want string }{
		{"id last, as TypeScript writes it", `{"result":{"id":1},"jsonrpc":"2.0","id":7}`, `7`},
		{"id first, cut in the result", `{"jsonrpc":"2.0","id":7,"result":{"content":[{"te`, `7`},
		{"id first, cut in a string", `{"jsonrpc":"2.0","id":7,"result":{"a":"x\"`, `7`},
		{"an error", `{"id":"abc","error":{"code":1,"message":"m","id":9}}`, `"abc"`},
		{"white space", " {\t\"id\" : -12 \r\n, \"result\" : [ ] }", `-12`},
		{"an id of twenty digits", `{"result":{},"id":12345678901234567890}`, `12345678901234567890`},
		{"an id with quotes and brackets", `{"id":"a\"}],:{\\","result":{}}`, `"a\"}],:{\\"`},
		{"a key that hides in a string", `{"result":"\",\"id\":9,\"","id":7}`, `7`},
		{"a key that hides in a key", `{"x\",\"id\":9,\"":1,"result":{},"id":7}`, `7`},
		{"a value that looks like a key", `{"x":"id","result":9,"id":7}`, `7`},
		{"invalid UTF-8 elsewhere", "{\"result\":\"\xff\",\"id\":7}", `7`},
		{"a bad escape elsewhere", `{"result":"\x","id":7}`, `7`},
		{"a word that is none", `{"result":NaN,"id":7}`, `7`},
		{"something after it", `{"result":1,"id":7} {"result":1,"id":8}`, `7`},
		{"the longest id", `{"result":1,"id":` + fits + `}`, fits},

		{"an id too long", `{"result":1,"id":"` + fits + `"}`, ``},
		{"an integer too long", `{"result":1,"id":` + strings.Repeat("1", maxFoundID+1) + `}`, ``},
		{"a key too long", `{"` + strings.Repeat("x", 1000) + `":1,"result":1}`, ``},
		{"a request", `{"id":7,"method":"ping"}`, ``},
		{"a request with a result", `{"id":7,"method":"ping","result":{}}`, ``},
		{"a request whose result comes first", `{"result":{},"id":7,"method":"ping"}`, ``},
		{"no answer", `{"id":7,"jsonrpc":"2.0"}`, ``},
		{"an answer further down", `{"id":7,"params":{"result":1}}`, ``},
		{"id further down", `{"result":{"id":7}}`, ``},
		{"id null", `{"id":null,"error":{}}`, ``},
		{"id with a fraction", `{"id":1.5,"result":{}}`, ``},
		{"id an object", `{"id":{"id":7},"result":{}}`, ``},
		{"id two numbers", `{"id":1 2,"result":{}}`, ``},
		{"id with a bad escape", `{"id":"\x","result":{}}`, ``},
		{"id with a lone surrogate", `{"id":"\ud800","result":{}}`, ``},
		{"id cut", `{"result":{},"id":12`, ``},
		{"id twice", `{"id":7,"result":{},"id":7}`, ``},
		{"id twice, once no id", `{"id":7,"result":{},"id":null}`, ``},
		{"log text", `INFO {"id":7,"result":{}}`, ``},
		{"a batch", `[{"id":7,"result":{}}]`, ``},
		{"brackets that close too often", `{}}}{"id":7,"result":{}}`, ``},
		{"nothing", ``, ``},
		{"white space only", `   `, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(FindID([]byte(tt.line))); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			// In pieces of any size the same must come out.
			for size := 1; size < 9; size++ {
				var f idFinder
				for rest := []byte(tt.line); len(rest) > 0; {
					n := min(size, len(rest))
					f.feed(rest[:n])
					rest = rest[n:]
				}
				if got := string(f.found()); got != tt.want {
					t.Errorf("in pieces of %d: %s, want %s", size, got, tt.want)
				}
			}
		})
	}
}

// The id outlives the line: lines are pooled.
func TestFindIDCopies(t *testing.T) {
	line := []byte(`{"id":7,"result":{}}`)
	id := FindID(line)
	clear(line)
	if string(id) != "7" {
		t.Errorf("the id changed with the line to %q", id)
	}
}
