package wire

import (
	"errors"
	"strings"
	"testing"
)

// nest is an array in an array, n deep.
func nest(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// call puts extra members into a request, params into its params.
func call(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"m","params":` + params + `}`
}

func TestScanRefuses(t *testing.T) {
	tests := []struct {
		name, msg string
		class     Class
		reason    string
		offset    int
	}{
		// Not one JSON value.
		{"empty", ``, NotJSON, "unexpected end of the message", 0},
		{"only white space", " \n\t", NotJSON, "unexpected end of the message", 3},
		{"byte order mark", "\xef\xbb\xbf{}", NotJSON, "a value is missing", 0},
		{"a word", `hello`, NotJSON, "a value is missing", 0},
		{"a cut word", `tru`, NotJSON, "a value is missing", 0},
		{"a cut object", `{"jsonrpc":"2.0"`, NotJSON, "unexpected end of the message", 16},
		{"a cut string", `{"jsonrpc":"2.`, NotJSON, "a string without an end", 14},
		{"a cut escape", `{"jsonrpc":"\`, NotJSON, "an escape that JSON does not have", 12},
		{"a cut \\u", `{"jsonrpc":"\u00`, NotJSON, "an escape that JSON does not have", 12},
		{"cut after an escape", `{"jsonrpc":"\u0041\`, NotJSON, "an escape that JSON does not have", 18},
		{"a second value", `{"jsonrpc":"2.0","id":1,"method":"m"}{}`, NotJSON, "something stands after the message", 37},
		{"a second value on its own line", "{}\n{}", NotJSON, "something stands after the message", 3},
		{"a NUL after the message", "{}\x00", NotJSON, "something stands after the message", 2},
		{"a trailing comma", `{"a":1,}`, NotJSON, "a key is missing", 7},
		{"a trailing comma in an array", `{"a":[1,]}`, NotJSON, "a value is missing", 8},
		{"a leading comma", `{,"a":1}`, NotJSON, "a key is missing", 1},
		{"no colon", `{"a" 1}`, NotJSON, "a colon is missing", 5},
		{"no comma", `{"a":1 "b":2}`, NotJSON, "a comma or brace is missing", 7},
		{"no comma in an array", `{"a":[1 2]}`, NotJSON, "a comma or bracket is missing", 8},
		{"brackets crossed", `{"a":[1}`, NotJSON, "a comma or bracket is missing", 7},
		{"a key that is no string", `{a:1}`, NotJSON, "a key is missing", 1},
		{"single quotes", `{'a':1}`, NotJSON, "a key is missing", 1},
		{"a comment", `{/* */}`, NotJSON, "a key is missing", 1},
		{"NaN", `{"a":NaN}`, NotJSON, "a value is missing", 5},
		{"a number with a leading zero", `{"a":01}`, NotJSON, "a malformed number", 5},
		{"a number with a plus", `{"a":+1}`, NotJSON, "a value is missing", 5},
		{"a number without digits", `{"a":-}`, NotJSON, "a malformed number", 6},
		{"a fraction without digits", `{"a":1.}`, NotJSON, "a malformed number", 7},
		{"an exponent without digits", `{"a":1e+}`, NotJSON, "a malformed number", 8},
		{"a hexadecimal number", `{"a":0x10}`, NotJSON, "a comma or brace is missing", 6},
		{"a form feed between tokens", "{\f}", NotJSON, "a key is missing", 1},
		{"a no-break space between tokens", "{\u00a0}", NotJSON, "a key is missing", 1},
		{"a raw line break in a string", "{\"a\":\"x\ny\"}", NotJSON, "a raw control character in a string", 7},
		{"a raw NUL in a string", "{\"a\":\"\x00\"}", NotJSON, "a raw control character in a string", 6},
		{"a raw tab in a key", "{\"a\tb\":1}", NotJSON, "a raw control character in a string", 3},
		{"an unknown escape", `{"a":"\x41"}`, NotJSON, "an escape that JSON does not have", 6},
		{"an escape with letters past f", `{"a":"\u00g0"}`, NotJSON, "an escape that JSON does not have", 6},

		// UTF-8.
		{"a stray continuation byte", "{\"a\":\"\x80\"}", BadEnvelope, "invalid UTF-8", 6},
		{"an overlong slash", "{\"a\":\"\xc0\xaf\"}", BadEnvelope, "invalid UTF-8", 6},
		{"an overlong NUL", "{\"a\":\"\xe0\x80\x80\"}", BadEnvelope, "invalid UTF-8", 6},
		{"an overlong sequence of four", "{\"a\":\"\xf0\x80\x80\x80\"}", BadEnvelope, "invalid UTF-8", 6},
		{"an encoded surrogate", "{\"a\":\"\xed\xa0\x80\"}", BadEnvelope, "invalid UTF-8", 6},
		{"an encoded pair of surrogates", "{\"a\":\"\xed\xa0\x80\xed\xb0\x80\"}", BadEnvelope, "invalid UTF-8", 6},
		{"past U+10FFFF", "{\"a\":\"\xf4\x90\x80\x80\"}", BadEnvelope, "invalid UTF-8", 6},
		{"a lead byte that UTF-8 does not have", "{\"a\":\"\xf8\x88\x80\x80\x80\"}", BadEnvelope, "invalid UTF-8", 6},
		{"a cut sequence", "{\"a\":\"\xe2\x82\"}", BadEnvelope, "invalid UTF-8", 6},
		{"Latin-1", "{\"a\":\"caf\xe9\"}", BadEnvelope, "invalid UTF-8", 9},
		{"in a key", "{\"\xff\":1}", BadEnvelope, "invalid UTF-8", 2},
		{"far down", call("{\"arguments\":[[{\"deep\":[\"long enough for words \xff\"]}]]}"), BadEnvelope, "invalid UTF-8", 93},

		// Nesting.
		{"129 deep", nest(129), BadEnvelope, "nested too deeply", 128},
		{"100,000 deep", nest(100_000), BadEnvelope, "nested too deeply", 128},
		{"100,000 deep without an end", call(strings.Repeat(`{"a":`, 100_000)), BadEnvelope, "nested too deeply", 681},

		// Keys.
		{"id twice", `{"jsonrpc":"2.0","id":1,"id":1,"method":"m"}`, BadEnvelope, "a key stands twice", 25},
		{"method twice, once escaped", `{"jsonrpc":"2.0","id":1,"method":"m","m\u0065thod":"n"}`, BadEnvelope, "a key stands twice", 38},
		{"method twice, escaped first", `{"jsonrpc":"2.0","id":1,"m\u0065thod":"n","method":"m"}`, BadEnvelope, "a key stands twice", 43},
		{"an unknown key twice", `{"jsonrpc":"2.0","x":1,"x":1,"id":1,"method":"m"}`, BadEnvelope, "a key stands twice", 24},
		{"an unknown key twice, once escaped", `{"jsonrpc":"2.0","é":1,"\u00e9":1,"id":1,"method":"m"}`, BadEnvelope, "a key stands twice", 25},
		{"an empty key twice", `{"jsonrpc":"2.0","":1,"":1,"id":1,"method":"m"}`, BadEnvelope, "a key stands twice", 23},
		{"params twice", `{"jsonrpc":"2.0","id":1,"method":"m","params":{},"params":{}}`, BadEnvelope, "a key stands twice", 50},
		{"name twice", call(`{"name":"a","name":"b"}`), BadEnvelope, "a key stands twice", 59},
		{"an unknown key of params twice", call(`{"x":"a","x":"b"}`), BadEnvelope, "a key stands twice", 56},
		{"a token twice", call(`{"_meta":{"progressToken":1,"progressToken":2}}`), BadEnvelope, "a key stands twice", 75},
		{"an unknown key of _meta twice", call(`{"_meta":{"x":1,"x":2}}`), BadEnvelope, "a key stands twice", 63},
		{"a key of the result twice", `{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":1}}`, BadEnvelope, "a key stands twice", 41},
		{"a key of the error twice", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"","code":1}}`, BadEnvelope, "a key stands twice", 56},
		{"a NUL in a key", call(`{"name\u0000":"a"}`), BadEnvelope, "a NUL in a key", 48},
		{"a NUL in a key of the message", `{"jsonrpc":"2.0","id":1,"method":"m","\u0000":1}`, BadEnvelope, "a NUL in a key", 38},
		{"a lone surrogate in a key", call(`{"\ud800":"a"}`), BadEnvelope, "a lone surrogate in a key", 48},
		{"a method to who ignores case", `{"jsonrpc":"2.0","id":1,"method":"m","Method":"n"}`, BadEnvelope, "a key differs only in case from one that is read", 38},
		{"a name to who folds Unicode", call(`{"name":"a","param\u017f":1,"argument\u017f":{}}`), BadEnvelope, "a key differs only in case from one that is read", 75},

		// Ids and tokens.
		{"id null", `{"jsonrpc":"2.0","id":null,"method":"m"}`, BadEnvelope, "ids and tokens are strings or integers", 22},
		{"id null on a result", `{"jsonrpc":"2.0","id":null,"result":{}}`, BadEnvelope, "ids and tokens are strings or integers", 22},
		{"id with a fraction", `{"jsonrpc":"2.0","id":1.0,"method":"m"}`, BadEnvelope, "ids and tokens are strings or integers", 22},
		{"id with an exponent", `{"jsonrpc":"2.0","id":1e3,"method":"m"}`, BadEnvelope, "ids and tokens are strings or integers", 22},
		{"id true", `{"jsonrpc":"2.0","id":true,"method":"m"}`, BadEnvelope, "ids and tokens are strings or integers", 22},
		{"id an array", `{"jsonrpc":"2.0","id":[1],"method":"m"}`, BadEnvelope, "ids and tokens are strings or integers", 22},
		{"id an object", `{"jsonrpc":"2.0","id":{},"method":"m"}`, BadEnvelope, "ids and tokens are strings or integers", 22},
		{"a lone surrogate in an id", `{"jsonrpc":"2.0","id":"\udc00","method":"m"}`, BadEnvelope, "a lone surrogate in an id or token", 22},
		{"an id on an error that is neither", `{"jsonrpc":"2.0","id":false,"error":{"code":1,"message":""}}`, BadEnvelope, "ids and tokens are strings or integers", 22},
		{"a token null", call(`{"_meta":{"progressToken":null}}`), BadEnvelope, "ids and tokens are strings or integers", 72},
		{"a token with a fraction", call(`{"_meta":{"progressToken":1.5}}`), BadEnvelope, "ids and tokens are strings or integers", 72},
		{"a lone surrogate in a token", call(`{"_meta":{"progressToken":"\ud83d"}}`), BadEnvelope, "a lone surrogate in an id or token", 72},
		{"progress of a token that is none", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":{}}}`, BadEnvelope, "ids and tokens are strings or integers", 77},
		{"cancelled of an id that is none", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1.5}}`, BadEnvelope, "ids and tokens are strings or integers", 74},

		// Lone surrogates in texts that are read.
		{"in the method", `{"jsonrpc":"2.0","id":1,"method":"\ud800"}`, BadEnvelope, "a lone surrogate in a text that is read", 33},
		{"in the name", call(`{"name":"a\ud800b"}`), BadEnvelope, "a lone surrogate in a text that is read", 54},
		{"in the name, pair the wrong way round", call(`{"name":"\udc00\ud800"}`), BadEnvelope, "a lone surrogate in a text that is read", 54},
		{"in the uri, before another escape", call(`{"uri":"\ud800\n"}`), BadEnvelope, "a lone surrogate in a text that is read", 53},

		// What a message is.
		{"a string", `"x"`, BadEnvelope, "a message is an object", 0},
		{"a number", `42`, BadEnvelope, "a message is an object", 0},
		{"null", ` null`, BadEnvelope, "a message is an object", 1},
		{"an empty object", `{}`, BadEnvelope, `"jsonrpc" must be "2.0"`, 0},
		{"no jsonrpc", `{"id":1,"method":"m"}`, BadEnvelope, `"jsonrpc" must be "2.0"`, 0},
		{"jsonrpc 1.0", `{"jsonrpc":"1.0","id":1,"method":"m"}`, BadEnvelope, `"jsonrpc" must be "2.0"`, 0},
		{"jsonrpc a number", `{"jsonrpc":2.0,"id":1,"method":"m"}`, BadEnvelope, `"jsonrpc" must be "2.0"`, 0},
		{"nothing but a version", `{"jsonrpc":"2.0","id":1}`, BadEnvelope, "no method, no result, no error", 0},
		{"a method that is no string", `{"jsonrpc":"2.0","id":1,"method":7}`, BadEnvelope, "method must be a string", 33},
		{"params a string", `{"jsonrpc":"2.0","id":1,"method":"m","params":"p"}`, BadEnvelope, "params must be an object or an array", 46},
		{"params null", `{"jsonrpc":"2.0","id":1,"method":"m","params":null}`, BadEnvelope, "params must be an object or an array", 46},
		{"call and answer", `{"jsonrpc":"2.0","id":1,"method":"m","result":{}}`, BadEnvelope, "a message is either a call or an answer", 0},
		{"call and error", `{"jsonrpc":"2.0","id":1,"method":"m","error":{"code":1,"message":""}}`, BadEnvelope, "a message is either a call or an answer", 0},
		{"result and error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`, BadEnvelope, "an answer has a result or an error, not both", 0},
		{"a result without id", `{"jsonrpc":"2.0","result":{}}`, BadEnvelope, "a result without an id", 0},
		{"an error that is a string", `{"jsonrpc":"2.0","id":1,"error":"no"}`, BadEnvelope, "an error is an object with an integer code and a message", 32},
		{"an error without code", `{"jsonrpc":"2.0","id":1,"error":{"message":"no"}}`, BadEnvelope, "an error is an object with an integer code and a message", 32},
		{"an error without message", `{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, BadEnvelope, "an error is an object with an integer code and a message", 32},
		{"an error whose code is a string", `{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"no"}}`, BadEnvelope, "an error is an object with an integer code and a message", 32},
		{"an error whose code has a fraction", `{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":"no"}}`, BadEnvelope, "an error is an object with an integer code and a message", 32},

		// A broken message is called broken, whatever else is wrong with it.
		{"id twice, then cut", `{"jsonrpc":"2.0","id":1,"id":1`, NotJSON, "unexpected end of the message", 30},
	}
	var e Envelope
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := e.Scan([]byte(tt.msg))
			var got *SyntaxError
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want %s", err, tt.reason)
			}
			if want := (SyntaxError{tt.class, tt.reason, tt.offset}); *got != want {
				t.Errorf("got %+v, want %+v", *got, want)
			}
			if e.Kind != Invalid || e.Method != nil || !e.Params.Empty() {
				t.Errorf("a refused message left %+v", e)
			}
		})
	}
}

