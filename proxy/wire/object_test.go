package wire_test

import (
	"strings"
	"testing"

	"sidegate/proxy/wire"
)

func TestMembers(t *testing.T) {
	msg := []byte(`{"a" : 1 ,"b\u0022":{"x":[1,{"y":2}]},  "c":"}{,",` + "\n" + `"":null}`)
	var got []string
	for m := range wire.Members(msg, wire.Span{Start: 0, End: len(msg)}) {
		got = append(got, string(m.Key)+"="+string(m.Value.Of(msg))+"|"+string(m.Whole.Of(msg)))
	}
	want := []string{`a=1|"a" : 1`, `b"={"x":[1,{"y":2}]}|"b\u0022":{"x":[1,{"y":2}]}`, `c="}{,"|"c":"}{,"`, `=null|"":null`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, none := range []string{`{}`, `{ }`, `[1]`, `3`, `"x"`} {
		for m := range wire.Members([]byte(none), wire.Span{Start: 0, End: len(none)}) {
			t.Errorf("%s has a member %q", none, m.Key)
		}
	}
	for range wire.Members(nil, wire.Span{}) {
		t.Error("nothing has a member")
	}
}

func TestFind(t *testing.T) {
	msg := []byte(`{"result":{"a":{"b":[1]},"c":2}}`)
	result := wire.Find(msg, wire.Span{Start: 0, End: len(msg)}, "result")
	if got := wire.Find(msg, result, "c").Of(msg); string(got) != "2" {
		t.Errorf("c is %q", got)
	}
	if got := wire.Find(msg, result, "b"); !got.Empty() {
		t.Errorf("b is found at %v, one level below", got)
	}
}

func TestAppendObject(t *testing.T) {
	msg := []byte(`{"a" :1, "b":{"x":9007199254740993},"c":[ ]}`)
	for _, test := range []struct{ leave, exchange, add, want string }{
		{"", "", "", `{"a" :1,"b":{"x":9007199254740993},"c":[ ]}`},
		{"a", "", "", `{"b":{"x":9007199254740993},"c":[ ]}`},
		{"c", "b", `"d":4`, `{"a" :1,"b":0,"d":4}`},
		{"abc", "", "", `{}`},
		{"abc", "", `"d":4`, `{"d":4}`},
	} {
		got := wire.AppendObject(nil, msg, wire.Span{Start: 0, End: len(msg)}, func(m wire.Member) []byte {
			switch {
			case strings.Contains(test.leave, string(m.Key)):
				return nil
			case test.exchange == string(m.Key):
				return []byte("0")
			}
			return m.Value.Of(msg)
		}, test.add)
		if string(got) != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
	}
	if got := wire.AppendObject(nil, nil, wire.Span{}, nil, `"d":4`); string(got) != `{"d":4}` {
		t.Errorf("an object of nothing: %s", got)
	}
}
