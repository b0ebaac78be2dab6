package legacy

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
)

const meta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}`

func TestOpen(t *testing.T) {
	for _, test := range []struct{ asked, got string }{
		{"2024-11-05", "2024-11-05"}, {"2025-06-18", "2025-06-18"}, {"2025-11-25", "2025-11-25"}, {"2026-07-28", "2025-11-25"}, {"1999-01-01", "2025-11-25"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, Options{Sessions: true})
			l := b.open(test.asked, `{}`)
			want := `{"jsonrpc":"2.0","id":"i","result":{"protocolVersion":"` + test.got + `","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"logging":{},"extensions":{"x/y":{}}},"serverInfo":{"name":"srv","version":"9","title":"S"},"instructions":"be \u006bind"}}`
			l.want(want)
			s := b.last()
			if want := `{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{"_meta":{` + meta + `}}}`; s.text != want || s.from.Session != "session-1" || s.from.Principal != "me" {
				t.Errorf("sent %s from %v, want %s", s.text, s.from, want)
			}
			if s.header != "Authorization: Bearer x\r\n" {
				t.Errorf("with header %q", s.header)
			}
			b.stop()
		})
	}
}

func TestOpenWithoutServerInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{})
		l := b.begin("2025-11-25", `null`)
		b.result(b.last(), `{"supportedVersions":["2026-07-28"],"_meta":{"io.modelcontextprotocol/serverInfo":7}}`)
		l.want(`"capabilities":{},"serverInfo":{"name":"everything","version":"0"}}}`)
		b.stop()
	})
}

func TestOpenFails(t *testing.T) {
	for name, f := range map[string]func(*bed) (*leg, string){
		"the server's error": func(b *bed) (*leg, string) {
			l := b.begin("2025-11-25", `{}`)
			b.last().call.Leg.Reply(&backend.Reply{Status: 401})
			b.answer(b.last(), `{"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"no"}}`)
			if l.status != 401 {
				b.t.Errorf("status %d", l.status)
			}
			return l, `{"jsonrpc":"2.0","id":"i","error":{"code":-32603,"message":"no"}}`
		},
		"the desk refuses": func(b *bed) (*leg, string) {
			b.refuse = refusal.Start
			return b.begin("2025-11-25", `{}`), refusal.Start.Text
		},
		"left": func(b *bed) (*leg, string) {
			l := b.begin("2025-11-25", `{}`)
			b.place.Leave(b.calls, refusal.SessionIdle)
			return l, refusal.SessionIdle.Text
		},
		"capabilities that are no object": func(b *bed) (*leg, string) { return b.begin("2025-11-25", `[]`), "must be a JSON object" },
		"capabilities that are too large": func(b *bed) (*leg, string) {
			return b.begin("2025-11-25", `{"x":"`+strings.Repeat("x", most)+`"}`), "16384 bytes"
		},
		"a result of another kind": func(b *bed) (*leg, string) {
			l := b.begin("2025-11-25", `{}`)
			b.result(b.last(), `{"resultType":"input_required","requestState":"s"}`)
			return l, "-32603"
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, Options{})
				l, want := f(b)
				l.want(want)
				b.stop()
			})
		})
	}
}

func TestCapabilities(t *testing.T) {
	for _, test := range []struct{ revision, in, want string }{
		{"2025-11-25", `{"elicitation":{}}`, `{"elicitation":{"form":{}}}`},
		{"2025-11-25", `{"elicitation":{"url":{}},"tasks":{}}`, `{"elicitation":{"url":{}}}`},
		{"2025-06-18", `{"elicitation":{"url":{}}}`, `{"elicitation":{"form":{}}}`},
		{"2025-03-26", `{"elicitation":{},"roots":{"listChanged":true}}`, `{"roots":{"listChanged":true}}`},
		{"2025-11-25", `{"sampling":{"n":12345678901234567890},"extensions":{"io.modelcontextprotocol/tasks":{},"a/b":{"h":"<"}}}`, `{"extensions":{"a/b":{"h":"<"}},"sampling":{"n":12345678901234567890}}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, Options{})
			b.open(test.revision, test.in)
			if !strings.Contains(b.last().text, `clientCapabilities":`+test.want+`}`) {
				t.Errorf("%s of %s became %s", test.in, test.revision, b.last().text)
			}
			b.stop()
		})
	}
}

