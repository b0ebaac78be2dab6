package mirror

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

const ok = `"result":{"content":[]}`

// learnt is a bed that has heard the list already.
func learnt(t *testing.T, o Options) *bed {
	t.Helper()
	b := newBed(t, o, nil)
	c, _ := b.start(mcp.MethodListTools, `"x":1`, true, "")
	b.behind.next(t, mcp.MethodListTools).answer(tools)
	c.answered(t, "plain")
	return b
}

// TestStandard: an HTTP server gets the lines of its revision first, any other
// gets what there was.
func TestStandard(t *testing.T) {
	for _, c := range []struct{ method, params, want string }{
		{mcp.MethodDiscover, `"a":1`, "Mcp-Method: server/discover\r\n"},
		{mcp.MethodGetPrompt, `"name":"pé"`, "Mcp-Method: prompts/get\r\nMcp-Name: =?base64?cMOp?=\r\n"},
		{mcp.MethodReadResource, `"uri":"file:///a","name":"b"`, "Mcp-Method: resources/read\r\nMcp-Name: file:///a\r\n"},
		{mcp.MethodListTools, `"a":1`, "Mcp-Method: tools/list\r\n"},
		{"tasks/get", `"taskId":"t-1"`, "Mcp-Method: tasks/get\r\nMcp-Name: t-1\r\n"},
		{"tasks/update", `"taskId":"t\u00e9","inputResponses":{}`, "Mcp-Method: tasks/update\r\nMcp-Name: =?base64?dMOp?=\r\n"},
		{"tasks/cancel", `"taskId":1`, "Mcp-Method: tasks/cancel\r\n"},
		{"x/get", `"taskId":"t-1"`, "Mcp-Method: x/get\r\n"},
	} {
		for _, http := range []bool{true, false} {
			b := newBed(t, Options{HTTP: http}, nil)
			client, refused := b.start(c.method, c.params, false, "Authorization: x\r\n")
			if refused != nil {
				t.Fatal(refused)
			}
			want := "Authorization: x\r\n"
			if http {
				want = "Mcp-Protocol-Version: 2026-07-28\r\n" + c.want + want
			}
			s := b.behind.next(t, c.method)
			if s.header != want {
				t.Errorf("%s: %q, want %q", c.method, s.header, want)
			}
			s.answer(ok)
			client.answered(t, ok)
			b.end()
		}
	}
}

// TestCheck: an unknown tool's schema is asked for, all pages of it, as its
// caller would ask; then what is wrong is refused and the rest goes on.
func TestCheck(t *testing.T) {
	for _, http := range []bool{true, false} {
		b := newBed(t, Options{HTTP: http}, nil)
		const header = "Authorization: Bearer t\r\nX-Any: 1\r\nMcp-Param-City: Berlin\r\n"
		good := b.tool(t, "city", `{"city":"Berlin"}`, true, header)
		bad := b.tool(t, "city", `{"city":"Bonn"}`, true, header)
		missing := b.tool(t, "city", `{"city":"Bonn"}`, true, "")
		stranger := b.tool(t, "stranger", `{"city":"Bonn"}`, true, header)
		page := b.behind.next(t, mcp.MethodListTools)
		wantHeader := "Authorization: Bearer t\r\n"
		if http {
			wantHeader = "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n" + wantHeader
		}
		if page.header != wantHeader || page.from.Principal != "ann" || !strings.Contains(page.body, meta) || strings.Contains(page.body, "cursor") {
			t.Errorf("asked with %q, as %+v: %s", page.header, page.from, page.body)
		}
		page.answer(`"result":{"tools":[{"name":"plain"}],"nextCursor":"p\"2"}`)
		page = b.behind.next(t, mcp.MethodListTools)
		if !strings.Contains(page.body, `"cursor":"p\"2"`) {
			t.Errorf("asked for the second page with %s", page.body)
		}
		page.answer(tools)
		for range 2 {
			s := b.behind.next(t, mcp.MethodCallTool)
			if !strings.HasSuffix(s.header, header) {
				t.Errorf("sent with %q", s.header)
			}
			s.answer(ok)
		}
		good.answered(t, ok)
		stranger.answered(t, ok)
		bad.answered(t, "-32020")
		missing.answered(t, "Mcp-Param-City is missing")
		if bad.status != 400 {
			t.Errorf("status %d", bad.status)
		}
		if _, refused := b.start(mcp.MethodCallTool, `"name":"city","arguments":{"city":"Bonn"}`, true, header); refused == nil || refused.Code != mcp.CodeHeaderMismatch {
			t.Errorf("refused with %v", refused)
		}
		again := b.tool(t, "stranger", `{}`, true, "") // the list has just been had
		b.behind.next(t, mcp.MethodCallTool).answer(ok)
		again.answered(t, ok)
		b.behind.nothing(t)
		b.end()
	}
}

