package modern

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/bridge/seal"
)

// elicit is a server's question.
func elicit(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"elicitation/create","params":{"message":"who?","task":{"ttl":1},"elicitationId":"e","requestedSchema":{"type":"object"},"_meta":{"progressToken":4}}}`
}

// tool returns the link on which the newest call runs, and its number there.
func (b *bed) tool() (*server, string) {
	b.t.Helper()
	synctest.Wait()
	for i := len(b.servers); i > 0; i-- {
		s := b.server(i)
		for _, text := range s.took() {
			if strings.Contains(text, `"method":"tools/call"`) {
				_, env := message(text)
				return s, string(env.ID.Of([]byte(text)))
			}
		}
	}
	b.t.Fatal("no link has the call")
	return nil, ""
}

func TestParkedCallGoesOn(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first := b.call(`"one"`, "")
		s, n := b.tool()
		s.says("%s", elicit("7"))
		s.says(`{"jsonrpc":"2.0","id":"7","method":"roots/list"}`)
		s.says(`{"jsonrpc":"2.0","id":"seven","method":"sampling/createMessage","params":{"messages":[],"_meta":{"keep":1,"progressToken":3}}}`)
		first.wantNothing()
		state := first.parked(`"id":"one"`,
			`"7":{"method":"elicitation/create","params":{"message":"who?","requestedSchema":{"type":"object"}}}`,
			`"7#2":{"method":"roots/list","params":{}}`,
			`"seven":{"method":"sampling/createMessage","params":{"messages":[],"_meta":{"keep":1}}}`,
			`"io.modelcontextprotocol/serverInfo":{"name":"old","version":"7"}`)
		b.Leave(&first.Call) // as an HTTP client does, that has its answer

		second := b.call("2", `,"inputResponses":{"7":{"action":"accept","content":{"x":1e2}},"seven":{"role":"assistant"},"unknown":7},"requestState":`+state)
		sent := strings.Join(s.took(), "\n")
		for _, want := range []string{`{"jsonrpc":"2.0","id":7,"result":{"action":"accept","content":{"x":1e2}}}`, `{"jsonrpc":"2.0","id":"seven","result":{"role":"assistant"}}`} {
			if !strings.Contains(sent, want) {
				t.Errorf("the server was sent %s, want %s", sent, want)
			}
		}
		next := second.parked(`"inputRequests":{"7#2":{"method":"roots/list","params":{}}}`)
		third := b.call("3", `,"inputResponses":{"7#2":{"roots":[]}},"requestState":`+next)
		if sent := s.took(); len(sent) != 1 || sent[0] != `{"jsonrpc":"2.0","id":"7","result":{"roots":[]}}` {
			t.Errorf("the server was sent %q", sent)
		}
		time.Sleep(50 * time.Second) // less than the time-out, which begins anew
		s.says(`{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`, n)
		third.want(`"id":3`, `"content":[]`, `"resultType":"complete"`)
		b.call("4", `,"requestState":`+next).wantRefused(-32602)
	})
}

// TestSideBySide: two calls of one caller wait on two links, and each gets its
// own answer.
func TestSideBySide(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		ask := func(id, more string) *leg {
			return b.as("ann", id, "tools/call", `"name":"t",`+meta(able, "")+more)
		}
		one := ask("1", "")
		s1, n1 := b.tool()
		two := ask("2", "")
		s2, n2 := b.tool()
		if s1 == s2 {
			t.Fatal("two calls that may be asked have one link")
		}
		s1.says("%s", elicit("1"))
		s2.says("%s", elicit("1"))
		state1, state2 := one.parked(), two.parked()
		one, two = ask("3", `,"inputResponses":{"1":{"for":1}},"requestState":`+state1), ask("4", `,"inputResponses":{"1":{"for":2}},"requestState":`+state2)
		if sent := s1.took(); len(sent) != 1 || !strings.Contains(sent[0], `"for":1`) {
			t.Errorf("the first was sent %q", sent)
		}
		if sent := s2.took(); len(sent) != 1 || !strings.Contains(sent[0], `"for":2`) {
			t.Errorf("the second was sent %q", sent)
		}
		s2.says(`{"jsonrpc":"2.0","id":%s,"result":{"n":2}}`, n2)
		s1.says(`{"jsonrpc":"2.0","id":%s,"result":{"n":1}}`, n1)
		one.want(`"id":3`, `"n":1`)
		two.want(`"id":4`, `"n":2`)
	})
}

// TestStateIsBound: whatever is wrong with a requestState, the parked call
// stays as it was.
func TestStateIsBound(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first := b.as("ann", "1", "tools/call", `"name":"t","arguments":{"b":1,"a":2.50},`+meta(able, ""))
		s, n := b.tool()
		s.says("%s", elicit("7"))
		state := first.parked()
		good := `"name":"t","arguments":{"b":1,"a":2.50},` + meta(able, "") + `,"inputResponses":{"7":{}},"requestState":`
		stranger := seal.New(nil).Seal(seal.State{Call: seal.NewID(), Expires: time.Now().Add(time.Hour)}, seal.Binding{})
		altered := []byte(state)
		altered[30] ^= 1
		for name, try := range map[string]*leg{
			"principal":    b.as("bob", "2", "tools/call", good+state),
			"anonymous":    b.as("", "2", "tools/call", good+state),
			"method":       b.as("ann", "2", "prompts/get", good+state),
			"name":         b.as("ann", "2", "tools/call", strings.Replace(good, `"t"`, `"u"`, 1)+state),
			"arguments":    b.as("ann", "2", "tools/call", strings.Replace(good, `2.50`, `2.5`, 1)+state),
			"more params":  b.as("ann", "2", "tools/call", `"x":1,`+good+state),
			"forged":       b.as("ann", "2", "tools/call", good+`"`+stranger+`"`),
			"altered":      b.as("ann", "2", "tools/call", good+string(altered)),
			"cut":          b.as("ann", "2", "tools/call", good+state[:len(state)-2]+`"`),
			"longer":       b.as("ann", "2", "tools/call", good+`"`+strings.Repeat("A", 1<<16)+`"`),
			"empty":        b.as("ann", "2", "tools/call", good+`""`),
			"no string":    b.as("ann", "2", "tools/call", good+`7`),
			"no responses": b.as("ann", "2", "tools/call", strings.Replace(good, `{"7":{}}`, `[]`, 1)+state),
			"no response":  b.as("ann", "2", "tools/call", strings.Replace(good, `{"7":{}}`, `{"7":null}`, 1)+state),
		} {
			if try.refused == nil || try.refused.Code != -32602 {
				t.Errorf("%s: refused with %v, answers %q", name, try.refused, try.answers)
			}
		}
		if sent := s.took(); len(sent) > 0 {
			t.Errorf("the server was sent %q", sent)
		}
		// The same params, spelt in another way, are the same request.
		second := b.as("ann", "2", "tools/call", `"arguments": {"a":2.50, "b":1},`+meta(able, `,"io.modelcontextprotocol/x":1`)+`,"name":"\u0074","inputResponses":{"7":{}},"requestState":`+state)
		b.as("ann", "3", "tools/call", good+state).wantRefused(-32602) // used
		s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, n)
		second.want(`"id":2`)
		b.as("ann", "3", "tools/call", good+state).wantRefused(-32602) // over
	})
}