// TestRequests: all but _meta passes byte for byte.
func TestRequests(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		for _, test := range []struct{ method, params, want string }{
			{"tools/call", `{"name": "t" ,"arguments":{"n":1.0e3,"a":1,"a":2}}`, `{"name": "t","arguments":{"n":1.0e3,"a":1,"a":2},"_meta":{` + meta + `}}`},
			{"tools/call", `{"_meta":{"progressToken":"t", "x/y":[1]},"name":"t"}`, `{"_meta":{"progressToken":"t","x/y":[1],` + meta + `},"name":"t"}`},
			{"prompts/get", `{"_meta":{"io.modelcontextprotocol/protocolVersion":"x","io.modelcontextprotocol/client\u0049nfo":1,"io.modelcontextprotocol/logLevel":"debug"},"inputResponses":{},"requestState":"s"}`, `{"_meta":{` + meta + `}}`},
			{"tools/list", ``, `{"_meta":{` + meta + `}}`},
			{"x/unknown", `{}`, `{"_meta":{` + meta + `}}`},
		} {
			l, _ := b.call("7", test.method, test.params)
			want := `{"jsonrpc":"2.0","id":7,"method":"` + test.method + `","params":` + test.want + `}`
			if got := b.last().text; got != want {
				b.t.Errorf("sent %s, want %s", got, want)
			}
			b.result(b.last(), `{}`)
			l.want(`{"jsonrpc":"2.0","id":7,"result":{}}`)
		}
	})
}

// TestServedHere: what a modern server does not serve does not reach it.
func TestServedHere(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		for _, test := range []struct{ method, params, want string }{
			{"ping", ``, `"result":{}`},
			{"logging/setLevel", `{"level":"loud"}`, `-32602`},
			{"logging/setLevel", ``, `-32602`},
			{"logging/setLevel", `{"level":"warning"}`, `"result":{}`},
			{"tasks/list", ``, `-32601`},
			{"subscriptions/listen", ``, `-32601`},
			{"server/discover", ``, `-32601`},
			{"resources/unsubscribe", `{"uri":"a:b"}`, `"result":{}`},
			{"resources/subscribe", `{}`, `-32602`},
			{"tools/call", `[1]`, `-32602`},
		} {
			l, _ := b.call("7", test.method, test.params)
			l.want(test.want)
		}
		if n := b.count(); n != 1 {
			b.t.Errorf("%d requests reached the desk", n)
		}
		b.call("8", "tools/call", "{}")
		if !strings.Contains(b.last().text, `,"io.modelcontextprotocol/logLevel":"warning"}`) {
			b.t.Errorf("without the level: %s", b.last().text)
		}
	})
}