func TestScanPasses(t *testing.T) {
	tests := []struct {
		name, msg string
		kind      Kind
	}{
		{"white space all round", " \r\n\t{ \"jsonrpc\" :\n\"2.0\" , \"method\" : \"m\" } \n", Notification},
		{"128 deep", nest(128), Batch},
		{"128 deep in params", call(`{"a":` + nest(126) + `}`), Request},
		{"an empty batch, which Elements refuses", `[]`, Batch},
		{"an id of twenty digits", `{"jsonrpc":"2.0","id":12345678901234567890,"method":"m"}`, Request},
		{"a negative id", `{"jsonrpc":"2.0","id":-7,"method":"m"}`, Request},
		{"an empty id", `{"jsonrpc":"2.0","id":"","method":"m"}`, Request},
		{"an empty method", `{"jsonrpc":"2.0","method":""}`, Notification},
		{"params an array", call(`[1,2]`), Request},
		{"params empty", call(`{}`), Request},
		{"result null", `{"jsonrpc":"2.0","id":1,"result":null}`, Result},
		{"an error with data and more", `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no","data":[1],"x":2}}`, Error},
		{"an error with id null", `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}`, Error},
		{"an error without id", `{"jsonrpc":"2.0","error":{"code":1,"message":""}}`, Error},
		{"unknown members", `{"jsonrpc":"2.0","id":1,"method":"m","x":{"x":1,"x":2}}`, Request},
		{"keys repeated below what is read", call(`{"arguments":{"a":1,"a":2},"_meta":{"x":{"a":1,"a":2}}}`), Request},
		{"equal keys at different levels", call(`{"id":1,"name":"n","params":{},"_meta":{"name":"n"}}`), Request},
		{"NUL and lone surrogates below what is read", call(`{"arguments":{"\u0000":"\ud800\u0000","\udc00":1}}`), Request},
		{"a token that is not read", call(`{"progressToken":1.5,"requestId":null}`), Request},
		{"a name that is no string", call(`{"name":7,"uri":null}`), Request},
		{"jsonrpc escaped", `{"\u006asonrpc":"2\u002e0","method":"m"}`, Notification},
		{"all escapes", call(`{"arguments":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"}`), Request},
		{"the bounds of UTF-8", call("{\"arguments\":\"\u0080\u07ff\u0800\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff\x7f\"}"), Request},
		{"numbers", call(`{"arguments":[0,-0,0.5,-1.25e-7,1E+400,10]}`), Request},
	}
	var e Envelope
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := e.Scan([]byte(tt.msg)); err != nil {
				t.Fatal(err)
			}
			if e.Kind != tt.kind {
				t.Errorf("kind %d, want %d", e.Kind, tt.kind)
			}
		})
	}
}

