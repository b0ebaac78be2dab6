package lines

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestSanitize(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"plain", "listening on stdio", "listening on stdio"},
		{"letters of the world", "größer 日本 🙂 e\u0301", "größer 日本 🙂 e\u0301"},
		{"tab", "a\tb", "a b"},
		{"colour", "\x1b[1;31mred\x1b[0m", "red"},
		{"cursor", "\x1b[2J\x1b[Hfresh", "fresh"},
		{"title", "\x1b]0;new title\x07text", "text"},
		{"title with ST", "\x1b]0;new title\x1b\\text", "text"},
		{"link", "\x1b]8;;http://example.com\x1b\\here\x1b]8;;\x1b\\", "here"},
		{"device control", "\x1bPq#0\x1b\\text", "text"},
		{"character set", "\x1b(Btext", "text"},
		{"keypad", "\x1b=text", "text"},
		{"cut off sequence", "text\x1b[31", "text"},
		{"cut off string", "text\x1b]0;title", "text"},
		{"string cut by another", "a\x1b]0;title\x1b[31mb", "ab"},
		{"escape at the end", "text\x1b", "text"},
		{"two escapes", "\x1b\x1b[31mtext", "text"},
		{"controls", "a\x00b\x07c\x7fd\bé", "abcdé"},
		{"eight-bit controls", "a\u009b31mb\u0085c", "a31mbc"},
		{"bad UTF-8", "a\xffb\xc3", "a\ufffdb\ufffd"},
		{"right to left", "user\u202egnp.exe\u2066x\u2069", "usergnp.exex"},
		{"line separators", "a\u2028b\u2029c", "abc"},
		{"nothing", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(Sanitize([]byte(test.line))); got != test.want {
				t.Errorf("Sanitize(%q) = %q, want %q", test.line, got, test.want)
			}
		})
	}
}

// FuzzSanitize: whatever comes, what is left is text and nothing that
// sanitizing again would change.
func FuzzSanitize(f *testing.F) {
	f.Add([]byte("\x1b[1;31mred\x1b[0m \xff\u202e\x1b]0;title\x07"))
	f.Add([]byte("\x1b\x1b]\x1b\\"))
	f.Fuzz(func(t *testing.T, line []byte) {
		clean := Sanitize(line)
		if !utf8.Valid(clean) {
			t.Errorf("%q is not UTF-8", clean)
		}
		for _, r := range string(clean) {
			if unicode.IsControl(r) {
				t.Errorf("%q holds the control character %U", clean, r)
			}
		}
		if again := Sanitize(clean); string(again) != string(clean) {
			t.Errorf("%q becomes %q", clean, again)
		}
	})
}
