package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// sizedCall is a call of tool size whose body has exactly so many bytes.
func sizedCall(id string, bytes int) string {
	empty := harness.ToolCall(id, "size", `{"pad":""}`)
	return harness.ToolCall(id, "size", `{"pad":"`+strings.Repeat("x", bytes-len(empty))+`"}`)
}

// wantLimitNamed checks that a refusal for size says the limit, and the size
// where it was known.
func wantLimitNamed(t *testing.T, text string, sizes ...int) {
	t.Helper()
	for _, n := range append(sizes, limit) {
		if !strings.Contains(text, fmt.Sprint(n)) {
			t.Errorf("%q does not name %d", harness.Short(text), n)
		}
	}
}

func TestRequestBodySize(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked %v", chunked), func(t *testing.T) {
			r := s.As(harness.Post(sizedCall("1", limit)))
			r.Chunked = chunked
			var got struct{ Line int }
			g.Do(t, r).Answer(t).Into(t, &got)
			// The id may have been exchanged, so the line may differ by a few bytes.
			if got.Line < limit-40 || got.Line > limit+40 {
				t.Errorf("the server got a line of %d bytes", got.Line)
			}
			r = s.As(harness.Post(sizedCall("1", limit+1)))
			r.Chunked = chunked
			resp := g.Do(t, r)
			wantTooLarge(t, resp)
			if chunked {
				wantLimitNamed(t, string(resp.Body))
			} else {
				wantLimitNamed(t, string(resp.Body), limit+1)
			}
			alive(t, s)
		})
	}
}

// wantTooLarge checks a 413. Whether it has the request's id depends on how
// much was read; it is never null.
func wantTooLarge(t *testing.T, resp *harness.Response) {
	t.Helper()
	resp.WantStatus(t, 413)
	m := harness.ParseMessage(t, string(resp.Body))
	if m.Code() != tooLarge || string(m.ID) == "null" {
		t.Errorf("want code %d: %s", tooLarge, m.Raw)
	}
}

// TestTooLargeIsReadableWhileSending: the client writes all it has before it
// reads, and still finds the answer.
func TestTooLargeIsReadableWhileSending(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, mib := range []int{17, 20} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d MiB chunked %v", mib, chunked), func(t *testing.T) {
				r := s.As(harness.Post(sizedCall("1", mib<<20)))
				r.Chunked = chunked
				c := g.Dial(t)
				c.Send(t, r.Bytes(g.Host()))
				wantTooLarge(t, c.Read(t, "POST"))
			})
		}
	}
}

// TestEndlessBody: a client that never stops sending is answered, and not read
// for ever.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, framing := range map[string][2]string{
		"content length": {"Content-Length", "1000000000000"},
		"chunked":        {"Transfer-Encoding", "chunked"},
	} {
		t.Run(name, func(t *testing.T) {
			c := g.Dial(t)
			c.Send(t, s.As(harness.Post("")).Add(framing[0], framing[1]).Head(g.Host()))
			stopped := make(chan int)
			go func() {
				piece, sent := harness.AppendChunks(nil, make([]byte, 64<<10), 64<<10), 0
				for {
					n, err := c.Conn.Write(piece)
					sent += n
					if err != nil {
						stopped <- sent
						return
					}
				}
			}()
			wantTooLarge(t, c.Read(t, "POST"))
			select {
			case sent := <-stopped:
				t.Logf("the client got rid of %d bytes", sent)
			case <-time.After(harness.Patience):
				t.Error("the gate reads on and on")
			}
		})
	}
	alive(t, s)
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	t.Run("passes", func(t *testing.T) {
		c := g.Dial(t)
		r := s.As(harness.Post(ping("1"))).Add("Expect", "100-continue")
		c.Send(t, r.Head(g.Host()))
		if interim := c.Begin(t, "POST"); interim.Status != 100 {
			t.Fatalf("status %d instead of 100", interim.Status)
		}
		c.Send(t, r.Body)
		if answer := c.Read(t, "POST").Answer(t); answer.Error != nil {
			t.Errorf("got %s", answer.Raw)
		}
	})
	t.Run("too large", func(t *testing.T) {
		wantTooLarge(t, expectant(t, g, s.As(harness.Post(sizedCall("1", limit+1)))))
	})
	t.Run("foreign origin", func(t *testing.T) {
		expectant(t, g, s.As(harness.Post(ping("1"))).Add("Origin", "null")).WantRefusal(t, 403, invalidRequest, "")
	})
	alive(t, s)
}

// expectant sends a request that sends its body only when it is told to
// continue, and returns the final response.
func expectant(t *testing.T, g *harness.Gate, r *harness.Request) *harness.Response {
	t.Helper()
	c := g.Dial(t)
	c.Send(t, r.Add("Expect", "100-continue").Head(g.Host()))
	e := c.Begin(t, "POST")
	if e.Status == 100 {
		t.Log("the gate asks for the body before it refuses")
		c.Send(t, r.Body)
		e = c.Begin(t, "POST")
	}
	return e.Finish(t)
}

