package stdio

import (
	"testing"
	"unicode/utf8"
)

func TestLastWords(t *testing.T) {
	var w lastWords
	if texts := w.all(); texts != nil {
		t.Errorf("nothing was said, but %q", texts)
	}
	long := make([]byte, 0, 2*maxWords)
	long = append(long, 'a')
	for len(long) < maxWords+10 {
		long = append(long, "é"...)
	}
	for range keptWords + 5 {
		w.add([]byte("before"))
	}
	w.add(long)
	texts := w.all()
	if len(texts) != keptWords || texts[0] != "before" {
		t.Fatalf("%d lines, the first %q", len(texts), texts[0])
	}
	if last := texts[keptWords-1]; len(last) > maxWords+2 || !utf8.ValidString(last) {
		t.Errorf("the last of %d bytes: %q", len(last), last)
	}
}
