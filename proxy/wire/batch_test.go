package wire

import (
	"slices"
	"testing"
)

func TestElements(t *testing.T) {
	tests := []struct {
		name, msg string
		want      []string
		err       string
	}{
		{"one", `[{"a":1}]`, []string{`{"a":1}`}, ""},
		{"several", " [ {\"a\":[1,2]} ,\n\"b,]\",\t3 ] ", []string{`{"a":[1,2]}`, `"b,]"`, `3`}, ""},
		{"nested batches are elements", `[[1],[]]`, []string{`[1]`, `[]`}, ""},
		{"as many as may be", `[1,2,3]`, []string{"1", "2", "3"}, ""},
		{"one too many", `[1,2,3,4]`, []string{"1", "2", "3"}, "too many messages in a batch at byte 7"},
		{"empty", `[ ]`, nil, "an empty batch at byte 2"},
		{"no array", `{"a":1}`, nil, "a batch is an array at byte 0"},
		{"no message", ``, nil, "a batch is an array at byte 0"},
		{"cut", `[1,2`, []string{"1", "2"}, "unexpected end of the message at byte 4"},
		{"a trailing comma", `[1,]`, []string{"1"}, "a value is missing at byte 3"},
		{"no comma", `[1 2]`, []string{"1"}, "a comma or bracket is missing at byte 3"},
		{"more after it", `[1]]`, []string{"1"}, "something stands after the message at byte 3"},
		{"too deep", "[" + nest(128) + "]", nil, "nested too deeply at byte 128"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			err := Elements([]byte(tt.msg), 3, func(element []byte) bool {
				got = append(got, string(element))
				return true
			})
			if !slices.Equal(got, tt.want) {
				t.Errorf("elements %q, want %q", got, tt.want)
			}
			if text := errText(err); text != tt.err {
				t.Errorf("error %q, want %q", text, tt.err)
			}
		})
	}
}

func TestElementsStops(t *testing.T) {
	n := 0
	err := Elements([]byte(`[1,2,3]`), 10, func([]byte) bool { n++; return n < 2 })
	if err != nil || n != 2 {
		t.Errorf("%d elements and error %v, want 2 and none", n, err)
	}
}

// An element cannot be appended to at the cost of the next.
func TestElementsAreClipped(t *testing.T) {
	msg := []byte(`["a","b"]`)
	Elements(msg, 10, func(element []byte) bool {
		_ = append(element, 'x')
		return true
	})
	if string(msg) != `["a","b"]` {
		t.Errorf("the message became %s", msg)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