// TestKnown: a list that passes is learnt from, and a known tool is not asked
// for.
func TestKnown(t *testing.T) {
	b := learnt(t, Options{})
	c := b.tool(t, "plain", `{}`, true, "Mcp-Param-Other: 1\r\n")
	b.behind.next(t, mcp.MethodCallTool).answer(ok)
	c.answered(t, ok)
	c = b.tool(t, "city", `{"city":"Berlin"}`, true, "Mcp-Param-City: Berlin\r\n")
	b.behind.next(t, mcp.MethodCallTool).answer(ok)
	c.answered(t, ok)
	c = b.tool(t, "unknown", `{}`, false, "") // who has no headers has none to check
	b.behind.next(t, mcp.MethodCallTool).answer(ok)
	c.answered(t, ok)
}

// TestChanged: a list change that passes makes the desk ask anew, and so does a
// call that does not fit what is known for some time.
func TestChanged(t *testing.T) {
	b := learnt(t, Options{})
	listen, _ := b.start(mcp.MethodListen, `"notifications":{}`, true, "")
	stream := b.behind.next(t, mcp.MethodListen)
	note := wire.Acquire(0)
	note.B = append(note.B, `{"jsonrpc":"2.0","method":"notifications\/tools\/list_changed"}`...)
	stream.call.Leg.Send(note)
	if len(listen.heard) != 1 {
		t.Errorf("heard %v", listen.heard)
	}
	c := b.tool(t, "city", `{"city":"Berlin"}`, true, "Mcp-Param-Town: Berlin\r\n")
	b.behind.next(t, mcp.MethodListTools).answer(tools)
	c.answered(t, "Mcp-Param-City is missing")
	stream.answer(ok)
	listen.answered(t, ok)

	b = learnt(t, Options{})
	c = b.tool(t, "city", `{"city":"Berlin"}`, true, "Mcp-Param-Town: Berlin\r\n")
	s := b.behind.next(t, mcp.MethodListTools)
	if !strings.Contains(s.body, `"progressToken":0`) {
		t.Errorf("a cache may answer %s", s.body)
	}
	s.answer(town)
	b.behind.next(t, mcp.MethodCallTool).answer(ok)
	c.answered(t, ok)
}

// TestUnchecked: where the list cannot be had the call goes on, and the list is
// not asked for at once again.
func TestUnchecked(t *testing.T) {
	for name, rest := range map[string]string{
		"an error": `"error":{"code":-32601,"message":"no"}`, "no list": ok, "a list that is none": `"result":{"tools":7}`,
	} {
		b := newBed(t, Options{}, nil)
		c := b.tool(t, "city", `{"city":"Berlin"}`, true, "")
		b.behind.next(t, mcp.MethodListTools).answer(rest)
		b.behind.next(t, mcp.MethodCallTool).answer(ok)
		c.answered(t, ok)
		c = b.tool(t, "city", `{"city":"Berlin"}`, true, "")
		b.behind.next(t, mcp.MethodCallTool).answer(ok)
		c.answered(t, ok)
		b.end()
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestEndless: a list without an end is read for so many pages only, and one
// that does not come is not waited for forever.
func TestEndless(t *testing.T) {
	b := newBed(t, Options{}, nil)
	c := b.tool(t, "city", `{}`, true, "")
	for range mostPages {
		b.behind.next(t, mcp.MethodListTools).answer(`"result":{"tools":[],"nextCursor":"x"}`)
	}
	b.behind.next(t, mcp.MethodCallTool).answer(ok)
	c.answered(t, ok)

	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{}, nil)
		c := b.tool(t, "city", `{}`, true, "")
		list := <-b.behind.came
		began := time.Now()
		b.behind.next(t, mcp.MethodCallTool).answer(ok)
		c.answered(t, ok)
		if d := time.Since(began); d != listTime {
			t.Errorf("waited for %v", d)
		}
		if len(b.behind.gone) != 1 || b.behind.gone[0] != list.call {
			t.Error("the list was not left")
		}
		for range 5 { // who did not answer is not waited for again so soon
			time.Sleep(listTime - time.Second)
			c = b.tool(t, "city", `{}`, true, "")
			b.behind.next(t, mcp.MethodCallTool).answer(ok)
			c.answered(t, ok)
		}
		b.end()
	})
}

