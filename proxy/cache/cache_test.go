package cache

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sidegate/limits"
	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a store with a server that answers as the test says.
type bed struct {
	*Store
	t testing.TB

	mu      sync.Mutex
	asked   []*link.Call
	left    []*link.Call
	counts  map[string]int
	refuses *refusal.Refusal
}

func newBed(t testing.TB, o Options) *bed {
	b := &bed{t: t, counts: map[string]int{}}
	o.Count = func(what string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.counts[what]++
	}
	b.Store = New(o)
	t.Cleanup(b.Close)
	return b
}

func (b *bed) Call(c *link.Call, msg *wire.Buffer, _ *wire.Envelope) *refusal.Refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	msg.Release()
	if b.refuses != nil {
		return b.refuses
	}
	b.asked = append(b.asked, c)
	return nil
}

func (b *bed) Leave(c *link.Call, why *refusal.Refusal) {
	b.mu.Lock()
	b.left = append(b.left, c)
	b.mu.Unlock()
	c.Refuse(why)
}

// answers answers the n-th call that reached the server, from 0.
func (b *bed) answers(n int, result string) {
	b.t.Helper()
	b.wantAsked(n + 1)
	b.mu.Lock()
	c := b.asked[n]
	b.mu.Unlock()
	msg := wire.Acquire(len(result) + 64)
	how := metrics.OK
	if strings.HasPrefix(result, `"error"`) {
		how = metrics.Failed
	}
	msg.B = fmt.Appendf(msg.B, `{%s,"id":%s,"jsonrpc":"2.0"}`, result, c.ID)
	c.Leg.Answer(msg, how)
	synctest.Wait()
}

// wantAsked wants so many calls at least to have reached the server.
func (b *bed) wantAsked(n int) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) < n {
		b.t.Fatalf("%d calls reached the server, want %d", len(b.asked), n)
	}
}

// wantJust wants exactly so many calls to have reached the server.
func (b *bed) wantJust(n int) {
	b.t.Helper()
	b.wantAsked(n)
	if len(b.asked) != n {
		b.t.Fatalf("%d calls reached the server, want %d", len(b.asked), n)
	}
}

type leg struct {
	t  testing.TB
	id string

	mu      sync.Mutex
	answers []string
	sent    int
	call    *link.Call
}

func (l *leg) Send(msg *wire.Buffer) {
	l.mu.Lock()
	l.sent++
	l.mu.Unlock()
	msg.Release()
}
func (l *leg) Reply(*backend.Reply) {}
func (l *leg) Answer(msg *wire.Buffer, _ metrics.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, string(msg.B))
	msg.Release()
}

// want wants one answer, under the caller's own id and with these words.
func (l *leg) want(words string) {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) != 1 || !strings.Contains(l.answers[0], `"id":`+l.id) || !strings.Contains(l.answers[0], words) {
		l.t.Errorf("call %s was answered with %.200q, want %s", l.id, l.answers, words)
	}
}

func (l *leg) wantNothing() {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) != 0 {
		l.t.Errorf("call %s was answered with %q", l.id, l.answers)
	}
}

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

func request(id, method, params, header string) (*wire.Buffer, *wire.Envelope) {
	msg, env := wire.Acquire(256), new(wire.Envelope)
	msg.B = fmt.Appendf(msg.B, `{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, method, params)
	msg.Header = []byte(header)
	if err := env.Scan(msg.B); err != nil {
		panic(err)
	}
	return msg, env
}

// ask asks the store.
func (b *bed) ask(id, method, params string) *leg {
	b.t.Helper()
	l := &leg{t: b.t, id: id}
	l.call = &link.Call{ID: []byte(id), Leg: l}
	msg, env := request(id, method, params, "")
	k, ok := NewKey(0, Cacheable(env.Method), msg, env)
	if !ok {
		b.t.Fatalf("%s %s has no key", method, params)
	}
	if refused := b.Store.Call(k, Public, b, l.call, msg, env); refused != nil {
		b.t.Fatal(refused)
	}
	return l
}

func (b *bed) tools(id string) *leg {
	b.t.Helper()
	return b.ask(id, mcp.MethodListTools, `{`+meta+`}`)
}

func result(scope string, ttl any, rest string) string {
	return fmt.Sprintf(`"result":{"resultType":"complete","ttlMs":%v,"cacheScope":%q,"tools":[%s]}`, ttl, scope, rest)
}

func in(t *testing.T, o Options, test func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newBed(t, o)) })
}

func (b *bed) hears(method, params string) {
	var env wire.Envelope
	if err := env.Scan(fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q,"params":%s}`, method, params)); err != nil {
		panic(err)
	}
	b.Heard(&env)
}