func TestResults(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		for _, test := range []struct{ method, result, want string }{
			{"tools/call", `{"resultType":"complete","content": [ ],"structuredContent":{"a":1.0}}`, `{"content": [ ],"structuredContent":{"a":1.0}}`},
			{"tools/call", `{"content":[{"type":"text","text":"x"}],"structuredContent":[1],"resultType":"complete","isError":false}`, `{"content":[{"type":"text","text":"x"}],"isError":false}`},
			{"tools/call", `{"content":[],"structuredContent":["<a"],"resultType":"complete"}`, `{"content":[{"type":"text","text":"[\"<a\"]"}]}`},
			{"tools/call", `{"structuredContent":null}`, `{"content":[{"type":"text","text":"null"}]}`},
			{"resources/read", `{ "ttlMs":5,"contents":[] , "cacheScope":"public","_meta":{"a":1},"resultType":"complete" }`, `{"contents":[],"_meta":{"a":1}}`},
			{"x/structured", `{"structuredContent":[1]}`, `{"structuredContent":[1]}`},
			{"x/odd", `[1]`, `[1]`},
			{"tools/list", `{"tools":[{"name":"a","inputSchema":{}}, {"name":"b"}],"ttlMs":0,"cacheScope":"private"}`, `{"tools":[{"name":"a","inputSchema":{}}, {"name":"b"}]}`},
			{"tools/list", `{"tools":[],"resultType":"complete"}`, `{"tools":[]}`},
			{"tools/list", `{"resultType":"complete","tools":[{"name":"a","outputSchema":{"type":"array"}},{"outputSchema":{"type":"object"},"name":"b"}]}`, `{"tools":[{"name":"a"},{"outputSchema":{"type":"object"},"name":"b"}]}`},
			{"tools/list", `{"tools":[{"name":"bad","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":""}}}}],"nextCursor":"n"}`, `{"tools":[],"nextCursor":"n"}`},
			{"tools/call", `{"resultType":"task","taskId":"x"}`, `-32603`},
			{"x/y", `{"resultType":"input_required","requestState":"x"}`, `-32603`},
		} {
			l, _ := b.call("7", test.method, `{"name":"t"}`)
			b.result(b.last(), test.result)
			l.want(test.want)
			if test.want[0] == '{' || test.want[0] == '[' {
				l.want(`{"jsonrpc":"2.0","id":7,"result":` + test.want + `}`)
			}
		}
		l, _ := b.call("7", "tools/list", ``)
		b.result(b.last(), `{"tools":[{"name":"bad","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":""}}}}]}`)
		l.want(`"tools":[]`)
		if n := b.logs.Len(); n != 1 {
			b.t.Errorf("%d lines in the log, want one for the tool", n)
		}
	})
}

// TestErrors: they pass as they are; a status that would speak of the session
// does not.
func TestErrors(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		for given, want := range map[int]int{404: 0, 403: 403} {
			l, _ := b.call("7", "tools/call", `{}`)
			b.last().call.Leg.Reply(&backend.Reply{Status: given})
			b.answer(b.last(), `{"jsonrpc":"2.0","id":0,"error":{"code":-32021,"message":"m","data":{"a":1}}}`)
			l.want(`{"jsonrpc":"2.0","id":7,"error":{"code":-32021,"message":"m","data":{"a":1}}}`)
			if l.status != want || l.how != metrics.Failed {
				b.t.Errorf("status %d became %d", given, l.status)
			}
		}
		b.refuse = refusal.Links
		c := &link.Call{ID: []byte("9"), Leg: &leg{b: b}}
		if refused := b.try(c, "tools/call", `{}`); refused != refusal.Links {
			b.t.Errorf("refused with %v", refused)
		}
		b.refuse = nil
	})
}

// TestReply: the header lines of the first round's response go to the client,
// and those of later rounds do not come again.
func TestReply(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		l, _ := b.call("7", "tools/call", `{}`)
		b.last().call.Leg.Reply(&backend.Reply{Status: backend.StatusOK})
		if l.status != backend.StatusOK {
			b.t.Errorf("status %d", l.status)
		}
		b.result(b.last(), `{"resultType":"input_required"}`)
		time.Sleep(time.Second)
		l.status = 0
		b.last().call.Leg.Reply(&backend.Reply{Status: backend.StatusOK})
		if l.status != 0 {
			b.t.Errorf("status %d", l.status)
		}
		b.result(b.last(), `{}`)
		l.want(`"result":{}`)
	})
}

// TestUnreadableResult: what is no message ends the call all the same.
func TestUnreadableResult(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		l, _ := b.call("7", "tools/call", `{}`)
		s := b.last()
		s.over = true
		msg, _ := b.message(`{"jsonrpc":"2.0","id":7,"result":{}}`)
		msg.B = msg.B[:len(msg.B)-1]
		s.call.Leg.Answer(msg, metrics.OK)
		l.want(refusal.ServerJSON.Text)
	})
}

func TestBudget(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		l, _ := b.call("7", "tools/call", `{}`)
		s := b.last()
		rest := int64(8<<20) - b.budget.InUse() - 200
		if !b.budget.TryAcquire(rest) {
			b.t.Fatal("no room")
		}
		b.result(s, `{"structuredContent":[1,2,3,4,5,6,7,8,9,10,11,12,13,14]}`)
		l.want("--max-bytes-in-flight")
		if refused := b.try(&link.Call{ID: []byte("9"), Leg: &leg{b: b}}, "tools/call", `{}`); refused == nil || refused.Reason != refusal.Budget.Reason {
			b.t.Errorf("refused with %v", refused)
		}
		b.budget.Release(rest)
	})
}

func TestBeforeAndAfterTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{})
		if refused := b.try(&link.Call{ID: []byte("1"), Leg: &leg{b: b}}, "ping", ""); refused != refusal.Uninitialized {
			t.Errorf("before initialize: %v", refused)
		}
		l := b.begin("2025-11-25", `{}`)
		sub, _ := b.call("2", "resources/subscribe", `{"uri":"a:b"}`)
		sub.want("wait for the answer to initialize")
		b.answer(b.last(), discovered)
		l.want("result")
		b.place.Leave(nil, refusal.SessionIdle)
		if refused := b.try(&link.Call{ID: []byte("1"), Leg: &leg{b: b}}, "ping", ""); refused != refusal.SessionIdle {
			t.Errorf("after the end: %v", refused)
		}
		b.stop()
		p := b.sharer.Join(b, "me", "other")
		late := &leg{b: b}
		msg, env := b.message(`{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
		p.Open(&link.Call{ID: []byte("1"), Leg: late, Opens: true}, msg, env)
		late.want(refusal.Draining.Text)
	})
}

func TestProgressAndCancel(t *testing.T) {
	run(t, `{}`, func(b *bed) {
		l, c := b.call("7", "tools/call", `{"_meta":{"progressToken":"t"}}`)
		s := b.last()
		if string(s.call.Progress) != `"t"` || string(s.call.ID) != "7" {
			b.t.Errorf("id %s, token %s", s.call.ID, s.call.Progress)
		}
		b.says(s, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}`)
		if len(l.before) != 1 {
			b.t.Errorf("heard %q", l.before)
		}
		b.cancel(c)
		l.want(refusal.Cancelled.Text)
		if l.how != metrics.Cancelled || s.left != 1 {
			b.t.Errorf("ended as %v, left %d times", l.how, s.left)
		}
		b.says(s, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":2}}`)
		b.cancel(c) // once more: nothing is there
		b.cancel(b.calls[0])
		if len(l.before) != 1 {
			b.t.Errorf("heard %q", l.before)
		}
		l.want("")
	})
}

// TestEndsWhileItIsSent: a call or a listen that ends before the desk knows it
// is left all the same, and answered once, also where the desk refuses it.
func TestEndsWhileItIsSent(t *testing.T) {
	for _, refuse := range []*refusal.Refusal{nil, refusal.Links} {
		run(t, `{}`, func(b *bed) {
			b.during = func() { b.cancel(b.calls[1]) }
			b.refuse = refuse
			l, _ := b.call("7", "tools/call", `{}`)
			l.want(refusal.Cancelled.Text)
			b.during = func() { b.place.Leave(nil, refusal.SessionEnd) }
			b.tell("notifications/initialized")
			for _, s := range b.sent[1:] {
				if s.left != 1 {
					b.t.Errorf("%s was left %d times", s.text, s.left)
				}
			}
			b.during, b.refuse = nil, nil
		})
	}
}

func TestLeaveAnswersAll(t *testing.T) {
	run(t, `{"roots":{}}`, func(b *bed) {
		one, _ := b.call("1", "tools/call", `{}`)
		two, _ := b.call("2", "tools/call", `{}`)
		b.result(b.last(), `{"resultType":"input_required","inputRequests":{"r":{"method":"roots/list"}}}`)
		b.question(0)
		three, _ := b.call("3", "prompts/get", `{}`)
		b.result(b.last(), `{"resultType":"input_required","requestState":"s"}`)
		four, _ := b.call("4", "resources/subscribe", `{"uri":"a:b"}`)
		n := b.count()
		b.place.Leave(b.calls, refusal.SessionIdle)
		for _, l := range []*leg{one, two, three, four} {
			l.want(refusal.SessionIdle.Text)
		}
		time.Sleep(time.Hour)
		if b.count() != n {
			b.t.Errorf("%s was sent after the end", b.last().text)
		}
	})
}
