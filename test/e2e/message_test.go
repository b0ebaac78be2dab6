package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestBadMessages posts what is not one JSON-RPC message, in a session of the
// latest revision.
func TestBadMessages(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	anyOf := func(codes ...int) []int { return codes }
	parse, invalid := anyOf(notJSON), anyOf(invalidRequest)
	either := anyOf(notJSON, invalidRequest)
	const envelope = `{"jsonrpc":"2.0","id":1,"method":"ping"`
	for _, row := range []struct {
		name, body string
		codes      []int
	}{
		{"words", `hello`, parse},
		{"half an object", `{"jsonrpc":"2.0","id":1,"method":"pi`, parse},
		{"trailing comma", envelope + `,}`, parse},
		{"single quotes", `{'jsonrpc':'2.0'}`, parse},
		{"bare newline in a string", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\nng\"}", parse},
		{"bad escape", envelope + `,"params":{"a":"\q"}}`, parse},
		{"bad number", envelope + `,"params":{"a":01}}`, parse},
		{"byte order mark", "\ufeff" + envelope + `}`, either},

		{"empty body", ``, either},
		{"white space", " \n", either},
		{"two values", envelope + `}` + envelope + `}`, either},
		{"two values on lines", envelope + "}\n" + envelope + "}", either},
		{"a word after the value", envelope + `} x`, either},
		{"array", `[` + ping("1") + `]`, invalid},
		{"empty array", `[]`, invalid},
		{"string", `"ping"`, invalid},
		{"number", `1`, invalid},
		{"null", `null`, invalid},

		{"no jsonrpc", `{"id":1,"method":"ping"}`, invalid},
		{"jsonrpc 1.0", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, invalid},
		{"neither method nor result", `{"jsonrpc":"2.0","id":1}`, invalid},
		{"method and result", envelope + `,"result":{}}`, invalid},
		{"result and error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`, invalid},
		{"method is a number", `{"jsonrpc":"2.0","id":1,"method":7}`, invalid},

		{"a notification with an id", harness.RPC("1", "notifications/cancelled", `{"requestId":2}`), invalid},
		{"one in disguise", `{"jsonrpc":"2.0","id":1,"method":"notifications\/cancelled","params":{"requestId":2}}`, invalid},

		{"id null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, invalid},
		{"id fraction", `{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, invalid},
		{"id true", `{"jsonrpc":"2.0","id":true,"method":"ping"}`, invalid},
		{"id object", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, invalid},
		{"id array", `{"jsonrpc":"2.0","id":[1],"method":"ping"}`, invalid},

		{"duplicate id", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, invalid},
		{"duplicate method", envelope + `,"method":"tools/call"}`, invalid},
		{"duplicate jsonrpc", envelope + `,"jsonrpc":"2.0"}`, invalid},
		{"duplicate params", envelope + `,"params":{},"params":{}}`, invalid},
		{"duplicate key in disguise", `{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"ping"}`, invalid},
		{"duplicate unknown key", envelope + `,"x":1,"x":2}`, invalid},
		{"duplicate name", harness.RPC("1", "tools/call", `{"name":"echo","name":"exit","arguments":{}}`), invalid},
		{"duplicate token", harness.RPC("1", "tools/call", `{"name":"echo","_meta":{"progressToken":1,"progressToken":2}}`), invalid},
		{"NUL in a key", `{"jsonrpc":"2.0","id":1,"method":"ping","id\u0000":2}`, invalid},
		{"NUL in a key of params", harness.RPC("1", "tools/call", `{"name":"echo","name\u0000":"exit"}`), invalid},

		{"bad UTF-8", envelope + ",\"params\":{\"a\":\"\xff\"}}", invalid},
		{"overlong UTF-8", envelope + ",\"params\":{\"a\":\"\xc0\xaf\"}}", invalid},
		{"a surrogate in UTF-8", envelope + ",\"params\":{\"a\":\"\xed\xa0\x80\"}}", invalid},
		{"cut UTF-8", envelope + ",\"params\":{\"a\":\"\xe2\x82\"}}", invalid},
		{"lone surrogate in method", `{"jsonrpc":"2.0","id":1,"method":"\ud800"}`, invalid},
		{"lone surrogate in id", `{"jsonrpc":"2.0","id":"\udc00","method":"ping"}`, invalid},
		{"lone surrogate in name", harness.RPC("1", "tools/call", `{"name":"\ud800"}`), invalid},
		{"lone surrogate in a key", envelope + `,"\ud800":1}`, invalid},

		{"depth 100,000", envelope + `,"params":{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}}`, invalid},
		{"depth 100,000 not closed", strings.Repeat("[", 100_000), either},
		{"depth 100,000 objects", strings.Repeat(`{"a":`, 100_000), either},
		{"depth 129", envelope + `,"params":{"a":` + nested(127) + `}}`, invalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				r := s.As(harness.Post(row.body))
				r.Chunked = chunked
				wantOneOf(t, g.Do(t, r), row.codes)
			}
		})
	}
	alive(t, s)
}

// nested is n arrays, one in the other.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// wantOneOf checks a refusal with status 400 where the code may be one of
// several. The id in it is that of the request where it could be read, never
// null.
func wantOneOf(t *testing.T, resp *harness.Response, codes []int) {
	t.Helper()
	if resp.Status != 400 {
		t.Errorf("status %d, want 400: %s", resp.Status, harness.Short(string(resp.Body)))
		return
	}
	m := harness.ParseMessage(t, string(resp.Body))
	if string(m.ID) == "null" {
		t.Errorf("the refusal has an id of null: %s", m.Raw)
	}
	for _, code := range codes {
		if m.Code() == code {
			return
		}
	}
	t.Errorf("JSON-RPC code %d, want one of %v: %s", m.Code(), codes, m.Raw)
}

func TestUnusualMessagesPass(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, body := range map[string]string{
		"white space round it":  " \r\n\t" + ping("1") + "\r\n ",
		"pretty-printed":        "{\n  \"jsonrpc\": \"2.0\",\r\n  \"id\": 1,\n  \"method\": \"ping\"\n}\n",
		"keys in another order": `{"method":"ping","id":1,"jsonrpc":"2.0"}`,
		"unknown keys":          `{"jsonrpc":"2.0","id":1,"method":"ping","x":{"y":[1,2]}}`,
		"negative id":           ping("-1"),
		"empty string id":       ping(`""`),
		"escaped method":        `{"jsonrpc":"2.0","id":1,"method":"p\u0069ng"}`,
		"depth 128":             `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":` + nested(126) + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			resp := s.Do(t, body)
			if answer := resp.Answer(t); answer.Error != nil {
				t.Errorf("got %s", answer.Raw)
			}
		})
	}
	t.Run("duplicate keys where nobody reads", func(t *testing.T) {
		if got := s.Call(t, "echo", `{"a":1,"a":2}`).Structured(t); got != `{"a":1,"a":2}` {
			t.Errorf("came back as %s", got)
		}
	})
}

