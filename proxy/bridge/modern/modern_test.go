package modern

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

func TestDiscover(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.as("", `"d"`, "server/discover", meta(limited, "")).want(`"id":"d"`, `"resultType":"complete"`,
			`"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"]`,
			`"capabilities":{"logging":{},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"tools":{"listChanged":true}}`, `"instructions":"be kind"`, `"ttlMs":0,"cacheScope":"private"`,
			`"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"old","version":"7"}}`)
		b.as("", `2`, "server/discover", meta(limited, "")).want(`"id":2`)
		if len(b.servers) != 1 {
			t.Errorf("%d links were started", len(b.servers))
		}
		time.Sleep(2 * time.Minute)
		b.Desk.mu.Lock()
		defer b.Desk.mu.Unlock()
		if len(b.residents) != 0 {
			t.Error("a place that nobody uses is kept")
		}
	})
}

func TestServerThatDoesNotOpen(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.init = `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"not you"}}`
		b.as("", `1`, "server/discover", meta(limited, "")).want(`"id":1`, "not you")
		b.call(`2`, "").want(`"id":2`, "not you")
		b.as("", `3`, "subscriptions/listen", `"notifications":{},`+meta(limited, "")).want(`"id":3`, "not you")
		b.init = defaultInit
		b.as("", `4`, "server/discover", meta(limited, "")).want(`"id":4,"result"`)
	})
}