func TestOneCallForMany(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		legs := []*leg{b.tools(`"a \u00e9"`), b.tools(`9007199254740993`)}
		for i := range 998 {
			legs = append(legs, b.tools(fmt.Sprint(i)))
		}
		b.wantJust(1)
		b.answers(0, result("public", 5000, `1`))
		for _, l := range legs {
			l.want(`"ttlMs":5000`)
		}
		time.Sleep(1200 * time.Millisecond)
		b.tools(`"b"`).want(`"ttlMs":3800`)
		time.Sleep(3799 * time.Millisecond)
		b.tools(`1`).want(`"ttlMs":1,`)
		time.Sleep(time.Millisecond)
		b.tools(`2`).wantNothing()
		b.wantJust(2)
		if b.counts[Joined] != 999 || b.counts[Hit] != 2 || b.counts[Fetched] != 2 {
			t.Errorf("counted %v", b.counts)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		var all sync.WaitGroup
		legs := make([]*leg, 1000)
		for i := range legs {
			all.Go(func() { legs[i] = b.tools(fmt.Sprint(i)) })
		}
		all.Wait()
		b.wantJust(1)
		b.answers(0, result("public", 5000, ``))
		for _, l := range legs {
			l.want(`"public"`)
		}
	})
}

func TestTheFirstLeaves(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first, second := b.tools("1"), b.tools("2")
		if !b.Store.Leave(first.call, refusal.Cancelled) {
			t.Error("the first did not wait")
		}
		first.want(`"code":408`)
		b.answers(0, result("public", 5000, ``))
		second.want(`"public"`)
		first.want(`"code":408`)
		if len(b.left) != 0 || b.Store.Leave(second.call, refusal.Cancelled) {
			t.Error("the call was given up, or somebody waits for it still")
		}
	})
}

func TestTheLastLeaves(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first, second := b.tools("1"), b.tools("2")
		b.Store.Leave(first.call, refusal.Cancelled)
		b.Store.Leave(second.call, refusal.Cancelled)
		second.want(`"code":408`)
		if len(b.left) != 1 || b.left[0] != b.asked[0] {
			t.Errorf("given up: %d calls, want the one", len(b.left))
		}
		b.tools("3").wantNothing()
		b.wantJust(2)
	})
}

// What is not marked as public reaches the one caller whose request it answers.
func TestNotShareable(t *testing.T) {
	for name, answer := range map[string]string{
		"private":      result("private", 5000, `"secret"`),
		"no time":      result("public", 0, `"secret"`),
		"negative":     result("public", -1, `"secret"`),
		"a fraction":   result("public", 1.5, `"secret"`),
		"absurd":       result("public", "99999999999999999999", `"secret"`),
		"a string":     result("public", `"5000"`, `"secret"`),
		"no hints":     `"result":{"resultType":"complete","x":"secret"}`,
		"asks back":    `"result":{"resultType":"input_required","ttlMs":5000,"cacheScope":"public","x":"secret"}`,
		"error":        `"error":{"code":-32603,"message":"secret"}`,
		"another case": `"result":{"resultType":"complete","ttlMs":5000,"cacheScope":"Public","x":"secret"}`,
	} {
		t.Run(name, func(t *testing.T) {
			in(t, Options{}, func(t *testing.T, b *bed) {
				first, second, third := b.tools("1"), b.tools("2"), b.tools("3")
				b.wantJust(1)
				b.answers(0, answer)
				first.want("secret")
				second.wantNothing()
				third.wantNothing()
				b.wantJust(3)
				b.tools("4") // not joined: it is remembered
				b.wantJust(4)
				b.answers(1, result("private", 5000, `"of another"`))
				b.answers(3, result("public", 5000, ``))
				b.tools("5").wantNothing()
				b.wantJust(5)
				time.Sleep(memory)
				b.tools("6")
				b.tools("7")
				b.wantJust(6)
			})
		})
	}
}

// A private answer whose caller has left is nobody's.
func TestPrivateForNobody(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first, second := b.tools("1"), b.tools("2")
		note, _ := request("1", "x", "{}", "")
		b.asked[0].Leg.Send(note)
		if first.sent != 1 || second.sent != 0 {
			t.Errorf("what came before the answer went to %d and %d", first.sent, second.sent)
		}
		b.Store.Leave(first.call, refusal.Cancelled)
		b.answers(0, result("private", 5000, `"secret"`))
		second.wantNothing()
		b.answers(1, result("private", 5000, `"mine"`))
		second.want("mine")
	})
}