func TestParkTimeout(t *testing.T) {
	in(t, Options{ParkTimeout: 3 * time.Minute}, func(t *testing.T, b *bed) {
		first := b.call("1", "")
		s, n := b.tool()
		s.says("%s", elicit("7"))
		state := first.parked()
		time.Sleep(2 * time.Minute) // more than --call-timeout, which does not count here
		if sent := s.took(); len(sent) > 0 {
			t.Errorf("the server was sent %q", sent)
		}
		time.Sleep(time.Minute)
		if sent := strings.Join(s.took(), "\n"); !strings.Contains(sent, `"method":"notifications/cancelled","params":{"requestId":`+n) {
			t.Errorf("the server was sent %s", sent)
		}
		b.call("2", `,"inputResponses":{"7":{}},"requestState":`+state).wantRefused(-32602)
	})
}

func TestMaxParked(t *testing.T) {
	in(t, Options{MaxParked: 2}, func(t *testing.T, b *bed) {
		var states []string
		var servers []*server
		for range 3 {
			l := b.call("1", "")
			s, _ := b.tool()
			s.says("%s", elicit("7"))
			states, servers = append(states, l.parked()), append(servers, s)
		}
		if sent := strings.Join(servers[0].took(), "\n"); !strings.Contains(sent, "notifications/cancelled") {
			t.Errorf("the oldest was sent %s", sent)
		}
		b.call("2", `,"requestState":`+states[0]).wantRefused(-32602)
		for i := 1; i < 3; i++ { // without answers: it asks again
			if again := b.call("2", `,"requestState":`+states[i]).parked(`"7":`); again == states[i] {
				t.Error("a requestState came twice")
			}
		}
	})
}

