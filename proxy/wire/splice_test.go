package wire

import (
	"strings"
	"testing"
)

func TestFlatten(t *testing.T) {
	tests := []struct{ name, msg, want string }{
		{"one line", `{"a": "b"}`, `{"a": "b"}`},
		{"pretty-printed", "{\r\n  \"a\":\n1\r}\n", `{    "a": 1 } `},
		{"escaped line breaks stay", "{\"a\":\n\"x\\ny\\r\"}", `{"a": "x\ny\r"}`},
		{"line separators of Unicode stay", "{\"a\":\"\u2028\u2029\u0085\"\n}", "{\"a\":\"\u2028\u2029\u0085\" }"},
		{"only line breaks", "\n\n\r\n", "    "},
	}
	for _, tt := range tests {
		msg := []byte(tt.msg)
		Flatten(msg)
		if string(msg) != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, msg, tt.want)
		}
	}
}

func TestAppendSplice(t *testing.T) {
	tests := []struct {
		name, msg string
		at        Span
		with      string
		want      string
	}{
		{"longer", `{"id":1}`, Span{6, 7}, `"abc"`, `{"id":"abc"}`},
		{"shorter", `{"id":"abc"}`, Span{6, 11}, `1`, `{"id":1}`},
		{"nothing", `{"id":1}`, Span{1, 7}, ``, `{}`},
		{"an insertion", `{}`, Span{1, 1}, `"id":1`, `{"id":1}`},
		{"all of it", `1`, Span{0, 1}, `2`, `2`},
	}
	for _, tt := range tests {
		got := AppendSplice([]byte("before "), []byte(tt.msg), tt.at, []byte(tt.with))
		if want := "before " + tt.want; string(got) != want {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
		got = AppendPatched([]byte("before "), []byte(tt.msg), Patch{tt.at, []byte(tt.with)})
		if want := "before " + tt.want; string(got) != want {
			t.Errorf("%s, patched: %s, want %s", tt.name, got, want)
		}
	}
}

func TestAppendPatched(t *testing.T) {
	msg := []byte(`{"a":1,"b":22,"c":3}`)
	got := AppendPatched(nil, msg, Patch{Span{5, 6}, []byte("111")}, Patch{Span{11, 13}, []byte("2")}, Patch{Span{18, 19}, nil})
	if want := `{"a":111,"b":2,"c":}`; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := AppendPatched(nil, msg); string(got) != string(msg) {
		t.Errorf("without patches: %s", got)
	}
}

// Nothing but the spans may change: big integers, key order, and characters
// that some encoders drop or escape come through as they are.
func TestSpliceKeepsTheRest(t *testing.T) {
	const msg = `{"z":1,"id":9007199254740993,"jsonrpc":"2.0","a":[1.0,1e2,-0],"method":"tools/call",` +
		"\"params\":{\"y\":\"\u200d\u00ad\ufeff\",\"name\":\"\\u0000<>&\",\"_meta\":{\"progressToken\":12345678901234567890},\"b\":\"\\ud800\"}}"
	var e Envelope
	if err := e.Scan([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	got := AppendPatched(nil, []byte(msg), Patch{e.ID, []byte(`"1"`)}, Patch{e.ProgressToken, []byte(`2`)})
	want := strings.NewReplacer("9007199254740993", `"1"`, "12345678901234567890", "2").Replace(msg)
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
