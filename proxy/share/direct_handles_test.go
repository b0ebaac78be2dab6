package share

import (
	"fmt"
	"testing"
	"time"
)

// more is what goes into params beside _meta.
func more(params string) string { return `},` + params + `,"z":{"z":1` }

// wantGot wants the server to have been sent this method once since last time.
func (s *server) wantGot(method string) {
	s.b.t.Helper()
	if sent := s.took(); len(sent) != 1 || !has(sent, `"method":"`+method+`"`) {
		s.b.t.Errorf("server %d was sent %q, want %s", s.n, sent, method)
	}
}

// TestDirectHandlesFindTheirLink: a retry, and what is asked about a task, go to
// the link that has given out what they bring, though it has more to do than
// others.
func TestDirectHandlesFindTheirLink(t *testing.T) {
	const state, task = `"resultType":"input_required","requestState":"s1"`, `"resultType":"task","taskId":"t1"`
	for _, given := range []string{state, task} {
		inDirect(t, DirectOptions{Shared: true, Links: 2}, func(t *testing.T, b *directBed) {
			_, one := b.ask(ann, "1", "tools/call", "")
			b.ask(bob, "2", "x", "") // for which a second link is started
			b.server(1).says(`{"jsonrpc":"2.0","id":1,"result":{%s}}`, given)
			b.server(1).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
			one.want(`"id":1,"result":{` + given)
			b.wantLinks(2, 2)
			b.ask(bob, "3", "x", "")
			b.server(1).took()
			b.server(2).took()
			method, brings := "tools/call", `"requestState":"s1"`
			if given == task {
				method, brings = "tasks/get", `"taskId":"t1"`
			}
			b.ask(ann, "4", method, more(brings))
			b.server(1).wantGot(method)
			b.ask(ann, "5", method, more(`"requestState":"s2","taskId":"t2"`)) // which nobody has given out
			b.server(2).wantGot(method)
			b.server(1).dies()
			b.ask(ann, "6", method, more(brings))
			b.server(2).wantGot(method)
		})
	}
}

// TestDirectTasksOfCallsWithLogs: a task that was made on a link that a call had
// to itself is found there, by its caller and by nobody else.
func TestDirectTasksOfCallsWithLogs(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		_, made := b.ask(ann, "1", "tools/call", logged)
		b.server(1).says(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t1"}}`)
		made.want(`"taskId":"t1"`)
		b.server(1).took()
		for i, meta := range []string{more(`"taskId":"t1"`), logged + more(`"taskId":"t1"`)} {
			b.ask(ann, fmt.Sprint(i+2), "tasks/get", meta)
			b.server(1).wantGot("tasks/get")
		}
		for i, other := range []Caller{bob, {}} {
			b.ask(other, "4", "tasks/get", more(`"taskId":"t1"`))
			b.server(i + 2).wantGot("tasks/get")
		}
	})
}

// TestDirectTasksOutliveTheirCalls: a server that may be at work on a task is not
// ended like one that nobody uses.
func TestDirectTasksOutliveTheirCalls(t *testing.T) {
	inDirect(t, DirectOptions{Works: time.Hour}, func(t *testing.T, b *directBed) {
		_, made := b.ask(ann, "1", "tools/call", `,"io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}`)
		_, plain := b.ask(bob, "2", "tools/call", "")
		b.server(1).says(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t1"}}`)
		b.server(2).says(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		made.want(`"taskId":"t1"`)
		plain.want(`"result":{}`)
		time.Sleep(2 * linger)
		b.wantLinks(1, 2)
		b.server(1).took()
		b.ask(ann, "3", "tasks/get", more(`"taskId":"t1"`))
		b.server(1).wantGot("tasks/get")
		b.server(1).says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		time.Sleep(time.Hour + 2*linger)
		b.wantLinks(0, 2)
	})
}

// TestDirectLinksWaitForAnswers: a link that has asked for input is there when a
// slow client brings it, and is not kept for one that never does, or that has.
func TestDirectLinksWaitForAnswers(t *testing.T) {
	for _, wants := range []string{`,"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}`, logged} {
		inDirect(t, DirectOptions{Asks: time.Hour}, func(t *testing.T, b *directBed) {
			_, asked := b.ask(ann, "1", "tools/call", wants)
			b.server(1).says(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s1"}}`)
			asked.want(`"requestState":"s1"`)
			time.Sleep(time.Hour - linger)
			b.wantLinks(1, 1)
			b.server(1).took()
			b.ask(ann, "2", "tools/call", wants+more(`"requestState":"s1"`))
			b.server(1).wantGot("tools/call")
			b.server(1).says(`{"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","requestState":"s2"}}`)
			time.Sleep(time.Hour - linger)
			b.wantLinks(1, 1)
			b.ask(ann, "3", "tools/call", wants+more(`"requestState":"s2"`))
			b.server(1).says(`{"jsonrpc":"2.0","id":3,"result":{}}`)
			time.Sleep(2 * linger)
			b.wantLinks(0, 1)
		})
	}
}

// TestDirectLogsGoOnWhereTheyBegan: of the idle links of a caller the retry gets
// the one that has given out its state.
func TestDirectLogsGoOnWhereTheyBegan(t *testing.T) {
	inDirect(t, DirectOptions{}, func(t *testing.T, b *directBed) {
		b.ask(ann, "1", "tools/call", logged)
		b.ask(ann, "2", "tools/call", logged)
		for n := 1; n <= 2; n++ {
			b.server(n).says(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s%d"}}`, n)
			b.server(n).took()
		}
		b.ask(ann, "3", "tools/call", logged+more(`"requestState":"s2"`))
		b.server(2).wantGot("tools/call")
	})
}

// TestDirectHandlesAreBounded: the oldest are forgotten.
func TestDirectHandlesAreBounded(t *testing.T) {
	var h handles
	r := new(route)
	for i := range mostHandles + 10 {
		h.note(fmt.Append(nil, i), r, true)
	}
	if len(h.by) != mostHandles || len(h.order) != mostHandles || h.find([]byte("9")) != nil || h.find([]byte("10")) != r {
		t.Errorf("%d are remembered, in order %d", len(h.by), len(h.order))
	}
	if h.forget(r); len(h.by) != 0 {
		t.Errorf("%d are remembered of a link that has ended", len(h.by))
	}
}