// TestOneList: however many wait, one list is asked for; and one more only when
// that is old.
func TestOneList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{}, nil)
		var waiting []*client
		for range 50 {
			waiting = append(waiting, b.tool(t, "none", `{}`, true, ""))
		}
		b.behind.next(t, mcp.MethodListTools).answer(tools)
		for _, c := range waiting {
			b.behind.next(t, mcp.MethodCallTool).answer(ok)
			_ = c
		}
		for _, c := range waiting {
			c.answered(t, ok)
		}
		b.behind.nothing(t)
		time.Sleep(rest + time.Second)
		c := b.tool(t, "none", `{}`, true, "")
		b.behind.next(t, mcp.MethodListTools).answer(tools)
		b.behind.next(t, mcp.MethodCallTool).answer(ok)
		c.answered(t, ok)
		b.end()
	})
}

// TestLeave: who leaves while the list is awaited is answered and never sent;
// who leaves later is left behind the desk, too.
func TestLeave(t *testing.T) {
	b := newBed(t, Options{}, nil)
	left, stayed := b.tool(t, "city", `{}`, true, ""), b.tool(t, "city", `{}`, true, "")
	list := b.behind.next(t, mcp.MethodListTools)
	b.Leave(&left.call)
	left.answered(t, "408")
	b.Leave(&left.call)
	list.answer(tools)
	s := b.behind.next(t, mcp.MethodCallTool)
	if s.call != &stayed.call {
		t.Error("who had left was sent")
	}
	b.behind.reopen(s)
	b.Leave(&stayed.call)
	stayed.answered(t, "left")
	b.behind.nothing(t)
}

// TestBounded: so many may wait, and who comes then is told.
func TestBounded(t *testing.T) {
	b := newBed(t, Options{}, nil)
	var waiting []*client
	for range mostWaiting {
		waiting = append(waiting, b.tool(t, "city", `{}`, true, ""))
	}
	if _, refused := b.start(mcp.MethodCallTool, `"name":"city"`, true, ""); refused == nil || refused.Status != 503 {
		t.Errorf("refused with %v", refused)
	}
	<-b.behind.came
	for _, c := range waiting {
		b.Leave(&c.call)
		c.answered(t, "408")
	}
}

// TestEnd: with Run's end everything that waits is answered, and what comes
// later is for the desk behind to refuse.
func TestEnd(t *testing.T) {
	b := newBed(t, Options{HTTP: true}, nil)
	waiting, filled := b.tool(t, "city", `{}`, true, ""), b.tool(t, "other", `{}`, false, "")
	s := <-b.behind.came
	b.end()
	waiting.answered(t, "shutting down")
	filled.answered(t, "shutting down")
	if waiting.status != 503 {
		t.Errorf("status %d", waiting.status)
	}
	if len(b.behind.gone) != 1 || b.behind.gone[0] != s.call {
		t.Error("the list was not left")
	}
	b.behind.full = true
	if _, refused := b.start(mcp.MethodCallTool, `"name":"x"`, true, ""); refused == nil {
		t.Error("a call was taken after the end")
	}
}

