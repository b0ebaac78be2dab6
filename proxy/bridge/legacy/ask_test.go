package legacy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
)

const everything = `{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}`

// TestQuestionsInParallel: all are asked on the call's stream, and the retry has
// every answer under the server's keys and the state as it came.
func TestQuestionsInParallel(t *testing.T) {
	run(t, everything, func(b *bed) {
		l, c := b.call("7", "tools/call", `{"name":"t","_meta":{"progressToken":"t"}}`)
		b.result(b.last(), `{"resultType":"input_required","requestState":"s\u0065al","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"form","message":"m","requestedSchema":{"z":1.0}}}, "b\u0062" : {"method":"sampling/createMessage","params":{"maxTokens":1}},"c":{"method":"roots/list"}}}`)
		for i, want := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"mode":"form","message":"m","requestedSchema":{"z":1.0}}}`,
			`{"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{"maxTokens":1}}`,
			`{"jsonrpc":"2.0","id":3,"method":"roots/list"}`,
		} {
			if q := b.question(i); q.text != want || q.on != c {
				b.t.Errorf("asked %s, want %s", q.text, want)
			}
		}
		b.reply(b.question(2), `"result":{"roots":[]}`)
		b.reply(b.question(2), `"result":{"roots":["again"]}`) // the first counts
		b.reply(b.question(0), `"error":{"code":-1,"message":"closed"}`)
		if n := b.count(); n != 2 {
			b.t.Fatalf("%d requests before all is answered", n)
		}
		b.reply(b.question(1), `"result":{"role":"assistant", "n":1e2}`)
		want := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"t",`
		got := b.last()
		if !strings.HasPrefix(got.text, want) || !strings.HasSuffix(got.text, `,"inputResponses":{"a":{"action":"cancel"},"b\u0062":{"role":"assistant", "n":1e2},"c":{"roots":[]}},"requestState":"s\u0065al"}}`) {
			b.t.Errorf("retried with %s", got.text)
		}
		if string(got.call.Progress) != `"t"` {
			b.t.Errorf("progress token %s", got.call.Progress)
		}
		b.says(got, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":2}}`)
		if len(l.before) != 1 {
			b.t.Errorf("heard %q", l.before)
		}
		b.reply(b.question(1), `"result":{}`) // too late
		b.result(got, `{"resultType":"complete","content":[]}`)
		l.want(`{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`)
	})
}

// TestURLElicitation: the client gets an id that nobody can guess.
func TestURLElicitation(t *testing.T) {
	run(t, everything, func(b *bed) {
		seen := map[string]bool{}
		for i := range 3 {
			_, c := b.call("7", "prompts/get", ``)
			b.result(b.last(), `{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","elicitationId":"1","url":"u"}}}}`)
			m := regexp.MustCompile(`"params":{"mode":"url","url":"u","elicitationId":"([A-Z2-7]{26})"}}$`).FindStringSubmatch(b.question(i).text)
			if m == nil || seen[m[1]] {
				b.t.Fatalf("asked %s", b.question(i).text)
			}
			seen[m[1]] = true
			b.cancel(c)
		}
		if len(b.settled) != 3 {
			b.t.Errorf("%d of 3 questions were settled", len(b.settled))
		}
	})
}

func TestModeIsOfOneRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{})
		b.open("2025-06-18", `{"elicitation":{}}`)
		b.call("7", "tools/call", `{}`)
		b.result(b.last(), `{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"form","message":"m"}}}}`)
		if got := b.question(0).text; !strings.HasSuffix(got, `"params":{"message":"m"}}`) {
			t.Errorf("asked %s", got)
		}
		b.stop()
	})
}

// TestWhatIsNotAsked: the client is asked nothing, and the call ends.
func TestWhatIsNotAsked(t *testing.T) {
	many := `"0":{"method":"roots/list"}`
	for i := range mostQuestions {
		many += fmt.Sprintf(`,"%d":{"method":"roots/list"}`, i+1)
	}
	for _, test := range []struct{ name, capabilities, requests, want string }{
		{"not declared", `{"roots":{}}`, `"r":{"method":"roots/list"},"s":{"method":"sampling/createMessage","params":{}}`, "sampling/createMessage, a capability"},
		{"another mode", `{"elicitation":{}}`, `"e":{"method":"elicitation/create","params":{"mode":"url"}}`, "elicitation by URL"},
		{"unknown method", everything, `"x":{"method":"x/y"}`, "no client of a legacy revision"},
		{"no request", everything, `"x":7`, "no client of a legacy revision"},
		{"the same key twice", everything, `"x":{"method":"roots/list"},"\u0078":{"method":"roots/list"}`, "the same twice"},
		{"too many", everything, many, "more at once"},
		{"params that are no params", everything, `"x":{"method":"roots/list","params":7}`, "in a way"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, test.capabilities, func(b *bed) {
				l, _ := b.call("7", "tools/call", `{}`)
				b.result(b.last(), `{"resultType":"input_required","inputRequests":{`+test.requests+`}}`)
				l.want(test.want)
				l.want(`"code":-32603`)
				if len(b.asked) != 0 || b.count() != 2 {
					b.t.Errorf("asked %d times, %d requests", len(b.asked), b.count())
				}
			})
		})
	}
}