func TestAnswerWhileParked(t *testing.T) {
	for name, end := range map[string]struct {
		says func(s *server, n string)
		want string
	}{
		"result": {func(s *server, n string) { s.says(`{"jsonrpc":"2.0","id":%s,"result":{"done":1}}`, n) }, `"result":{"done":1,"resultType":"complete"`},
		"error": {func(s *server, n string) {
			s.says(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32002,"message":"m"}}`, n)
		}, `"code":-32602`},
		"death": {func(s *server, _ string) { s.dies() }, `"code":503,"message":"the tool server ended before it answered; call again"`},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, Options{}, func(t *testing.T, b *bed) {
				first := b.call("1", "")
				s, n := b.tool()
				s.says("%s", elicit("7"))
				state := first.parked()
				end.says(s, n)
				synctest.Wait()
				b.call("2", `,"inputResponses":{"7":{}},"requestState":`+state).want(`"id":2`, end.want)
				b.call("3", `,"inputResponses":{"7":{}},"requestState":`+state).wantRefused(-32602)
				b.call("4", "")
				if _, n := b.tool(); n == "" {
					t.Error("no link")
				}
			})
		})
	}
}

// TestKeptAnswerExpires: one that nobody comes back for is not kept.
func TestKeptAnswerExpires(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first := b.call("1", "")
		s, n := b.tool()
		s.says("%s", elicit("7"))
		state := first.parked()
		s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, n)
		time.Sleep(6 * time.Minute)
		b.call("2", `,"requestState":`+state).wantRefused(-32602)
	})
}

// TestClockIsSet: a parked call waits as long as it was to, whatever the wall
// clock says when its client comes back.
func TestClockIsSet(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forward": 24 * time.Hour, "back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			in(t, Options{}, func(t *testing.T, b *bed) {
				state := func(c *call) string { // as it looks after the jump
					st := seal.State{Call: c.id, Step: c.step, Expires: time.Now().Add(time.Minute - jump)}
					return `,"requestState":"` + b.sealer.Seal(st, c.binding) + `"`
				}
				first := b.call("1", "")
				s, n := b.tool()
				s.says("%s", elicit("7"))
				first.parked()
				for _, c := range b.sealed {
					second := b.call("2", `,"inputResponses":{"7":{}}`+state(c))
					s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, n)
					second.want(`"id":2`)
				}
				third := b.call("3", "")
				s, _ = b.tool()
				s.says("%s", elicit("8"))
				third.parked()
				for _, c := range b.sealed {
					late := state(c)
					time.Sleep(6 * time.Minute)
					b.call("4", late).wantRefused(-32602)
				}
			})
		})
	}
}

func TestWithdrawn(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first := b.call("1", "")
		s, n := b.tool()
		s.says("%s", elicit("7"))
		s.says("%s", elicit("8"))
		s.says(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
		s.says(`{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"e"}}`)
		state := first.parked(`"inputRequests":{"8":`)
		s.says(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":8}}`)
		second := b.call("2", `,"inputResponses":{"8":{}},"requestState":`+state)
		time.Sleep(time.Second)
		second.wantNothing()
		if sent := s.took(); len(sent) > 0 {
			t.Errorf("the server was sent %q", sent)
		}
		s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, n)
		second.want(`"id":2`)
		second.heard()
	})
}

// TestAskedWhileParked: what comes meanwhile is asked at the next retry.
func TestAskedWhileParked(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		first := b.call("1", "")
		s, _ := b.tool()
		s.says("%s", elicit("7"))
		state := first.parked()
		s.says("%s", elicit("8"))
		b.call("2", `,"inputResponses":{"7":{}},"requestState":`+state).parked(`"inputRequests":{"8":`)
	})
}

func TestLeaves(t *testing.T) {
	cancelled := func(s *server, n string) bool {
		return strings.Contains(strings.Join(s.took(), "\n"), `"notifications/cancelled","params":{"requestId":`+n)
	}
	in(t, Options{}, func(t *testing.T, b *bed) {
		init := b.init
		b.init = "" // the place is not open yet
		l := b.call("0", "")
		b.Leave(&l.Call)
		l.want(`"code":408`)
		b.init = init
		b.server(1).says("%s", init)

		l = b.call("1", "") // in flight
		s, n := b.tool()
		b.Leave(&l.Call)
		l.want(`"code":408`)
		if !cancelled(s, n) {
			t.Error("the server was not told")
		}

		l = b.call("2", "") // in the window
		s, n = b.tool()
		s.says("%s", elicit("7"))
		synctest.Wait()
		b.Leave(&l.Call)
		l.want(`"code":408`)
		if !cancelled(s, n) {
			t.Error("the server was not told")
		}

		l = b.call("3", "") // after the retry
		s, n = b.tool()
		s.says("%s", elicit("7"))
		l = b.call("4", `,"inputResponses":{"7":{}},"requestState":`+l.parked())
		b.Leave(&l.Call)
		l.want(`"code":408`)
		if !cancelled(s, n) {
			t.Error("the server was not told")
		}
		b.Leave(&l.Call) // nothing more
		l.want(`"code":408`)
	})
}

