package headers

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestValues has the examples of the specification, and what hostile values
// look like in a header.
func TestValues(t *testing.T) {
	for value, want := range map[string]string{
		"us-west1":            "us-west1",
		"":                    "",
		"a b":                 "a b",
		"Hello, 世界":           "=?base64?SGVsbG8sIOS4lueVjA==?=",
		" padded ":            "=?base64?IHBhZGRlZCA=?=",
		"line1\nline2":        "=?base64?bGluZTEKbGluZTI=?=",
		"a\r\nX-Evil: 1":      "=?base64?YQ0KWC1FdmlsOiAx?=",
		"a\x00":               "=?base64?YQA=?=",
		"a\tb":                "=?base64?YQli?=",
		"=?base64?literal?=":  "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
		"=?base64?=":          "=?base64?PT9iYXNlNjQ/PQ==?=",
		"=?base64?SGVsbG8=":   "=?base64?SGVsbG8=",
		"=?BASE64?SGVsbG8=?=": "=?BASE64?SGVsbG8=?=",
	} {
		got := string(AppendValue(nil, []byte(value)))
		if got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
		if back, err := Decode([]byte(" \t" + got + "\t ")); err != nil || string(back) != value {
			t.Errorf("%q: %q, %v", value, back, err)
		}
	}
	for _, bad := range []string{
		"=?base64?SGVsbG8?=", "=?base64?SGVs!!!bG8=?=", "=?base64?SGVsbG9=?=", "=?base64?/w==?=", "=?base64?=", "=?base64?SGVs bG8=?=",
		"é", "a\x00b", "a\x7f", "a\nb", "=?base64?SGVs\nbG8=?=", "=?base64?SGVsbG8===?=", "=?base64?SGVsbG8=?=?=",
	} {
		if text, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%q was read as %q", bad, text)
		}
	}
}

func TestStandard(t *testing.T) {
	got := string(AppendStandard(nil, []byte("tools/call"), []byte("wörk\r\n"), true))
	want := "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: =?base64?d8O2cmsNCg==?=\r\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := string(AppendStandard(nil, []byte("x\r\nEvil: 1"), nil, false)); got != "Mcp-Protocol-Version: 2026-07-28\r\n" {
		t.Errorf("%q", got)
	}
}

// tool is a definition with this input schema.
func tool(schema string) []byte { return []byte(`{"name":"t","inputSchema":` + schema + `}`) }

