package rpc

import (
	"encoding/json"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMemberAgreesWithEncodingJSON holds the short way to the long one.
func TestMemberAgreesWithEncodingJSON(t *testing.T) {
	for _, object := range []string{
		`{"jsonrpc":"2.0","id":17,"method":"ping"}`,
		`{"a":{"id":1,"b":["}",{"id":"]"}]},"id":"x\"y\\","z":null}`,
		" {\n\t\"id\" : -1.5e3 , \"t\":true}",
		`{"id":"\\\\\"","method":"a","params":{"s":"\\"}}`,
		`{}`, `{"id":[]}`, `{"params":{},"id":0}`,
	} {
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(object), &want); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"id", "method", "params", "a", "z", "t", "none"} {
			if got := Member([]byte(object), name); string(got) != string(want[name]) {
				t.Errorf("%s of %s is %q, want %q", name, object, got, want[name])
			}
		}
	}
}

// TestMemberEnds wants what is no JSON to be read to its end and no further.
func TestMemberEnds(*testing.T) {
	whole := `{"a":{"b":["\\",{}]},"c":"x","id":12}`
	for i := range whole {
		Text(Member([]byte(whole[:i]), "id"))
		Text(Member([]byte(whole[i:]), "id"))
	}
}