// TestFill: a call without headers of its own gets those of the schema.
func TestFill(t *testing.T) {
	b := newBed(t, Options{HTTP: true}, nil)
	c := b.tool(t, "city", `{"city":"Köln"}`, false, "X-Any: 1\r\n")
	b.behind.next(t, mcp.MethodListTools).answer(tools)
	s := b.behind.next(t, mcp.MethodCallTool)
	const want = "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: city\r\nMcp-Param-City: =?base64?S8O2bG4=?=\r\nX-Any: 1\r\n"
	if s.header != want {
		t.Errorf("%q, want %q", s.header, want)
	}
	progress := wire.Acquire(0)
	progress.B = append(progress.B, `{"jsonrpc":"2.0","method":"notifications/progress"}`...)
	s.call.Leg.Reply(&backend.Reply{Status: 200})
	s.call.Leg.Send(progress)
	if c.status != 200 || len(c.heard) != 1 {
		t.Errorf("status %d, heard %v", c.status, c.heard)
	}
	s.answer(ok)
	c.answered(t, ok)
	if len(b.tries) > 0 || len(b.waits) > 0 {
		t.Errorf("%d tries and %d waits are left", len(b.tries), len(b.waits))
	}
}

// refuse answers a call as a server does that misses a header.
func (s *sent) refuse() {
	const text = `"error":{"code":-32020,"message":"Header mismatch"}`
	s.call.Leg.Reply(&backend.Reply{Status: 400, Body: []byte(`{"jsonrpc":"2.0","id":1,` + text + `}`)})
	s.answer(text)
}

// TestSecondTry: where the server does not like the headers the list is had
// anew, and the call is tried once more, unseen by the client; and not a third
// time.
func TestSecondTry(t *testing.T) {
	try := func(t *testing.T) (*bed, *client, *sent) {
		t.Helper()
		b := learnt(t, Options{HTTP: true})
		c := b.tool(t, "city", `{"city":"Berlin"}`, false, "X-Any: 1\r\n")
		s := b.behind.next(t, mcp.MethodCallTool)
		s.refuse()
		list := b.behind.next(t, mcp.MethodListTools)
		if c.status != 0 || len(c.ended) > 0 {
			t.Fatalf("the client has heard of it: status %d", c.status)
		}
		return b, c, list
	}
	over := func(t *testing.T, b *bed) {
		t.Helper()
		b.end()
		if len(b.tries) > 0 || len(b.waits) > 0 {
			t.Errorf("%d tries and %d waits are left", len(b.tries), len(b.waits))
		}
	}
	t.Run("is good", func(t *testing.T) {
		b, c, list := try(t)
		list.answer(town)
		s := b.behind.next(t, mcp.MethodCallTool)
		if !strings.HasSuffix(s.header, "Mcp-Param-Town: Berlin\r\nX-Any: 1\r\n") || s.call == &c.call {
			t.Errorf("%q", s.header)
		}
		s.call.Leg.Reply(&backend.Reply{Status: 200})
		s.answer(ok)
		c.answered(t, ok)
		if c.status != 200 {
			t.Errorf("status %d", c.status)
		}
		over(t, b)
	})
	t.Run("fails, too", func(t *testing.T) {
		b, c, list := try(t)
		list.answer(town)
		b.behind.next(t, mcp.MethodCallTool).refuse()
		c.answered(t, "-32020")
		if c.status != 400 {
			t.Errorf("status %d", c.status)
		}
		b.behind.nothing(t)
		over(t, b)
	})
	t.Run("finds no place", func(t *testing.T) {
		b, c, list := try(t)
		b.behind.mu.Lock()
		b.behind.full = true
		b.behind.mu.Unlock()
		list.answer(town)
		c.answered(t, "-32020")
		if c.status != 400 {
			t.Errorf("status %d", c.status)
		}
		over(t, b)
	})
	t.Run("finds no tool", func(t *testing.T) {
		b, c, list := try(t)
		b.Forget()
		list.answer(`"result":{"tools":[]}`)
		c.answered(t, "-32020")
		over(t, b)
	})
	t.Run("is left while it waits", func(t *testing.T) {
		b, c, list := try(t)
		b.Leave(&c.call)
		c.answered(t, "408")
		list.answer(town)
		over(t, b)
		b.behind.nothing(t)
	})
	t.Run("is left on its way", func(t *testing.T) {
		b, c, list := try(t)
		list.answer(town)
		s := b.behind.next(t, mcp.MethodCallTool)
		b.behind.reopen(s)
		b.Leave(&c.call)
		c.answered(t, "left")
		over(t, b)
	})
	t.Run("meets the end", func(t *testing.T) {
		b, c, list := try(t)
		b.behind.reopen(list)
		over(t, b)
		c.answered(t, "shutting down")
		if c.status != 503 {
			t.Errorf("status %d", c.status)
		}
	})
	t.Run("is not for who has left", func(t *testing.T) {
		b := learnt(t, Options{HTTP: true})
		c := b.tool(t, "city", `{"city":"Berlin"}`, false, "")
		s := b.behind.next(t, mcp.MethodCallTool)
		b.Leave(&c.call)
		s.refuse()
		c.answered(t, "-32020")
		over(t, b)
		b.behind.nothing(t)
	})
}