func TestRead(t *testing.T) {
	deep := strings.Repeat(`{"type":"object","properties":{"a":`, 20) + `{"type":"string","x-mcp-header":"Deep"}` + strings.Repeat("}}", 20)
	for _, c := range []struct{ name, schema, want, err string }{
		{"nothing", `{"type":"object","properties":{"a":{"type":"string"}}}`, "", ""},
		{"no schema", `null`, "", ""},
		{"all types", `{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"x-mcp-header":"B","type":"integer"},"c":{"type":"boolean","x-mcp-header":"c"}}}`,
			"a:Mcp-Param-A:string b:Mcp-Param-B:integer c:Mcp-Param-c:boolean", ""},
		{"nested", `{"properties":{"o":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"A"}}}}}`, "o.a:Mcp-Param-A:string", ""},
		{"deep", deep, strings.TrimSuffix(strings.Repeat("a.", 20), ".") + ":Mcp-Param-Deep:string", ""},
		{"escaped", `{"properties":{"a":{"type":"string","x\u002dmcp-header":"\u0041"}}}`, "a:Mcp-Param-A:string", ""},
		{"a property of that name", `{"properties":{"x-mcp-header":{"type":"string"}}}`, "", ""},
		{"a value of that name", `{"properties":{"a":{"type":"object","default":{"x-mcp-header":"A"},"examples":[{"x-mcp-header":""}]}}}`, "", ""},
		{"an empty array beside", `{"required":[],"properties":{"a":{"type":"string","x-mcp-header":"A"}}}`, "a:Mcp-Param-A:string", ""},
		{"every token character", "{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"aZ09!#$%&'*+-.^_`|~\"}}}", "a:Mcp-Param-aZ09!#$%&'*+-.^_`|~:string", ""},

		{"empty", `{"properties":{"a":{"type":"string","x-mcp-header":""}}}`, "", "part of a header's name"},
		{"no string", `{"properties":{"a":{"type":"string","x-mcp-header":1}}}`, "", "part of a header's name"},
		{"a space", `{"properties":{"a":{"type":"string","x-mcp-header":"My Region"}}}`, "", "part of a header's name"},
		{"a colon", `{"properties":{"a":{"type":"string","x-mcp-header":"A:B"}}}`, "", "part of a header's name"},
		{"not ASCII", `{"properties":{"a":{"type":"string","x-mcp-header":"Région"}}}`, "", "part of a header's name"},
		{"a tab", `{"properties":{"a":{"type":"string","x-mcp-header":"A\t1"}}}`, "", "part of a header's name"},
		{"a line break", `{"properties":{"a":{"type":"string","x-mcp-header":"A\r\nB: c"}}}`, "", "part of a header's name"},
		{"object", `{"properties":{"a":{"type":"object","x-mcp-header":"A"}}}`, "", "type must be"},
		{"array", `{"properties":{"a":{"type":"array","items":{"type":"string"},"x-mcp-header":"A"}}}`, "", "type must be"},
		{"null", `{"properties":{"a":{"type":"null","x-mcp-header":"A"}}}`, "", "type must be"},
		{"number", `{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}`, "", "type must be"},
		{"several types", `{"properties":{"a":{"type":["string","null"],"x-mcp-header":"A"}}}`, "", "type must be"},
		{"no type", `{"properties":{"a":{"x-mcp-header":"A"}}}`, "", "type must be"},
		{"twice", `{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"A"}}}`, "", "already"},
		{"twice but for the case", `{"properties":{"a":{"type":"string","x-mcp-header":"MyField"},"b":{"properties":{"c":{"type":"string","x-mcp-header":"myfield"}}}}}`, "", "already"},
		{"the keyword twice", `{"properties":{"a":{"type":"string","x-mcp-header":"A","x-mcp-header":"B"}}}`, "", "stands twice"},
		{"properties twice", `{"properties":{},"properties":{"a":{"type":"string","x-mcp-header":"A"}}}`, "", "stands twice"},
		{"at the root", `{"type":"string","x-mcp-header":"A"}`, "", "only properties"},
		{"in items", `{"properties":{"l":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}`, "", "only properties"},
		{"in an item's property", `{"properties":{"l":{"items":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}}}`, "", "only properties"},
		{"in prefixItems", `{"properties":{"l":{"prefixItems":[{},{"type":"string","x-mcp-header":"A"}]}}}`, "", "only properties"},
		{"in oneOf", `{"oneOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}`, "", "only properties"},
		{"in allOf of a property", `{"properties":{"a":{"allOf":[{"type":"string","x-mcp-header":"A"}]}}}`, "", "only properties"},
		{"in not", `{"not":{"type":"string","x-mcp-header":"A"}}`, "", "only properties"},
		{"in then", `{"if":{},"then":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}`, "", "only properties"},
		{"in $defs", `{"$defs":{"a":{"type":"string","x-mcp-header":"A"}},"properties":{"a":{"$ref":"#/$defs/a"}}}`, "", "only properties"},
		{"in additionalProperties", `{"additionalProperties":{"type":"string","x-mcp-header":"A"}}`, "", "only properties"},
		{"in patternProperties", `{"patternProperties":{"a":{"type":"string","x-mcp-header":"A"}}}`, "", "only properties"},
	} {
		params, err := Read(tool(c.schema))
		var got []string
		for _, p := range params {
			got = append(got, strings.Join(p.Path, ".")+":"+p.Name+":"+p.Type)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
	}
	var many strings.Builder
	for i := range mostParams + 1 {
		fmt.Fprintf(&many, `"p%d":{"type":"string","x-mcp-header":"P%d"},`, i, i)
	}
	if _, err := Read(tool(`{"properties":{` + many.String() + `"z":{}}}`)); err == nil {
		t.Error("there is no bound on the headers of a tool")
	}
	if _, err := Read([]byte(`{"inputSchema":{},"inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}`)); err == nil {
		t.Error("a tool with two schemas was read")
	}
}

var params = []Param{
	{[]string{"region"}, "Mcp-Param-Region", "string"}, {[]string{"n"}, "Mcp-Param-N", "integer"},
	{[]string{"deep", "flag"}, "Mcp-Param-Flag", "boolean"},
}

func TestCheck(t *testing.T) {
	const region, n, flag = "Mcp-Param-Region: eu\r\n", "mcp-param-n: 42\r\n", "MCP-PARAM-FLAG:\ttrue \r\n"
	for _, c := range []struct{ name, arguments, lines, err string }{
		{"all", `{"region":"eu","n":42,"deep":{"flag":true}}`, region + n + flag, ""},
		{"none", `{}`, "", ""},
		{"no arguments", ``, "", ""},
		{"arguments that are no object", `[1]`, "", ""},
		{"null", `{"region":null,"n":null,"deep":null}`, "", ""},
		{"others beside", `{"other":1}`, "Mcp-Param-Other: 2\r\nX-Any: 1\r\n", ""},
		{"integers as numbers", `{"n":42.0}`, n, ""},
		{"and the other way round", `{"n":42}`, "Mcp-Param-N: 4.2e1\r\n", ""},
		{"the largest", `{"n":9007199254740991}`, "Mcp-Param-N: 9007199254740991\r\n", ""},
		{"escaped", `{"region":"\u0065u"}`, region, ""},
		{"an escaped key", `{"r\u0065gion":"eu"}`, region, ""},
		{"encoded", `{"region":"zürich"}`, "Mcp-Param-Region: =?base64?esO8cmljaA==?=\r\n", ""},
		{"encoded without need", `{"region":"eu"}`, "Mcp-Param-Region: =?base64?ZXU=?=\r\n", ""},
		{"an empty string", `{"region":""}`, "Mcp-Param-Region:\r\n", ""},

		{"missing", `{"region":"eu"}`, "", "is missing"},
		{"one of two", `{"region":"eu","n":42}`, region, "Mcp-Param-N is missing"},
		{"without an argument", `{}`, region, "left out"},
		{"for null", `{"region":null}`, region, "left out"},
		{"other", `{"region":"us"}`, region, "does not say"},
		{"other case", `{"region":"EU"}`, region, "does not say"},
		{"twice", `{"region":"eu"}`, region + region, "more than once"},
		{"padding", `{"region":"Hello"}`, "Mcp-Param-Region: =?base64?SGVsbG8?=\r\n", "malformed"},
		{"not ASCII", `{"region":"é"}`, "Mcp-Param-Region: é\r\n", "malformed"},
		{"an integer out of range", `{"n":9007199254740992}`, "Mcp-Param-N: 9007199254740992\r\n", "must be an integer"},
		{"out of range as double", `{"n":9007199254740992.0}`, "Mcp-Param-N: 9007199254740992\r\n", "must be an integer"},
		{"far out of range", `{"n":1e999999999}`, "Mcp-Param-N: 1\r\n", "must be an integer"},
		{"a fraction", `{"n":1.5}`, "Mcp-Param-N: 1.5\r\n", "must be an integer"},
		{"hexadecimal", `{"n":16}`, "Mcp-Param-N: 0x10\r\n", "does not say"},
		{"no number", `{"n":16}`, "Mcp-Param-N: nan\r\n", "does not say"},
		{"no boolean", `{"deep":{"flag":true}}`, "Mcp-Param-Flag: True\r\n", "does not say"},
		{"an object", `{"region":{"a":1}}`, region, "must be a string"},
		{"an argument twice", `{"region":"eu","region":"us"}`, region, "stands twice"},
		{"an object on the way twice", `{"deep":{"flag":true},"deep":{"flag":false}}`, flag, "stands twice"},
	} {
		err := Check(params, []byte(c.arguments), []byte(c.lines))
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
	}
}

// TestAppendParams: what is made passes the check.
func TestAppendParams(t *testing.T) {
	arguments := []byte(`{"n":-7.0,"region":" \u00e9\r\nEvil: 1","deep":{"flag":false}}`)
	lines := AppendParams(nil, params, arguments)
	if want := "Mcp-Param-Region: =?base64?IMOpDQpFdmlsOiAx?=\r\nMcp-Param-N: -7\r\nMcp-Param-Flag: false\r\n"; string(lines) != want {
		t.Errorf("%q, want %q", lines, want)
	}
	if err := Check(params, arguments, lines); err != nil {
		t.Error(err)
	}
	if lines := AppendParams(nil, params, []byte(`{"n":1.5,"region":null,"deep":{"flag":[]}}`)); len(lines) > 0 {
		t.Errorf("%q", lines)
	}
}

// learn teaches x an answer to tools/list.
func learn(t testing.TB, x *Index, age uint64, result string) (cursor string, ok bool) {
	t.Helper()
	var env wire.Envelope
	msg := []byte(`{"jsonrpc":"2.0","id":1,"result":` + result + `}`)
	if err := env.Scan(msg); err != nil {
		t.Fatal(err)
	}
	c, ok := x.Learn(age, msg, &env)
	return string(c), ok
}

func TestIndex(t *testing.T) {
	var x Index
	knows := func(step, name string, want int) {
		t.Helper()
		params, known := x.Params([]byte(name))
		if known != (want >= 0) || len(params) != max(want, 0) {
			t.Errorf("%s: %s: %v, known: %v", step, name, params, known)
		}
	}
	knows("at first", "a", -1)
	const list = `{"tools":[{"name":"a"},{"name":"b","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"R"}}}},7,{"name":3},` +
		`{"name":"bad","inputSchema":{"x-mcp-header":""}}],"nextCursor":"c\n"}`
	if cursor, ok := learn(t, &x, 0, list); cursor != `"c\n"` || !ok {
		t.Errorf("cursor %s, %v", cursor, ok)
	}
	knows("learnt", "a", 0)
	knows("learnt", "b", 1)
	knows("learnt", "bad", 0)
	if cursor, ok := learn(t, &x, 0, `{"tools":[],"nextCursor":null}`); cursor != "" || !ok {
		t.Errorf("cursor %s, %v", cursor, ok)
	}
	if _, ok := learn(t, &x, 0, `{"content":[]}`); ok {
		t.Error("what is no list was taken for one")
	}
	age := x.Age()
	x.Forget()
	knows("forgotten", "b", -1)
	learn(t, &x, age, list)
	knows("a list from before", "b", -1)
	learn(t, &x, x.Age(), list)
	knows("a new one", "b", 1)

	var tools strings.Builder
	for i := range mostTools + 10 {
		fmt.Fprintf(&tools, `{"name":"t%d"},`, i)
	}
	learn(t, &x, x.Age(), `{"tools":[`+strings.TrimSuffix(tools.String(), ",")+`]}`)
	learn(t, &x, x.Age(), `{"tools":[{"name":"one more"}]}`)
	knows("full", "one more", -1)
	if len(x.tools) > mostTools {
		t.Errorf("%d tools", len(x.tools))
	}
}

// TestIndexConcurrently is for the race detector.
func TestIndexConcurrently(t *testing.T) {
	var x Index
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 100 {
				learn(t, &x, x.Age(), `{"tools":[{"name":"a","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"R"}}}}]}`)
				if params, known := x.Params([]byte("a")); known && len(params) != 1 {
					t.Error(params)
				}
				x.Forget()
			}
		})
	}
	users.Wait()
}