func TestRequests(t *testing.T) {
	for _, row := range []struct{ name, params, want string }{
		{"all is taken out", meta(able, `,"io.modelcontextprotocol/logLevel":"info"`) + `,"inputResponses":{"a":{}}`, `"params":{}`},
		{"the rest stays", `"name": "t" ,` + meta(limited, `,"traceparent":"x","io.example/ext":{"a":1.0}`) + `,"big":90071992547409930`, `"params":{"name": "t","_meta":{"traceparent":"x","io.example/ext":{"a":1.0}},"big":90071992547409930}`},
		{"the token stays", meta(limited, `,"progressToken":"p"`), `"_meta":{"progressToken":1}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			in(t, Options{}, func(t *testing.T, b *bed) {
				for _, method := range []string{"tools/list", "io.example/own"} {
					b.as("", "1", method, row.params)
					sent := strings.Join(b.server(1).took(), "")
					want := strings.Replace(row.want, `Token":1`, `Token":`, 1)
					if !strings.Contains(sent, strings.TrimSuffix(want, "}")) || strings.Contains(sent, "clientCapabilities") {
						t.Errorf("the server was sent %s, want %s", sent, row.want)
					}
				}
			})
		})
	}
}

func TestResults(t *testing.T) {
	const info = `"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"old","version":"7"}}`
	for _, row := range []struct{ name, method, says, want string }{
		{"empty", "tools/call", `"result":{}`, `"result":{"resultType":"complete",` + info + `}`},
		{"list", "tools/list", `"result":{"tools":[]}`, `"result":{"tools":[],"resultType":"complete","ttlMs":0,"cacheScope":"private",` + info + `}`},
		{"read", "resources/read", `"result":{"ttlMs":5,"contents":[]}`, `"result":{"ttlMs":5,"contents":[],"resultType":"complete","cacheScope":"private",` + info + `}`},
		{"meta is merged", "tools/call", `"result":{"_meta":{"a":1},"b":2}`, `"result":{"_meta":{"a":1,"io.modelcontextprotocol/serverInfo":{"name":"old","version":"7"}},"b":2,"resultType":"complete"}`},
		{"meta is kept", "tools/call", `"result":{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"own"}}}`, `"result":{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"own"}},"resultType":"complete"}`},
		{"a type of its own", "tools/call", `"result":{"resultType":"input_required"}`, `"result":{"resultType":"complete",` + info + `}`},
		{"no object", "tools/call", `"result":[]`, `"code":502`},
		{"error", "tools/call", `"error":{"code":-32002,"message":"m","data":{"uri":"u"}}`, `"error":{"code":-32602,"message":"m","data":{"uri":"u"}}`},
		{"another error", "tools/call", `"error":{"code":-32050,"message":"m"}`, `"error":{"code":-32050,"message":"m"}`},
		{"an unknown method", "x/y", `"error":{"code":0,"message":"m"}`, `"error":{"code":-32601,"message":"m"}`},
		{"a tool's own code", "tools/call", `"error":{"code":0,"message":"m"}`, `"error":{"code":0,"message":"m"}`},
		{"elicitations without any", "tools/call", `"error":{"code":-32042,"message":"m"}`, `"error":{"code":-32603,"message":"m"}`},
		{"elicitations where none can be", "tools/list", `"error":{"code":-32042,"message":"m","data":{"elicitations":[{}]}}`, `"code":-32603`},
	} {
		t.Run(row.name, func(t *testing.T) {
			in(t, Options{}, func(t *testing.T, b *bed) {
				l := b.as("", `"x"`, row.method, meta(limited, ""))
				sent := b.server(1).took()
				_, env := message(sent[0])
				b.server(1).says(`{"jsonrpc":"2.0",%s,"id":%s}`, row.says, env.ID.Of([]byte(sent[0])))
				l.want(row.want, `"id":"x"`)
			})
		})
	}
}

// TestStatuses: an HTTP server may say by its status alone that it does not know
// a method.
func TestStatuses(t *testing.T) {
	for _, row := range []struct {
		method string
		said   int
		want   string
	}{
		{"x/y", 400, `"code":-32601`},
		{"x/y", 404, `"code":-32601`},
		{"x/y", 500, `"code":502`},
		{"tools/call", 400, `"code":502`},
	} {
		in(t, Options{}, func(_ *testing.T, b *bed) {
			l := b.as("", "1", row.method, meta(limited, ""))
			sent := b.server(1).took()
			_, env := message(sent[0])
			b.server(1).link.Reply(env.ID.Of([]byte(sent[0])), &backend.Reply{Status: 502, Said: row.said, Reason: "r"})
			l.want(row.want, `"id":1`)
		})
	}
}

// TestURLElicitation: an error that names URLs becomes questions, for a client
// that can be asked so.
func TestURLElicitation(t *testing.T) {
	const (
		asked = `"result":{"resultType":"input_required","inputRequests":{"e":{"method":"elicitation/create","params":{"mode":"url","url":"https://a"}},` +
			`"2":{"method":"elicitation/create","params":{"mode":"url","url":"https://b"}}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"old","version":"7"}}}`
		lacking = `"data":{"requiredCapabilities":{"elicitation":{"url":{}}}}`
	)
	for capabilities, want := range map[string]string{
		`{"elicitation":{"url":{}}}`:           asked,
		`{"elicitation":{"form":{},"url":{}}}`: asked,
		`{"elicitation":{"form":{}}}`:          lacking,
		`{"elicitation":{}}`:                   lacking,
		`{}`:                                   lacking,
	} {
		in(t, Options{}, func(_ *testing.T, b *bed) {
			l := b.as("", `"x"`, "tools/call", meta(capabilities, ""))
			s, n := b.tool()
			s.says(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://a"},{"mode":"url","url":"https://b","task":{}}]}}}`, n)
			l.want(want, `"id":"x"`)
		})
	}
}

// TestURLElicitationRetry: the retry is a new call.
func TestURLElicitationRetry(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.call("1", "")
		s, n := b.tool()
		s.says(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32042,"message":"m","data":{"elicitations":[{"elicitationId":"e"}]}}}`, n)
		l := b.call("2", `,"inputResponses":{"e":{"action":"accept"}}`)
		s, n = b.tool()
		s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, n)
		l.want(`"id":2`, "complete")
	})
}

func TestTasksAreNotServed(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.as("", "1", "tasks/get", meta(limited, "")).want(`"code":-32601`)
		b.as("", "2", "tools/call", `"name":"t","task":{},`+meta(limited, "")).want(`"code":-32601`)
	})
}

func TestLogLevel(t *testing.T) {
	level := `,"io.modelcontextprotocol/logLevel":"debug"`
	for _, principal := range []string{"", "ann"} {
		for _, each := range []bool{false, true} {
			inGroup(t, Options{}, share.Options{Links: 1, Principal: each}, func(t *testing.T, b *bed) {
				quiet := b.as(principal, "1", "tools/call", `"name":"t",`+meta(limited, ""))
				s1, _ := b.tool()
				loud := b.as(principal, "2", "tools/call", `"name":"t",`+meta(limited, level))
				var s2 *server
				for _, s := range b.servers {
					told := false
					for _, text := range s.took() {
						told = told || strings.Contains(text, `"method":"logging/setLevel","params":{"level":"debug"}`)
						if strings.Contains(text, `"tools/call"`) {
							s2 = s
							if !told && s == s1 {
								t.Error("the call was sent before its level")
							}
						}
					}
				}
				if s2 == nil || s1 == s2 {
					t.Fatal("a call with a level shares a link")
				}
				s2.says(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`)
				s1.says(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"y"}}`)
				loud.heard(`"data":"x"`)
				quiet.heard()
			})
		}
	}
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.as("", "1", "tools/call", `"name":"t",`+meta(limited, `,"io.modelcontextprotocol/logLevel":"loud"`)).wantRefused(-32602)
		b.init = strings.Replace(b.init, `"logging":{},`, "", 1)
		b.as("", "2", "tools/call", `"name":"t",`+meta(limited, level))
		for _, s := range b.servers {
			if sent := strings.Join(s.took(), ""); strings.Contains(sent, "setLevel") {
				t.Errorf("a server without logs was sent %s", sent)
			}
		}
	})
}

// TestAnonymousLinksAreNotShared: a link that was told one client's roots never
// serves another.
func TestAnonymousLinksAreNotShared(t *testing.T) {
	in(t, Options{Everybody: true}, func(t *testing.T, b *bed) {
		first := b.call("1", "")
		s1, n := b.tool()
		s1.says(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
		second := b.call("2", `,"inputResponses":{"1":{"roots":[]}},"requestState":`+first.parked())
		s1.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, n)
		second.want("complete")
		b.call("3", "")
		if s2, _ := b.tool(); s1 == s2 {
			t.Error("another client has the link that knows the first one's roots")
		}
	})
}

func TestResidents(t *testing.T) {
	in(t, Options{Residents: 1}, func(t *testing.T, b *bed) {
		one := b.as("", "1", "tools/list", meta(limited, ""))
		b.as("", "2", "tools/list", meta(`{"experimental":{}}`, "")).wantRefused(503)
		b.Leave(&one.Call)
		synctest.Wait()
		if l := b.as("", "3", "tools/list", meta(`{"experimental":{}}`, "")); l.refused != nil {
			t.Errorf("refused: %v", l.refused)
		}
	})
}

func TestListen(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		l := b.as("", `"l"`, "subscriptions/listen", `"notifications":{"toolsListChanged":true,"resourcesListChanged":false,"resourceSubscriptions":["file:///a","file:///a","file:///refused"]},`+meta(limited, ""))
		other := b.as("", `2`, "subscriptions/listen", `"notifications":{"promptsListChanged":true},`+meta(limited, ""))
		const id = `"_meta":{"io.modelcontextprotocol/subscriptionId":"l"}`
		l.heard(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{` + id + `,"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a"]}}}`)
		other.heard(`"notifications":{"promptsListChanged":true}`)
		s := b.server(1)
		s.says(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		s.says(`{"jsonrpc":"2.0","method":"notifications/prompts/list_changed","params":{"_meta":{"a":1}}}`)
		s.says(`{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}`)
		s.says(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a"}}`)
		s.says(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///b"}}`)
		l.heard(`"method":"notifications/tools/list_changed","params":{`+id+`}}`, `"method":"notifications/resources/updated","params":{"uri":"file:///a",`+id+`}}`)
		other.heard(`"params":{"_meta":{"a":1,"io.modelcontextprotocol/subscriptionId":2}}}`)

		time.Sleep(time.Minute)
		s.took()
		s.dies()
		s = b.server(2)
		if sent := strings.Join(s.took(), ""); !strings.Contains(sent, `"resources/subscribe","params":{"uri":"file:///a"}`) {
			t.Errorf("the link in its place was sent %s", sent)
		}
		s.says(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a"}}`)
		l.heard(`"uri":"file:///a"`)
		b.Leave(&l.Call)
		l.want("complete")
		if sent := strings.Join(s.took(), ""); !strings.Contains(sent, `"resources/unsubscribe","params":{"uri":"file:///a"}`) {
			t.Errorf("after the end the server was sent %s", sent)
		}
	})
}

func TestListenBounds(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.as("", `1`, "subscriptions/listen", meta(limited, "")).wantRefused(-32602)
		b.as("", `1`, "subscriptions/listen", `"notifications":[],`+meta(limited, "")).wantRefused(-32602)
		b.as("", `1`, "subscriptions/listen", `"notifications":{"resourceSubscriptions":["`+strings.Repeat("a", mostURI+1)+`"]},`+meta(limited, "")).wantRefused(429)
		var uris []string
		for i := range mostSubscriptions {
			uris = append(uris, `"file:///`+strings.Repeat("x", i+1)+`"`)
		}
		l := b.as("", `1`, "subscriptions/listen", `"notifications":{"resourceSubscriptions":[`+strings.Join(uris, ",")+`]},`+meta(limited, ""))
		l.heard(uris[len(uris)-1])
		b.init = strings.Replace(strings.Replace(b.init, `,"subscribe":true`, "", 1), `"tools":{"listChanged":true}`, `"tools":{}`, 1)
		l = b.as("", `2`, "subscriptions/listen", `"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["file:///a"]},`+meta(`{"experimental":{}}`, ""))
		l.heard(`"notifications":{"promptsListChanged":true}`)
	})
}

