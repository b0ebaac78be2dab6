package e2e

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// accept is a client's answer to a question, with text in it.
func accept(text string) string {
	return fmt.Sprintf(`{"action":"accept","content":{"text":%q}}`, text)
}

// TestParkedSideBySide: a call that waits for its client holds up no other, not
// even one of the same kind.
func TestParkedSideBySide(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-links", "3")
	one, two := asking("one"), asking("two")
	first, second := one.ask(t, g), two.ask(t, g)
	if n := g.Metric(t, "sidegate_parked_calls"); n != 2 {
		t.Errorf("%v calls are parked", n)
	}
	if r := modernTool("echo", `{"x":1}`).ask(t, g); string(r.Structured) != `{"x":1}` {
		t.Errorf("a call beside them got %s", r.Raw)
	}
	for _, p := range []struct {
		call modernCall
		was  modernResult
		text string
	}{{two, second, "for two"}, {one, first, "for one"}} {
		r := p.call.retry(t, p.was, `"again"`, accept(p.text)).ask(t, g)
		if r.ResultType != "complete" || !strings.Contains(string(r.Structured), p.text) {
			t.Errorf("the answer %q went into %s", p.text, r.Raw)
		}
	}
	if n := g.Metric(t, "sidegate_parked_calls"); n != 0 {
		t.Errorf("%v calls are parked at the end", n)
	}
}

// TestModernCrowd: a hundred clients at once on eight links, half of them asked
// something. Every question and every answer is its own call's.
func TestModernCrowd(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"shared":  {"--isolation", "shared", "--links", "2", "--max-links", "8"},
		"session": {"--max-links", "8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gate(t, append(flags, "--link-wait", "30s")...)
			var crowd sync.WaitGroup
			for i := range 100 {
				crowd.Go(func() {
					if i%2 == 0 {
						beAsked(t, g, i)
						return
					}
					for range 10 {
						if r := modernTool("echo", fmt.Sprintf(`{"n":%d}`, i)).ask(t, g); string(r.Structured) != fmt.Sprintf(`{"n":%d}`, i) {
							t.Errorf("client %d got %s", i, r.Raw)
						}
					}
				})
			}
			crowd.Wait()
			if n := g.Metric(t, "sidegate_parked_calls") + g.Metric(t, "sidegate_calls_in_flight"); n != 0 {
				t.Errorf("%v calls are left", n)
			}
		})
	}
}

// beAsked is a client that is asked once and comes back after a while.
func beAsked(t *testing.T, g *harness.Gate, i int) {
	call := asking(fmt.Sprintf("question of %d", i))
	call.id = fmt.Sprint(i)
	r := call.ask(t, g)
	for _, q := range r.InputRequests {
		if !strings.Contains(string(q.Params), fmt.Sprintf(`"question of %d"`, i)) {
			t.Errorf("client %d was asked %s", i, q.Params)
		}
	}
	time.Sleep(30 * time.Millisecond)
	again := call.retry(t, r, fmt.Sprintf(`"%d"`, i), accept(fmt.Sprintf("answer of %d", i)))
	m := g.Do(t, again.request()).Answer(t)
	if r := readResult(t, m); !strings.Contains(string(r.Structured), fmt.Sprintf(`"answer of %d"`, i)) || string(m.ID) != fmt.Sprintf(`"%d"`, i) {
		t.Errorf("client %d got %s", i, m.Raw)
	}
}

// TestRequestState: whatever is wrong with a requestState is refused, and the
// parked call goes on as if nothing had come.
func TestRequestState(t *testing.T) {
	t.Parallel()
	g := gate(t, "--token-file", tokenFile(t, "ann=0123456789abcdef", "bob=fedcba9876543210"))
	other := gate(t)
	call := asking("who?")
	call.token = "0123456789abcdef"
	parked := call.ask(t, g)
	foreign := asking("who?").ask(t, other)
	good := parked.RequestState
	with := func(state string, change func(*modernCall)) modernCall {
		c := call
		if change != nil {
			change(&c)
		}
		p := parked
		p.RequestState = state
		return c.retry(t, p, "2", accept("x"))
	}
	flipped := func(at int) string {
		c := byte('A')
		if good[at] == c {
			c = 'B'
		}
		return good[:at] + string(c) + good[at+1:]
	}
	cases := map[string]modernCall{
		"forged":                 with(strings.Repeat("A", len(good)), nil),
		"empty":                  {id: "2", method: call.method, name: call.name, capabilities: able, token: call.token, params: call.params + `,"requestState":""`},
		"no base64":              with("äöü "+good, nil),
		"cut":                    with(good[:len(good)-1], nil),
		"half":                   with(good[:len(good)/2], nil),
		"longer":                 with(good+"A", nil),
		"far too long":           with(strings.Repeat(good, 10_000), nil),
		"of another gate":        with(foreign.RequestState, nil),
		"of another caller":      with(good, func(c *modernCall) { c.token = "fedcba9876543210" }),
		"with another argument":  with(good, func(c *modernCall) { *c = asking("WHO?"); c.token = call.token }),
		"with another tool":      with(good, func(c *modernCall) { c.name = "echo"; c.params = strings.Replace(c.params, `"ask"`, `"echo"`, 1) }),
		"with a further member":  with(good, func(c *modernCall) { c.params += `,"more":1` }),
		"with another method":    with(good, func(c *modernCall) { c.method, c.name, c.params = "prompts/get", "ask", `"name":"ask"` }),
		"as a number":            {id: "2", method: call.method, name: call.name, capabilities: able, token: call.token, params: call.params + `,"requestState":7`},
		"responses of no object": {id: "2", method: call.method, name: call.name, capabilities: able, token: call.token, params: call.params + fmt.Sprintf(`,"inputResponses":[],"requestState":%q`, good)},
	}
	for at := 0; at < len(good); at += 7 { // version, key, replica, nonce, state, tag
		cases[fmt.Sprintf("altered at %d", at)] = with(flipped(at), nil)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g.Do(t, c.request()).WantRefusal(t, 400, invalidParams, "2")
		})
	}
	again := call.retry(t, parked, "3", accept("still there"))
	again.meta = `,"example.com/trace":"another"` // is not bound
	if r := again.ask(t, g); !strings.Contains(string(r.Structured), "still there") {
		t.Errorf("the parked call ended with %s", r.Raw)
	}
	g.Do(t, again.request()).WantRefusal(t, 400, invalidParams, "3") // replayed
}