// TestAnswerSize holds the limit on what the server writes, in both forms of
// answer. The limit counts the server's own bytes.
func TestAnswerSize(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	// The client's id is longer than the server's own or shorter; the limit is
	// the server's.
	for _, id := range []string{`1`, `"an id that is longer than any number the gate would use"`} {
		for _, progress := range []bool{false, true} {
			t.Run(fmt.Sprintf("id %.5s streamed %v", id, progress), func(t *testing.T) {
				call := func(bytes int) *harness.Response {
					return s.Do(t, harness.ToolCallWithToken(id, `"t"`, "large", fmt.Sprintf(`{"bytes":%d,"progress":%v}`, bytes, progress)))
				}
				resp := call(limit)
				if resp.Streamed() != progress {
					t.Errorf("streamed: %v", resp.Streamed())
				}
				answer := resp.Answer(t)
				if answer.Error != nil || string(answer.ID) != id || len(answer.Raw) < limit-200 {
					t.Errorf("got %s", harness.Short(answer.Raw))
				}
				answer = call(limit + 1).Answer(t)
				if answer.Code() != tooLarge || string(answer.ID) != id {
					t.Errorf("one byte more got %s", harness.Short(answer.Raw))
				}
				wantLimitNamed(t, answer.Raw, limit+1)
				alive(t, s)
			})
		}
	}
}

// TestOverlongLines: the line is skipped, its call answered, and nothing else
// is lost.
func TestOverlongLines(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--call-timeout", "60s") // under the race detector 200 MiB take their time
	s := open(t, g)
	before := g.Resident()
	other := s.Send(t, harness.ToolCall(`"other"`, "sleep", `{"ms":4000}`))
	waitForCalls(t, g, 1)
	for _, where := range []string{"first", "last"} {
		answer := s.Call(t, "overlong", fmt.Sprintf(`{"bytes":%d,"id":%q}`, 200<<20, where))
		// An id that stands behind 200 MiB may have been seen or not.
		if code := answer.Code(); code != tooLarge && (where == "first" || code != timedOut) {
			t.Errorf("id %s: got %s", where, harness.Short(answer.Raw))
		}
	}
	if answer := s.Call(t, "overlong", fmt.Sprintf(`{"bytes":%d,"id":"none"}`, 200<<20)); answer.Error != nil {
		t.Errorf("a notification too long: got %s", answer.Raw)
	}
	if got := other.Read(t, "POST").Answer(t).Structured(t); got != `{"slept":true}` {
		t.Errorf("the other call got %s", got)
	}
	g.WantNoGrowth(t, before, 128<<20)
	alive(t, s)
}

func TestLimitIsAFlag(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-message", "2000")
	s := open(t, g)
	s.Do(t, sizedCall("1", 2000)).WantStatus(t, 200)
	resp := s.Do(t, sizedCall("1", 2001))
	wantTooLarge(t, resp)
	for _, n := range []string{"2000", "2001"} {
		if !strings.Contains(string(resp.Body), n) {
			t.Errorf("%s does not name %s", resp.Body, n)
		}
	}
	if answer := s.Call(t, "large", `{"bytes":2001}`); answer.Code() != tooLarge {
		t.Errorf("got %s", answer.Raw)
	}
}

// TestBytesInFlight: who finds the budget spent is told to come back, and who
// spends it is not harmed.
func TestBytesInFlight(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-bytes-in-flight", fmt.Sprint(20<<20))
	a, b := open(t, g), open(t, g)
	big := a.As(harness.Post(sizedCall("1", 12<<20))).Bytes(g.Host())
	c := g.Dial(t)
	c.Send(t, big[:len(big)-1])
	harness.Eventually(t, "the bytes are counted", func() bool { return g.Metric(t, "sidegate_bytes_in_flight") >= 11<<20 })
	resp := b.Do(t, sizedCall("1", 12<<20))
	resp.WantStatus(t, 503)
	resp.WantRetryAfter(t)
	if m := harness.ParseMessage(t, string(resp.Body)); m.Code() != unavailable {
		t.Errorf("got %s", m.Raw)
	}
	alive(t, b)
	c.Send(t, big[len(big)-1:])
	if answer := c.Read(t, "POST").Answer(t); answer.Error != nil {
		t.Errorf("who came first got %s", answer.Raw)
	}
	harness.Eventually(t, "nothing is in flight", func() bool { return g.Metric(t, "sidegate_bytes_in_flight") < 1<<20 })
	if answer := b.Do(t, sizedCall("1", 12<<20)).Answer(t); answer.Error != nil {
		t.Errorf("who came again got %s", answer.Raw)
	}
}