// TestLeavesBeforeOpen: the place is not there yet, and then it is not needed.
func TestLeavesBeforeOpen(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.init = ""
		discovers := b.as("", "1", "server/discover", meta(limited, ""))
		listens := b.as("", "2", "subscriptions/listen", `"notifications":{"toolsListChanged":true},`+meta(limited, ""))
		b.Leave(&discovers.Call)
		discovers.want(`"code":408`)
		b.Leave(&listens.Call)
		listens.want("complete")
		again := b.as("", "3", "server/discover", meta(limited, ""))
		b.server(1).says("%s", defaultInit)
		again.want(`"id":3,"result"`)
	})
}

// TestAcknowledgedFirst: what is heard while the server is asked to subscribe
// comes after the acknowledgement.
func TestAcknowledgedFirst(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.as("", "1", "server/discover", meta(limited, "")).want("result")
		s := b.server(1)
		b.slow = true
		l := b.as("", "2", "subscriptions/listen", `"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a"]},`+meta(limited, ""))
		sent := s.took()
		s.says(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		l.heard()
		_, env := message(sent[len(sent)-1])
		s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, env.ID.Of([]byte(sent[len(sent)-1])))
		l.heard("acknowledged", "tools/list_changed")
	})
}

// TestUnknownQuestion: a modern client can be asked three things only.
func TestUnknownQuestion(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		l := b.call("1", "")
		s, _ := b.tool()
		s.says(`{"jsonrpc":"2.0","id":5,"method":"io.example/ask"}`)
		if sent := strings.Join(s.took(), ""); !strings.Contains(sent, `"id":5,"error":{"code":-32601`) {
			t.Errorf("the server was sent %s", sent)
		}
		for i := range mostQuestions {
			s.says(`{"jsonrpc":"2.0","id":%d,"method":"roots/list"}`, i+100)
		}
		s.says(`{"jsonrpc":"2.0","id":99,"method":"roots/list"}`)
		if sent := strings.Join(s.took(), ""); !strings.Contains(sent, `"id":99,"error":{"code":503`) {
			t.Errorf("the server was sent %s", sent)
		}
		l.parked(`"100":`)
	})
}