func TestRefusedForAll(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first, second := b.tools("1"), b.tools("2")
		b.refuses = refusal.Links
		b.asked[0].Refuse(refusal.Ended)
		first.want(`"code":503`)
		second.want(`--max-links`)
		b.refuses = nil
		b.tools("3")
		b.tools("4")
		b.wantJust(2) // a failure of the gate's is not remembered
	})
}

func TestChangesAreHeard(t *testing.T) {
	read := func(b *bed, id, uri string) *leg {
		return b.ask(id, mcp.MethodReadResource, fmt.Sprintf(`{"uri":%q,%s}`, uri, meta))
	}
	in(t, Options{}, func(t *testing.T, b *bed) {
		before := b.tools("1")
		b.hears(mcp.MethodPromptsChanged, `{}`)
		joins := b.tools("2")
		b.hears(mcp.MethodToolsChanged, `{}`)
		after := b.tools("3") // began after it: what is on its way is not for it
		b.wantJust(2)
		b.answers(0, result("public", 5000, `"old"`))
		before.want("old")
		joins.want("old")
		after.wantNothing()
		b.tools("4").wantNothing() // nor is the old one kept
		b.wantJust(2)
		b.answers(1, result("public", 5000, `"new"`))
		after.want("new")
		b.tools("5").want("new")
		b.hears(mcp.MethodToolsChanged, `{}`)
		b.tools("6").wantNothing()
		b.answers(2, result("public", 5000, `"newest"`))

		read(b, "7", "file:///a")
		b.answers(3, result("public", 5000, `"a"`))
		read(b, "8", "file:///b")
		b.answers(4, result("public", 5000, `"b"`))
		b.hears(mcp.MethodResourceUpdated, `{"uri":"file:///a"}`)
		read(b, "9", "file:///b").want(`"b"`)
		read(b, "10", "file:///a").wantNothing()
		b.answers(5, result("public", 5000, `"a2"`))
		b.hears(mcp.MethodResourcesChanged, `{}`)
		read(b, "11", "file:///b").wantNothing()
		b.tools("12").want("newest")
	})
}

func TestAnHourAtMost(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		b.tools("1")
		b.answers(0, result("public", 86400000, ``))
		time.Sleep(mostAge - time.Millisecond)
		b.tools("2").want(`"ttlMs":82800001`)
		time.Sleep(time.Millisecond)
		b.tools("3").wantNothing()
	})
}

func TestMemoryIsBounded(t *testing.T) {
	budget := limits.NewBytes(1 << 20)
	in(t, Options{Entries: 10, Bytes: 8 << 10, EntryBytes: 4 << 10, Waiters: 3, Budget: budget}, func(t *testing.T, b *bed) {
		page := func(id string, n int) *leg {
			return b.ask(id, mcp.MethodListTools, fmt.Sprintf(`{"cursor":"%d",%s}`, n, meta))
		}
		for n := range 100 {
			page("1", n)
			b.answers(n, result("public", 5000, ``))
			page("2", 0).want(`"public"`) // is used, and stays
			if len(b.kept.entries) > 10 || b.kept.bytes > 8<<10 {
				t.Fatalf("%d answers of %d bytes are kept", len(b.kept.entries), b.kept.bytes)
			}
		}
		page("3", 50).wantNothing() // went
		b.answers(100, result("public", 5000, `"`+strings.Repeat("x", 3000)+`"`))
		if n := b.Kept(); n == 0 || n > 8<<10 || budget.InUse() != 0 {
			t.Errorf("%d bytes are kept, and %d charged", n, budget.InUse())
		}
		long, joined := page("4", 200), page("5", 200)
		b.answers(101, result("public", 5000, `"`+strings.Repeat("x", 5000)+`"`))
		long.want("xxx")
		joined.wantNothing()
		b.wantJust(103)
		b.answers(102, result("private", 5000, ``))
		for i := range 5 {
			page(fmt.Sprint(i), 300)
		}
		b.wantJust(103 + 1 + 2) // three wait, and two do not
		for n := range 100 {
			page("6", 400+n)
			b.answers(106+n, result("private", 1, ``))
		}
		if len(b.alone.until) > 10 || len(b.alone.order) > 10 {
			t.Errorf("%d keys are remembered", len(b.alone.until))
		}
		b.Close()
	})
	if n := budget.InUse(); n != 0 {
		t.Errorf("%d bytes are charged when all is over", n)
	}
}

func TestClose(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first, second := b.tools("1"), b.tools("2")
		b.Close()
		first.want(`"code":503`)
		second.want(`"code":503`)
		b.tools("3")
		b.tools("4")
		b.wantJust(3)
	})
}

