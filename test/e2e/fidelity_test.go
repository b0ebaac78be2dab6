package e2e

import (
	"fmt"
	"testing"

	"sidegate/test/e2e/harness"
)

// oddValues are raw JSON that a gate which decodes and encodes would change.
var oddValues = map[string]string{
	"beyond 2^53":        `9007199254740993`,
	"twenty digits":      `12345678901234567890`,
	"zero-width joiner":  "\"a\u200db\"",
	"soft hyphen":        "\"a\u00adb\"",
	"byte order mark":    "\"a\ufeffb\"",
	"NUL":                `"a\u0000b"`,
	"escaped plain":      `"\u0061\/"`,
	"line separator":     "\"\u2028\u2029\"",
	"markup":             `"<script>&amp;"`,
	"another plane":      "\"\U0001F600\"",
	"escaped pair":       `"\ud83d\ude00"`,
	"composed and not":   "\"\u00e9e\u0301\"",
	"tabs and newlines":  `"\t\n\r\b\f"`,
	"quotes":             `"\"\\"`,
	"negative":           `-9007199254740993`,
	"a number as string": `"1"`,
}

func TestIDsComeBackByteForByte(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, id := range oddValues {
		t.Run(name, func(t *testing.T) {
			answer := s.Do(t, harness.ToolCall(id, "echo", `{}`)).Answer(t)
			if string(answer.ID) != id {
				t.Errorf("id %s came back as %s", id, answer.ID)
			}
			streamed := s.Do(t, harness.ToolCallWithToken(id, id, "progress", `{"steps":1}`))
			if !streamed.Streamed() {
				t.Fatal("not a stream")
			}
			if got := streamed.Answer(t); string(got.ID) != id {
				t.Errorf("id %s came back on a stream as %s", id, got.ID)
			}
		})
	}
}

func TestProgressTokensComeBackByteForByte(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, token := range oddValues {
		t.Run(name, func(t *testing.T) {
			for _, m := range s.Do(t, harness.ToolCallWithToken("1", token, "progress", `{"steps":2}`)).Messages(t) {
				if m.Method == "" {
					continue
				}
				var p struct {
					ProgressToken rawJSON
				}
				decode(t, m.Params, &p)
				if string(p.ProgressToken) != token {
					t.Errorf("token %s came back as %s", token, p.ProgressToken)
				}
			}
		})
	}
}

func TestContentComesBackByteForByte(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, arguments := range map[string]string{
		"key order":      `{"z":1,"a":2,"m":{"y":1,"b":2}}`,
		"numbers":        `{"a":[1.0,1e5,1E+5,-0,0.10,1e400,3.141592653589793238462643383279]}`,
		"white space":    `{ "a" : [ 1 ,	2 ] }`,
		"lone surrogate": `{"a":"\ud800","b":"\udfff\ud800"}`,
		"NUL in a key":   `{"a\u0000b":1}`,
		"empty key":      `{"":{"":[]}}`,
		"its own fields": `{"id":1,"method":"ping","jsonrpc":"1.0","params":{"_meta":{"progressToken":7}}}`,
		"line feeds":     `{"a":"data: x\n\nevent: y\nid: 5\n\n"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.Call(t, "echo", arguments).Structured(t); got != arguments {
				t.Errorf("%s came back as %s", arguments, got)
			}
		})
	}
	for name, value := range oddValues {
		t.Run(name, func(t *testing.T) {
			arguments := fmt.Sprintf(`{"v":%s,"k":[%s]}`, value, value)
			if got := s.Call(t, "echo", arguments).Structured(t); got != arguments {
				t.Errorf("%s came back as %s", arguments, got)
			}
		})
	}
	t.Run("unknown fields reach the server", func(t *testing.T) {
		s.Notify(t, "notifications/x", `{"b":[1.0],"a":{"_meta":null}}`)
		want := harness.Notification("notifications/x", `{"b":[1.0],"a":{"_meta":null}}`)
		if got := s.Call(t, "seen", `{"method":"notifications/x"}`).Structured(t); got != `{"messages":[`+want+`]}` {
			t.Errorf("the server saw %s", got)
		}
	})
	t.Run("pretty-printed", func(t *testing.T) {
		body := "{\n  \"jsonrpc\": \"2.0\",\n  \"id\": 1,\n  \"method\": \"tools/call\",\n  \"params\": {\n    \"name\": \"echo\",\n    \"arguments\": {\n\t\"a\": \"x\\ny\"\r\n}\n  }\n}"
		var got map[string]string
		s.Do(t, body).Answer(t).Into(t, &got)
		if got["a"] != "x\ny" {
			t.Errorf("got %q", got)
		}
	})
}

// TestServersErrorsPass: an error of the server's own is passed on as it is.
func TestServersErrorsPass(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	answer := s.Call(t, "write", writeArguments(`{"jsonrpc":"2.0","id":$ID,"error":{"code":-32002,"message":"no\u0000ne","data":{"z":9007199254740993,"a":1.0}}}`+"\n", false))
	if answer.Code() != -32002 || string(answer.Error.Data) != `{"z":9007199254740993,"a":1.0}` {
		t.Errorf("got %s", answer.Raw)
	}
	if answer := s.Do(t, harness.RPC("1", "no/such", "")).Answer(t); answer.Code() != -32601 {
		t.Errorf("an unknown method got %s", answer.Raw)
	}
}