// TestClientsError: there is no way to tell a modern server of it.
func TestClientsError(t *testing.T) {
	run(t, everything, func(b *bed) {
		l, _ := b.call("7", "tools/call", `{}`)
		b.result(b.last(), `{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage"},"b":{"method":"roots/list"}}}`)
		b.reply(b.question(0), `"error":{"code":-1,"message":"no model"}`)
		l.want(`{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no model"}}`)
		if len(b.settled) != 1 {
			b.t.Errorf("%d settled, want the other question", len(b.settled))
		}
		b.reply(b.question(1), `"result":{}`)
	})
}

// TestAnswersInTime: a client that does not answer does not hold the call for
// good; nor does what is no answer.
func TestAnswersInTime(t *testing.T) {
	run(t, everything, func(b *bed) {
		l, _ := b.call("7", "tools/call", `{}`)
		b.result(b.last(), `{"resultType":"input_required","inputRequests":{"b":{"method":"roots/list"}}}`)
		q := b.question(0)
		for _, text := range []string{`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}`, `{"jsonrpc":"2.0","id":"x","result":{}}`, `{"jsonrpc":"2.0","id":9,"result":{}}`} {
			msg, _ := b.message(text)
			if refused := q.from.Send(msg); refused != nil {
				b.t.Error(refused)
			}
		}
		time.Sleep(59 * time.Minute)
		l.wantNothing()
		time.Sleep(2 * time.Minute)
		l.want("--call-timeout")
		if l.how != metrics.Timeout || len(b.settled) != 1 {
			b.t.Errorf("ended as %v, %d settled", l.how, len(b.settled))
		}
	})
}

// TestRoundLimit: a server that always wants more is called no more.
func TestRoundLimit(t *testing.T) {
	run(t, everything, func(b *bed) {
		l, _ := b.call("7", "resources/read", `{"uri":"a:b"}`)
		start := time.Now()
		for i := range mostRounds {
			l.wantNothing()
			for b.count() < i+2 {
				time.Sleep(10 * time.Millisecond)
			}
			if i > 0 && !strings.HasSuffix(b.last().text, fmt.Sprintf(`"requestState":"%d"}}`, i-1)) {
				b.t.Errorf("round %d with %s", i, b.last().text)
			}
			b.result(b.last(), fmt.Sprintf(`{"resultType":"input_required","requestState":"%d"}`, i))
		}
		l.want("16 rounds")
		if d := time.Since(start); d < 10*time.Second || d > 13*time.Second {
			b.t.Errorf("the pauses took %v", d)
		}
	})
}

// TestNullState: a state of null is none, and does not go back.
func TestNullState(t *testing.T) {
	run(t, everything, func(b *bed) {
		l, _ := b.call("7", "tools/call", `{}`)
		b.result(b.last(), `{"resultType":"input_required","requestState":null,"inputRequests":{"b":{"method":"roots/list"}}}`)
		b.reply(b.question(0), `"result":{"roots":[]}`)
		if got := b.last().text; !strings.HasSuffix(got, `"inputResponses":{"b":{"roots":[]}}}}`) {
			b.t.Errorf("retried with %s", got)
		}
		b.result(b.last(), `{"resultType":"complete","content":[]}`)
		l.want(`"result":{"content":[]}`)
	})
}

// TestEndsBetweenRounds: cancelled while a question is open or a pause lasts,
// and refused at the next round.
func TestEndsBetweenRounds(t *testing.T) {
	const ask = `{"resultType":"input_required","inputRequests":{"b":{"method":"roots/list"}}}`
	for _, test := range []struct {
		name, result string
		end          func(*bed)
		want         string
	}{
		{"cancelled with a question", ask, func(b *bed) { b.cancel(b.calls[1]) }, refusal.Cancelled.Text},
		{"cancelled in a pause", `{"resultType":"input_required"}`, func(b *bed) { b.cancel(b.calls[1]) }, refusal.Cancelled.Text},
		{"refused", ask, func(b *bed) {
			b.refuse = refusal.Links
			b.reply(b.question(0), `"result":{}`)
			b.refuse = nil
		}, refusal.Links.Text},
		{"the link dies in the next round", ask, func(b *bed) {
			b.reply(b.question(0), `"result":{}`)
			b.answer(b.last(), string(refusal.EndedShared.AppendJSON(nil, []byte("0"))))
		}, refusal.EndedShared.Text},
		{"cancelled in the next round", ask, func(b *bed) {
			b.reply(b.question(0), `"result":{}`)
			b.cancel(b.calls[1])
			if b.last().left != 1 {
				b.t.Error("the round was not left")
			}
		}, refusal.Cancelled.Text},
		{"an answer too deep for a request", ask, func(b *bed) {
			b.reply(b.question(0), `"result":`+strings.Repeat(`{"a":`, 126)+"1"+strings.Repeat("}", 126))
		}, "cannot be passed on"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, everything, func(b *bed) {
				l, _ := b.call("7", "tools/call", `{}`)
				b.result(b.last(), test.result)
				l.wantNothing()
				test.end(b)
				l.want(test.want)
				n := b.count()
				time.Sleep(2 * time.Hour)
				if b.count() != n {
					b.t.Errorf("%s was sent after the end", b.last().text)
				}
			})
		})
	}
}
