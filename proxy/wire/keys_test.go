package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// crowd is a request whose params have n keys that differ.
func crowd(n int) []byte {
	msg := []byte(`{"jsonrpc":"2.0","id":1,"method":"m","params":{`)
	for i := range n {
		if i%3 == 0 {
			msg = append(msg, `"\u006b`...) // a third of the keys is escaped
		} else {
			msg = append(msg, `"k`...)
		}
		msg = strconv.AppendInt(msg, int64(i), 10)
		msg = append(msg, `":0,`...)
	}
	return append(msg, `"name":"n"}}`...)
}

func TestScanCrowdOfKeys(t *testing.T) {
	var e Envelope
	for _, n := range []int{fewKeys - 1, fewKeys, fewKeys + 1, 4 * fewKeys, 4*fewKeys + 1, 1000} {
		good := crowd(n)
		if err := e.Scan(good); err != nil {
			t.Fatalf("%d keys: %v", n, err)
		}
		for _, again := range []int{0, 1, n / 2, n - 1} {
			for _, key := range []string{"k%d", `\u006b%d`} {
				twice := fmt.Sprintf(`"`+key+`":0,"name"`, again)
				bad := bytes.Replace(good, []byte(`"name"`), []byte(twice), 1)
				var err *SyntaxError
				if !errors.As(e.Scan(bad), &err) || err.Reason != "a key stands twice" {
					t.Fatalf("%d keys, number %d again: %v", n, again, err)
				}
			}
		}
	}
}

// A million keys must cost time in proportion. If each were compared with each
// this test would not end today.
func TestScanMillionKeys(t *testing.T) {
	msg := crowd(1_000_000)
	var e Envelope
	if err := e.Scan(msg); err != nil {
		t.Fatal(err)
	}
	bad := bytes.Replace(msg, []byte(`"name"`), []byte(`"k0":1,"name"`), 1)
	if err := e.Scan(bad); err == nil {
		t.Fatal("the first of a million keys stands twice and was not noticed")
	}
}

// A crowd must not leave its tables behind, whether it is accepted or not.
func TestScannerForgets(t *testing.T) {
	s := acquireScanner(crowd(100_000))
	if _, ok := s.message(); !ok {
		t.Fatal(s.err)
	}
	s.release()
	for lv := range s.keys {
		if cap(s.keys[lv].slots) > keptSlots {
			t.Errorf("level %d keeps %d slots", lv, cap(s.keys[lv].slots))
		}
	}

	s = acquireScanner([]byte("{\"jsonrpc\":\"2.0\",\n\"id\":1,\"id\":1,\"method\":\"\\u006d\",\"" + strings.Repeat(`\u0078`, 2*keptScratch) + "\":1}"))
	s.message()
	if s.err == nil || !s.newline || s.seen == 0 || s.again == 0 || s.escaped == 0 || cap(s.key) <= keptScratch {
		t.Fatalf("the message does not use what is to be forgotten: %+v", s)
	}
	s.release()
	if s.msg != nil || s.err != nil || s.newline || s.seen|s.again|s.escaped != 0 || cap(s.key) > keptScratch {
		t.Errorf("release leaves %+v", s)
	}
}