func TestParamsDoesNotAllocate(t *testing.T) {
	var x Index
	learn(t, &x, 0, `{"tools":[{"name":"a"}]}`)
	name := []byte("a")
	if n := testing.AllocsPerRun(100, func() { x.Params(name) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzValue: what is decoded is text, and comes back the same; what is made of
// any text ends no header line.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"", "a", "=?base64?SGVsbG8=?=", "=?base64?=", " é\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if text, err := Decode(value); err == nil {
			if !utf8.Valid(text) {
				t.Fatalf("%q is no text", text)
			}
			if back, err := Decode(AppendValue(nil, text)); err != nil || string(back) != string(text) {
				t.Fatalf("%q came back as %q, %v", text, back, err)
			}
		}
		made := AppendValue(nil, value)
		if !isPlain(made) {
			t.Fatalf("%q makes %q", value, made)
		}
	})
}

// FuzzRead: whatever a server says, its headers have names that are names, and
// what they make of arguments passes their own check.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}`), []byte(`{"a":"x"}`))
	f.Add([]byte(`{"properties":{"o":{"properties":{"a":{"type":"integer","x-mcp-header":"A"}}}},"allOf":[[],{}]}`), []byte(`{"o":{"a":1.0}}`))
	f.Fuzz(func(t *testing.T, schema, arguments []byte) {
		var env wire.Envelope
		msg := append(append([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":`), arguments...), `,"inputSchema":`...)
		msg = append(append(msg, schema...), `}}`...)
		if env.Scan(msg) != nil {
			return
		}
		params, err := Read(env.Params.Of(msg))
		if err != nil {
			return
		}
		for _, p := range params {
			if !isToken(p.Name) || len(p.Path) == 0 {
				t.Fatalf("%+v", p)
			}
		}
		values := env.Arguments.Of(msg)
		lines := AppendParams(nil, params, values)
		if err := Check(params, values, lines); err != nil && !strings.HasPrefix(err.Error(), "the argument") && !strings.Contains(err.Error(), "is missing") {
			t.Fatalf("%v: %q", err, lines)
		}
	})
}