// TestAnswerEndsQuestions: a server that answers has its questions answered,
// but for roots/list, which goes with the next call.
func TestAnswerEndsQuestions(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		l := b.call("1", "")
		s, n := b.tool()
		s.says(`{"jsonrpc":"2.0","id":4,"method":"roots/list"}`)
		s.says(`{"jsonrpc":"2.0","id":5,"method":"elicitation/create","params":{}}`)
		s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, n)
		l.want("complete")
		if sent := strings.Join(s.took(), ""); !strings.Contains(sent, `"id":5,"error"`) || strings.Contains(sent, `"id":4,`) {
			t.Errorf("the server was sent %s", sent)
		}
		time.Sleep(2 * window)
		l.want("complete")
		state := b.call("2", "").parked(`"inputRequests":{"4":{"method":"roots/list","params":{}}}`)
		if sent := s.took(); len(sent) > 0 {
			t.Errorf("the server was sent %s before it had its answer", sent)
		}
		last := b.call("3", `,"requestState":`+state+`,"inputResponses":{"4":{"roots":[]}}`)
		synctest.Wait()
		if sent := s.took(); len(sent) != 2 || !strings.Contains(sent[0], `"id":4,"result":{"roots":[]}`) || !strings.Contains(sent[1], `"tools/call"`) {
			t.Errorf("the server was sent %s", sent)
		}
		s.says(`{"jsonrpc":"2.0","id":3,"result":{}}`)
		last.want("complete")
	})
}