// TestCrowd is for the race detector: whatever happens at a time, each call has
// one answer.
func TestCrowd(t *testing.T) {
	var answers sync.Map // the requests that came, each answered once
	b := newBed(t, Options{HTTP: true}, nil)
	b.behind.serve = func(s *sent) bool {
		b.behind.mu.Lock()
		_, open := b.behind.open[s.call]
		delete(b.behind.open, s.call)
		b.behind.mu.Unlock()
		if !open { // it was left, and answered so
			return true
		}
		if _, twice := answers.LoadOrStore(s.call, true); twice {
			t.Error("a call was sent twice")
		}
		switch {
		case s.method == mcp.MethodListTools:
			s.answer(tools)
		case strings.Contains(s.body, "Bonn"):
			s.refuse()
		default:
			s.answer(ok)
		}
		return true
	}
	var users sync.WaitGroup
	for user := range 8 {
		users.Go(func() {
			for i := range 100 {
				city := []string{"Berlin", "Bonn"}[i%2]
				http := (i/2)%2 == 0
				name := fmt.Sprintf("none%d", i)
				if i%5 > 0 {
					name = "city"
				}
				c, refused := b.start(mcp.MethodCallTool, `"name":"`+name+`","arguments":{"city":"`+city+`"}`, http, "Mcp-Param-City: Berlin\r\n")
				switch (user + i) % 7 {
				case 0:
					b.Leave(&c.call)
				case 1:
					b.Forget()
				}
				if refused == nil {
					c.answered(t, `"jsonrpc"`)
				}
			}
		})
	}
	users.Wait()
	b.end()
	if len(b.tries) > 0 || len(b.waits) > 0 {
		t.Errorf("%d tries and %d waits are left", len(b.tries), len(b.waits))
	}
}

// nowhere is a desk behind that does nothing.
type nowhere struct{ share.Desk }

func (nowhere) Call(*link.Call, share.Caller, *wire.Buffer, *wire.Envelope) *refusal.Refusal {
	return nil
}

// BenchmarkKnown is the call of a known tool without headers.
func BenchmarkKnown(b *testing.B) {
	msg, env := wire.Acquire(0), new(wire.Envelope)
	msg.B = append(msg.B, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"plain","arguments":{},`+meta+`}}`...)
	if err := env.Scan(msg.B); err != nil {
		b.Fatal(err)
	}
	for name, http := range map[string]bool{"other": false, "http": true} {
		b.Run(name, func(b *testing.B) {
			d := New(nowhere{}, Options{HTTP: http})
			list := []byte(`{"jsonrpc":"2.0","id":1,` + tools + `}`)
			if _, ok := d.learn(0, list); !ok {
				b.Fatal("not learnt")
			}
			c := &link.Call{Leg: link.Mute{}}
			b.ReportAllocs()
			for b.Loop() {
				msg.Header = nil
				if d.Call(c, share.Caller{HTTP: true}, msg, env) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}