func TestIDInFlight(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s, other := open(t, g), open(t, g)
	for _, id := range []string{`7`, `"seven"`} {
		first := s.Send(t, harness.ToolCall(id, "sleep", `{"ms":3000}`))
		waitForCalls(t, g, 1)
		s.Do(t, ping(id)).WantRefusal(t, 400, invalidRequest, id)
		if answer := other.Do(t, ping(id)).Answer(t); answer.Error != nil {
			t.Errorf("another session may not use the id: %s", answer.Raw)
		}
		if got := first.Read(t, "POST").Answer(t).Structured(t); got != `{"slept":true}` {
			t.Errorf("the first call got %s", got)
		}
		if answer := s.Do(t, ping(id)).Answer(t); answer.Error != nil {
			t.Errorf("the id may not be used again: %s", answer.Raw)
		}
	}
	t.Run("7 and \"7\" are two ids", func(t *testing.T) {
		first := s.Send(t, harness.ToolCall(`7`, "sleep", `{"ms":1000}`))
		waitForCalls(t, g, 1)
		if answer := s.Do(t, ping(`"7"`)).Answer(t); answer.Error != nil || string(answer.ID) != `"7"` {
			t.Errorf("got %s", answer.Raw)
		}
		if got := first.Read(t, "POST").Answer(t); string(got.ID) != "7" {
			t.Errorf("got %s", got.Raw)
		}
	})
}

// waitForCalls waits until so many calls are in flight.
func waitForCalls(t *testing.T, g *harness.Gate, n float64) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("%v calls are in flight", n), func() bool {
		return g.Metric(t, "sidegate_calls_in_flight") == n
	})
}

func TestProtocolVersionHeader(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, version := range []string{"1999-01-01", "2025-11-26", "latest", "2025-11-25x"} {
		t.Run(version, func(t *testing.T) {
			for method, request := range everyMethod(s) {
				resp := g.Do(t, request().Set("MCP-Protocol-Version", version))
				if resp.Status != 400 {
					t.Errorf("%s got %d, want 400: %s", method, resp.Status, resp.Body)
				}
				if m := harness.ParseMessage(t, string(resp.Body)); m.Code() != invalidRequest {
					t.Errorf("%s got code %d: %s", method, m.Code(), m.Raw)
				}
			}
		})
	}
	t.Run("absent", func(t *testing.T) {
		g.Do(t, s.As(harness.Post(ping("1"))).Drop("MCP-Protocol-Version")).WantStatus(t, 200)
	})
	alive(t, s)
}