// TestListsAskNothing: what a server asks by itself waits for a call whose
// result can be input_required.
func TestListsAskNothing(t *testing.T) {
	inGroup(t, Options{}, share.Options{Principal: true, Links: 1}, func(t *testing.T, b *bed) {
		l := b.call("1", "")
		s, n := b.tool()
		s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, n)
		l.want("complete")
		s.took()
		s.says(`{"jsonrpc":"2.0","id":4,"method":"roots/list"}`)
		b.as("", "2", "resources/templates/list", meta(able, ""))
		synctest.Wait()
		if sent := strings.Join(s.took(), ""); !strings.Contains(sent, "templates") || strings.Contains(sent, `"id":4`) {
			t.Errorf("the server was sent %s", sent)
		}
		b.call("3", "").parked(`"4":{"method":"roots/list"`)
	})
}

func TestHeader(t *testing.T) {
	const in = "Authorization: Bearer x\r\nMcp-Param-City: Ulm\r\nmcp-param-day: 1\r\nTraceparent: y\r\n"
	if got := string(legacyHeader([]byte(in))); got != "Authorization: Bearer x\r\nTraceparent: y\r\n" {
		t.Errorf("the server would see %q", got)
	}
}

// echo is a sharer whose places answer at once.
type echo struct{ share.Sharer }

type echoPlace struct{ share.Place }

func (echo) Join(share.Client, string, string) share.Place { return echoPlace{} }

func (echoPlace) Open(c *link.Call, msg *wire.Buffer, _ *wire.Envelope) {
	msg.B = append(msg.B[:0], strings.Replace(defaultInit, `"id":1`, `"id":0`, 1)...)
	c.Leg.Answer(msg, metrics.OK)
}

func (echoPlace) Call(c *link.Call, msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	msg.B = append(append(append(msg.B[:0], `{"jsonrpc":"2.0","id":`...), c.ID...), `,"result":{"content":[{"type":"text","text":"hello"}]}}`...)
	c.Leg.Answer(msg, metrics.OK)
	return nil
}

func (echoPlace) Leave([]*link.Call, *refusal.Refusal) {}

// BenchmarkCall is a tools/call to a server that answers at once: what the
// bridge itself costs. "asks" is a client that can be asked something.
func BenchmarkCall(b *testing.B) {
	for name, capabilities := range map[string]string{"plain": limited, "asks": able} {
		b.Run(name, func(b *testing.B) {
			d := New(Options{Sharer: echo{}, Dropped: func(string) {}})
			text := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1,"b":"two"},` + meta(capabilities, "") + `}}`
			var env wire.Envelope
			b.ReportAllocs()
			for b.Loop() {
				msg := wire.Acquire(len(text))
				msg.B = append(msg.B, text...)
				if err := env.Scan(msg.B); err != nil {
					b.Fatal(err)
				}
				c := &link.Call{ID: []byte("1"), Leg: link.Mute{}}
				if refused := d.Call(c, share.Caller{Principal: "ann"}, msg, &env); refused != nil {
					b.Fatal(refused)
				}
			}
		})
	}
}

// TestCallersWithoutAName: where links are for everybody, a call of such a
// caller that may be asked something has one to itself: what it were told of
// one client could reach another. Where each caller has links of its own they
// are one caller, whose server keeps state from call to call.
func TestCallersWithoutAName(t *testing.T) {
	for _, row := range []struct {
		name   string
		shares share.Options
		of     int // the link that gets the call
	}{
		{"links for everybody", share.Options{Links: 1}, 2},
		{"links of each caller", share.Options{Principal: true}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			inGroup(t, Options{Everybody: !row.shares.Principal}, row.shares, func(t *testing.T, b *bed) {
				for range 2 {
					l := b.as("", "1", "tools/call", `"name":"x",`+meta(able, ""))
					sent := b.server(row.of).took()
					if len(sent) != 1 {
						t.Fatalf("the link got %q", sent)
					}
					_, env := message(sent[0])
					b.server(row.of).says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, env.ID.Of([]byte(sent[0])))
					l.want(`"complete"`)
				}
			})
		})
	}
}