func key(t *testing.T, method, params, header string) (Key, bool) {
	t.Helper()
	msg, env := request("1", method, params, header)
	defer msg.Release()
	return NewKey(0, Cacheable(env.Method), msg, env)
}

func TestKeys(t *testing.T) {
	plain, _ := key(t, "tools/list", `{`+meta+`}`, "")
	info := `{"_meta":{"io.modelcontextprotocol/clientCapabilities":{ },"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"x"},"traceparent":"00"}}`
	for params, header := range map[string]string{info: "User-Agent: x\r\nMcp-Method: tools/list\r\n", `{ ` + meta + ` }`: "X-Forwarded-For: 1.2.3.4\r\n"} {
		if k, ok := key(t, "tools/list", params, header); !ok || k != plain {
			t.Errorf("%s has another key", params)
		}
	}
	seen := map[Key]string{plain: "plain"}
	for _, c := range [][3]string{
		{"prompts/list", `{` + meta + `}`, ""},
		{"tools/list", `{"cursor":"",` + meta + `}`, ""},
		{"tools/list", `{"cursor":"a",` + meta + `}`, ""},
		{"tools/list", `{"x":{"a":1,"a":2},` + meta + `}`, ""},
		{"tools/list", `{"x":{"a":2,"a":1},` + meta + `}`, ""},
		{"tools/list", `{"x":{"a":2},` + meta + `}`, ""},
		{"tools/list", `{"x":{"\ud800":2},` + meta + `}`, ""},
		{"tools/list", `{"x":{"\udbff":2},` + meta + `}`, ""},
		{"tools/list", `{"x":"{}",` + meta + `}`, ""},
		{"tools/list", `{"x":{},` + meta + `}`, ""},
		{"tools/list", `{"x":[],` + meta + `}`, ""},
		{"tools/list", `{` + meta + `}`, "Authorization: Bearer a\r\n"},
		{"tools/list", `{` + meta + `}`, "Authorization: Bearer b\r\n"},
		{"tools/list", `{` + meta + `}`, "Cookie: b\r\n"},
		{"tools/list", strings.Replace(`{`+meta+`}`, `ies":{}`, `ies":{"roots":{}}`, 1), ""},
		{"tools/list", strings.Replace(`{`+meta+`}`, "2026-07-28", "2027-01-01", 1), ""},
		{"tools/list", `{}`, ""},
		{"resources/read", `{"uri":"a",` + meta + `}`, ""},
		{"resources/read", `{"uri":"b",` + meta + `}`, ""},
	} {
		k, ok := key(t, c[0], c[1], c[2])
		if !ok || seen[k] != "" {
			t.Errorf("%q has no key (%v), or that of %s", c, !ok, seen[k])
		}
		seen[k] = fmt.Sprint(c)
	}
	for _, params := range []string{
		`{"_meta":{"progressToken":1}}`, `{"_meta":{"io.modelcontextprotocol/logLevel":"info"}}`, `{"_meta":{"com.example/x":1}}`, `{"_meta":{"baggage":"x"}}`,
		`{"inputResponses":{}}`, `{"requestState":""}`, `["x"]`, `{"x":"` + strings.Repeat("x", mostParams) + `"}`,
	} {
		if _, ok := key(t, "tools/list", params, ""); ok {
			t.Errorf("%.100s has a key", params)
		}
	}
	if _, ok := key(t, "tools/call", `{}`, ""); ok {
		t.Error("a call of a tool has a key")
	}
}

// BenchmarkHit is a list of 20 KiB that is kept, from key to answer.
func BenchmarkHit(b *testing.B) {
	bd := newBed(b, Options{Budget: limits.NewBytes(1 << 20)})
	params := `{` + meta + `}`
	msg, env := request("1", "tools/list", params, "")
	text := bytes.Clone(msg.B)
	msg.Release()
	c := &link.Call{ID: []byte("7"), Leg: link.Mute{}}
	once := func() {
		m := wire.Acquire(len(text))
		m.B = append(m.B, text...)
		k, _ := NewKey(0, Cacheable(env.Method), m, env)
		if refused := bd.Store.Call(k, Public, bd, c, m, env); refused != nil {
			b.Fatal(refused)
		}
	}
	bd.Store.options.Count = func(string) {}
	once()
	answer := wire.Acquire(1 << 10)
	answer.B = append(answer.B, `{"jsonrpc":"2.0","id":7,`+result("public", 3600000, `"`+strings.Repeat("x", 20<<10)+`"`)+`}`...)
	bd.asked[0].Leg.Answer(answer, metrics.OK)
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
	if len(bd.asked) != 1 {
		b.Fatal("a call reached the server")
	}
}