// TestDrain: every call is answered, and nothing is left, whatever it waits
// for.
func TestDrain(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		parked := b.call("1", "")
		s, _ := b.tool()
		s.says("%s", elicit("7"))
		state := parked.parked()
		flying := b.call("2", "")
		shared := b.as("", "3", "tools/list", meta(limited, ""))
		listens := b.as("", "4", "subscriptions/listen", `"notifications":{"toolsListChanged":true},`+meta(limited, ""))
		b.init = ""
		opening := b.as("", "5", "tools/list", meta(`{"experimental":{}}`, ""))
		b.stop()
		flying.want(`"code":503`)
		shared.want(`"code":503`)
		opening.want(`"code":503`)
		listens.want(`"id":4,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":4}}`)
		b.call("6", "").wantRefused(503)
		b.call("7", `,"requestState":`+state).wantRefused(-32602)
	})
}

func TestProgress(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		ask := func(id, token, more string) *leg {
			return b.as("", id, "tools/call", `"name":"t",`+meta(able, token)+more)
		}
		first := ask("1", `,"progressToken":"p"`, "")
		s, n := b.tool()
		progress := func() {
			s.says(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}`, n)
		}
		progress()
		first.heard(`"progressToken":"p"`)
		s.says("%s", elicit("7"))
		state := first.parked()
		progress() // nobody is there
		second := ask("2", `,"progressToken":99`, `,"inputResponses":{"7":{}},"requestState":`+state)
		progress()
		second.heard(`"progressToken":99`)
		s.says("%s", elicit("8"))
		third := ask("3", ``, `,"inputResponses":{"8":{}},"requestState":`+second.parked())
		progress()
		third.heard()
		first.heard()
	})
}

// TestIncapable: a server asks for what the client cannot do.
func TestIncapable(t *testing.T) {
	in(t, Options{}, func(t *testing.T, b *bed) {
		l := b.as("", "1", "tools/call", `"name":"t",`+meta(`{"roots":{}}`, "")) // a link to itself
		s, _ := b.tool()
		s.says("%s", elicit("7"))
		l.want(`"id":1`, `"code":-32021`, `"data":{"requiredCapabilities":{"elicitation":{}}}`)
		if l.status != 400 {
			t.Errorf("the status is %d", l.status)
		}
		if sent := strings.Join(s.took(), "\n"); !strings.Contains(sent, `"id":7,"error":{"code":-32601`) || !strings.Contains(sent, "notifications/cancelled") {
			t.Errorf("the server was sent %s", sent)
		}

		one := b.as("", "2", "tools/call", `"name":"t",`+meta(limited, "")) // a shared link
		s, _ = b.tool()
		s.says(`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)
		one.want(`"code":-32021`, `{"roots":{}}`)

		two := b.as("", "3", "tools/call", `"name":"t",`+meta(limited, "")) // with another
		three := b.as("", "4", "tools/call", `"name":"t",`+meta(limited, ""))
		s.says(`{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)
		two.wantNothing()
		three.wantNothing()
	})
}

// TestElicitationModes: a client is asked in no mode that it has not declared.
func TestElicitationModes(t *testing.T) {
	for _, row := range []struct{ capabilities, mode, lacks string }{
		{`{"elicitation":{}}`, ``, ""},
		{`{"elicitation":{}}`, `"mode":"form",`, ""},
		{`{"elicitation":{}}`, `"mode":"url",`, "url"},
		{`{"elicitation":{"form":{}}}`, `"mode":"url",`, "url"},
		{`{"elicitation":{"url":{}}}`, `"mode":"url",`, ""},
		{`{"elicitation":{"url":{}}}`, ``, "form"},
		{`{"elicitation":{"form":{},"url":{}}}`, `"mode":"form",`, ""},
	} {
		in(t, Options{}, func(t *testing.T, b *bed) {
			l := b.as("", "1", "tools/call", `"name":"t",`+meta(row.capabilities, ""))
			s, _ := b.tool()
			s.says(`{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{%s"message":"m"}}`, row.mode)
			if row.lacks == "" {
				l.parked(`"7":`)
				return
			}
			l.want(`"code":-32021`, `{"elicitation":{"`+row.lacks+`":{}}}`)
			if sent := strings.Join(s.took(), "\n"); !strings.Contains(sent, `"id":7,"error":{"code":-32601`) {
				t.Errorf("the server was sent %s", sent)
			}
		})
	}
}
