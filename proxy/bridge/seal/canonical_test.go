package seal

import (
	"testing"

	"sidegate/proxy/wire"
)

func canonical(text string) string {
	return string(AppendCanonical(nil, []byte(text), wire.Span{Start: 0, End: len(text)}, "_meta"))
}

func TestAppendCanonical(t *testing.T) {
	for _, same := range [][]string{
		{`{}`, `{ }`, `{"_meta":{"a":1}}`, ``},
		{`{"a":1,"b":{"c":[1,{"x":1,"y":2}],"d":"\u00e9<"}}`, `{"b": {"d":"\u00E9<", "c": [ 1, {"y":2, "x":1} ]}, "_meta": 3, "\u0061":1}`, `{"b":{"c":[1,{"x":1,"y":2}],"d":"é<"},"a":1}`},
		{`{"n":90071992547409931}`, `{"n" : 90071992547409931}`},
		{`{"l":["a","b"]}`, `{"l":[ "a","b" ]}`},
	} {
		for _, other := range same[1:] {
			if canonical(other) != canonical(same[0]) {
				t.Errorf("%s and %s differ", same[0], other)
			}
		}
	}
	seen := map[string]string{}
	for _, text := range []string{
		`{}`, `{"a":1}`, `{"a":1.0}`, `{"a":"1"}`, `{"a":[1]}`, `{"a":{"1":1}}`, `{"a":null}`, `{"b":1}`, `{"a":1,"b":2}`, `{"a":{"b":2},"c":1}`,
		`{"a":{"b":2,"c":1}}`, `{"a":"=1x"}`, `{"a":{"_meta":1}}`, `{"a":{}}`, `{"a":[]}`, `{"a":[[1],2]}`, `{"a":[[1,2]]}`, `{"":1}`,
	} {
		if before, ok := seen[canonical(text)]; ok {
			t.Errorf("%s and %s are the same", before, text)
		}
		seen[canonical(text)] = text
	}
}
