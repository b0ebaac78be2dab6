package refusal

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAppendJSON: data is part of the error, the id is the request's, and
// whatever a client has sent stays inside of its string.
func TestAppendJSON(t *testing.T) {
	hostile := "v\"\\\x00\n\x7f\xff\u2028"
	for _, c := range []struct {
		name string
		r    *Refusal
		id   string
		want string
	}{
		{"plain", row("x", 400, -32600, 1008, 0, "no"), "", `{"jsonrpc":"2.0","error":{"code":-32600,"message":"no"}}`},
		{"with an id", row("x", 400, -32600, 1008, 0, "no"), `"a"`, `{"jsonrpc":"2.0","id":"a","error":{"code":-32600,"message":"no"}}`},
		{"with data", &Refusal{Code: 1, Text: "no", Data: []byte(`[1]`)}, "7", `{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"no","data":[1]}}`},
		{
			"a version", Version("v9", []string{"b", "a"}), "1",
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"this protocol version is not served; ask for one of: b, a","data":{"supported":["b","a"],"requested":"v9"}}}`,
		},
		{
			"a capability", Capability("sampling").With("no"), "1",
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"no","data":{"requiredCapabilities":{"sampling":{}}}}}`,
		},
		{
			"part of a capability", Capability("elicitation.url").With("no"), "1",
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"no","data":{"requiredCapabilities":{"elicitation":{"url":{}}}}}}`,
		},
	} {
		if got := string(c.r.AppendJSON(nil, []byte(c.id))); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
	}
	var answer struct {
		Error struct {
			Data struct {
				Requested string `json:"requested"`
			} `json:"data"`
		} `json:"error"`
	}
	text := Version(hostile, []string{"a"}).After(time.Second).AppendJSON(nil, nil)
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if want := strings.ToValidUTF8(hostile, "\ufffd"); answer.Error.Data.Requested != want {
		t.Errorf("%q, want %q", answer.Error.Data.Requested, want)
	}
}

// TestRowsAreNeverChanged: what is made of a row leaves the row as it was.
func TestRowsAreNeverChanged(t *testing.T) {
	before := *UnsupportedVersion
	_ = Version("v9", []string{"a"})
	_ = Capability("roots")
	if UnsupportedVersion.Text != before.Text || UnsupportedVersion.Data != nil || MissingCapability.Data != nil {
		t.Errorf("%+v", UnsupportedVersion)
	}
}