// TestStepsAreUsedOnce: of a call that asks twice each state is good for its
// own step.
func TestStepsAreUsedOnce(t *testing.T) {
	t.Parallel()
	g := gate(t)
	call := modernTool("ask", `{"method":"elicitation/create","params":{"message":"m"}}`)
	call.capabilities = able
	first := call.ask(t, g)
	nothing := call
	nothing.id, nothing.params = "2", call.params+fmt.Sprintf(`,"inputResponses":{},"requestState":%q`, first.RequestState)
	second := nothing.ask(t, g) // nothing was answered: it is asked again
	if second.ResultType != "input_required" || second.RequestState == first.RequestState {
		t.Fatalf("a retry without the answer got %s", second.Raw)
	}
	g.Do(t, call.retry(t, first, "3", accept("x")).request()).WantRefusal(t, 400, invalidParams, "3")
	if r := call.retry(t, second, "4", accept("y")).ask(t, g); r.ResultType != "complete" {
		t.Errorf("the second state got %s", r.Raw)
	}
}

// TestParkedCallsEnd: of whatever a parked call ends, its link is free again,
// and who comes back is told.
func TestParkedCallsEnd(t *testing.T) {
	t.Parallel()
	t.Run("its time is over", func(t *testing.T) {
		t.Parallel()
		g := gate(t, "--isolation", "shared", "--links", "1", "--max-links", "2", "--park-timeout", "1s")
		call := asking("m")
		parked := call.ask(t, g)
		next := asking("n").ask(t, g) // waits for the one link that there is for such calls
		g.Do(t, call.retry(t, parked, "2", accept("late")).request()).WantRefusal(t, 400, invalidParams, "2")
		if r := asking("n").retry(t, next, "3", accept("in time")).ask(t, g); !strings.Contains(string(r.Structured), "in time") {
			t.Errorf("the next call got %s", r.Raw)
		}
	})
	t.Run("there are too many", func(t *testing.T) {
		t.Parallel()
		g := gate(t, "--max-parked", "2")
		calls := []modernCall{asking("0"), asking("1"), asking("2")}
		var parked []modernResult
		for _, c := range calls {
			parked = append(parked, c.ask(t, g))
		}
		g.Do(t, calls[0].retry(t, parked[0], "2", accept("x")).request()).WantRefusal(t, 400, invalidParams, "2")
		for i := range 2 {
			if r := calls[i+1].retry(t, parked[i+1], "3", accept("x")).ask(t, g); r.ResultType != "complete" {
				t.Errorf("call %d got %s", i+1, r.Raw)
			}
		}
	})
	t.Run("its server dies", func(t *testing.T) {
		t.Parallel()
		g := gate(t)
		var at struct{ PID int }
		where := modernTool("pid", `{}`)
		where.capabilities = able
		decode(t, where.ask(t, g).Structured, &at)
		call := asking("m")
		parked := call.ask(t, g) // on the same link: it is the caller's own
		if err := syscall.Kill(at.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the child is gone", func() bool { return !harness.Alive(at.PID) })
		resp := g.Do(t, call.retry(t, parked, "2", accept("x")).request())
		if m := harness.ParseMessage(t, string(resp.Body)); m.Error == nil || string(m.ID) != "2" {
			t.Errorf("a retry after the server's death got %d %s", resp.Status, resp.Body)
		}
		if r := modernTool("echo", `{}`).ask(t, g); r.ResultType != "complete" {
			t.Errorf("the next call got %s", r.Raw)
		}
	})
}

// TestLeavingCancels: a client that breaks its connection off has cancelled, and
// one that was told input_required has not.
func TestLeavingCancels(t *testing.T) {
	t.Parallel()
	g := gate(t)
	modernTool("echo", `{}`).ask(t, g) // now there is a server that the call is sent to at once
	slow := modernTool("sleep", `{"ms":60000,"label":"slow"}`)
	c := g.Dial(t)
	c.Send(t, slow.request().Bytes(g.Host()))
	harness.Eventually(t, "the call is in flight", func() bool { return g.Metric(t, "sidegate_calls_in_flight") == 1 })
	c.Conn.Close()
	harness.Eventually(t, "the call is over", func() bool { return g.Metric(t, "sidegate_calls_in_flight") == 0 })
	harness.Eventually(t, "the server knows", func() bool {
		return strings.Contains(string(modernTool("cancelled", `{}`).ask(t, g).Structured), `"slow"`)
	})
}