func TestScanFinds(t *testing.T) {
	const metaCall = `{"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":"p\"1"},` +
		`"arguments":{"a": [1]},"name":"na\u00efve","uri":"file:///a"},"id":9007199254740993,"jsonrpc":"2.0"}`
	tests := []struct {
		name, msg string
		want      map[string]string
	}{
		{"a call", metaCall, map[string]string{
			"id": `9007199254740993`, "method": "tools/call", "name": "naïve", "uri": "file:///a", "arguments": `{"a": [1]}`,
			"token": `"p\"1"`, "metaRevision": "2026-07-28",
			"meta":   `{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":"p\"1"}`,
			"params": metaCall[32 : len(metaCall)-39],
		}},
		{"initialize", `{"jsonrpc":"2.0","id":"i\u002d1","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}}}}`, map[string]string{
			"id": `"i\u002d1"`, "method": "initialize", "revision": "2025-11-25", "capabilities": `{"roots":{}}`,
			"params": `{"protocolVersion":"2025-11-25","capabilities":{"roots":{}}}`,
		}},
		{"params of initialize in another call", call(`{"protocolVersion":"2025-11-25","capabilities":{}}`), map[string]string{
			"id": `1`, "method": "m", "params": `{"protocolVersion":"2025-11-25","capabilities":{}}`,
		}},
		{"the answer to initialize", `{"result":{"protocolVersion":"2025-06-18","params":{}},"jsonrpc":"2.0","id":7}`, map[string]string{
			"id": `7`, "revision": "2025-06-18",
		}},
		{"progress", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":12,"progress":1,"_meta":{"progressToken":1.5}}}`, map[string]string{
			"method": "notifications/progress", "token": `12`, "meta": `{"progressToken":1.5}`, "params": `{"progressToken":12,"progress":1,"_meta":{"progressToken":1.5}}`,
		}},
		{"cancelled", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x","reason":"r"}}`, map[string]string{
			"method": "notifications/cancelled", "requestID": `"x"`, "params": `{"requestId":"x","reason":"r"}`,
		}},
		{"cancelled without an id", `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, map[string]string{"method": "notifications/cancelled"}},
		{"an error with id null", `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}`, nil},
		{"names that are no strings", call(`{"name":["a"],"uri":1,"_meta":[1]}`), map[string]string{
			"id": `1`, "method": "m", "params": `{"name":["a"],"uri":1,"_meta":[1]}`, "meta": `[1]`,
		}},
		{"an answer's params", `{"jsonrpc":"2.0","id":1,"result":1,"params":{"name":"a"}}`, map[string]string{"id": `1`}},
	}
	var e Envelope
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msg := []byte(tt.msg)
			if err := e.Scan(msg); err != nil {
				t.Fatal(err)
			}
			for field, got := range found(&e, msg) {
				if got != tt.want[field] {
					t.Errorf("%s = %q, want %q", field, got, tt.want[field])
				}
			}
		})
	}
}

// found is what the envelope holds, by name.
func found(e *Envelope, msg []byte) map[string]string {
	return map[string]string{
		"id": string(e.ID.Of(msg)), "method": string(e.Method), "name": string(e.Name), "uri": string(e.URI),
		"params": string(e.Params.Of(msg)), "meta": string(e.Meta.Of(msg)), "arguments": string(e.Arguments.Of(msg)),
		"token": string(e.ProgressToken.Of(msg)), "requestID": string(e.RequestID.Of(msg)),
		"revision": string(e.Revision), "metaRevision": string(e.MetaRevision), "capabilities": string(e.Capabilities.Of(msg)),
	}
}

// What is refused is answered under its id where there can be no doubt of it.
func TestScanKeepsTheIDOfWhatItRefuses(t *testing.T) {
	tests := []struct{ name, msg, id string }{
		{"a key twice", `{"jsonrpc":"2.0","id":7,"method":"m","params":{"name":"a","name":"b"}}`, `7`},
		{"the id after the fault", `{"jsonrpc":"2.0","method":1,"id":"x"}`, `"x"`},
		{"too deep, the id before it", `{"jsonrpc":"2.0","id":7,"method":"m","params":` + nest(200) + `}`, `7`},
		{"too deep, the id after it", `{"jsonrpc":"2.0","method":"m","params":` + nest(200) + `,"id":7}`, ``},
		{"the id too deep", `{"jsonrpc":"2.0","method":"m","id":` + nest(200) + `}`, ``},
		{"id twice", `{"jsonrpc":"2.0","id":7,"id":8,"method":"m"}`, ``},
		{"id null", `{"jsonrpc":"2.0","id":null,"method":"m"}`, ``},
		{"id with a fraction", `{"jsonrpc":"2.0","id":7.5,"method":"m"}`, ``},
		{"a lone surrogate in it", `{"jsonrpc":"2.0","id":"\ud800","method":"m"}`, ``},
		{"not JSON", `{"jsonrpc":"2.0","id":7,"method":"m"`, ``},
		{"no object", `["id",7`, ``},
	}
	var e Envelope
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msg := []byte(tt.msg)
			if e.Scan(msg) == nil {
				t.Fatal("passed")
			}
			if got := string(e.ID.Of(msg)); got != tt.id {
				t.Errorf("id %s, want %s", got, tt.id)
			}
		})
	}
}

func TestScanHasNewline(t *testing.T) {
	tests := []struct {
		name, msg string
		want      bool
	}{
		{"one line", call(`{ "a": "\n\r" }`), false},
		{"pretty-printed", call("{\n  \"a\": 1\n}"), true},
		{"a carriage return", call("{\r\"a\": 1}"), true},
		{"below what is read", call("{\"arguments\":[1,\n2]}"), true},
		{"at the end", call("{}") + "\n", true},
		{"at the start", "\r\n" + call("{}"), true},
		{"after long indentation", call("{" + strings.Repeat(" ", 33) + "\n}"), true},
	}
	var e Envelope
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := e.Scan([]byte(tt.msg)); err != nil {
				t.Fatal(err)
			}
			if e.HasNewline != tt.want {
				t.Errorf("HasNewline = %t, want %t", e.HasNewline, tt.want)
			}
		})
	}
}

// Every fault must be found wherever it stands in a word of the string scan.
func TestScanFindsFaultsAtEveryOffset(t *testing.T) {
	faults := []string{"\x00", "\x1f", "\n", `\q`, `\u12`, "\x80", "\xff", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf5\x80\x80\x80"}
	var e Envelope
	for pad := range 3 * wordBytes {
		for _, fill := range []string{"a", "é", "語", "😀", `\n`, `\u00e9`, "~", "\x7f", "!", "#", "[", "]"} {
			good := call(`{"arguments":"` + strings.Repeat(fill, pad) + `"}`)
			if err := e.Scan([]byte(good)); err != nil {
				t.Fatalf("%q: %v", good, err)
			}
			for _, fault := range faults {
				bad := call(`{"arguments":"` + strings.Repeat(fill, pad) + fault + `"}`)
				var err *SyntaxError
				if !errors.As(e.Scan([]byte(bad)), &err) {
					t.Fatalf("%q passed", bad)
				}
				if want := 60 + pad*len(fill); err.Offset != want {
					t.Fatalf("%q: %v, want offset %d", bad, err, want)
				}
			}
		}
	}
}
