package e2e

import (
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestPipelined: requests that arrive together are answered one after the
// other, or the rest is left to another connection in good order.
func TestPipelined(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, first := range map[string]string{
		"quick":    ping("1"),
		"slow":     harness.ToolCall("1", "sleep", `{"ms":1000}`),
		"a stream": harness.ToolCallWithToken("1", "1", "progress", `{"steps":2,"everyMs":100}`),
	} {
		t.Run(name, func(t *testing.T) {
			c := g.Dial(t)
			two := append(s.As(harness.Post(first)).Bytes(g.Host()), s.As(harness.Post(ping("2"))).Bytes(g.Host())...)
			c.Send(t, two)
			e := c.Begin(t, "POST")
			closes := e.Response.Close
			if answer := e.Finish(t).Answer(t); string(answer.ID) != "1" || answer.Error != nil {
				t.Errorf("the first got %s", answer.Raw)
			}
			second, err := c.TryBegin("POST")
			if err != nil {
				if !closes {
					t.Errorf("the second got no answer (%v), and the first did not say that the connection closes", err)
				}
				return
			}
			if answer := second.Finish(t).Answer(t); string(answer.ID) != "2" {
				t.Errorf("the second got %s", answer.Raw)
			}
		})
	}
	alive(t, s)
}

// TestKeptConnection: one connection serves request after request, refusals
// among them.
func TestKeptConnection(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	c := g.Dial(t)
	for range 20 {
		c.Send(t, s.As(harness.Post(ping("1"))).Bytes(g.Host()))
		c.Read(t, "POST").WantStatus(t, 200)
		c.Send(t, s.As(harness.Post(harness.Notification("notifications/x", ""))).Bytes(g.Host()))
		c.Read(t, "POST").WantStatus(t, 202)
		c.Send(t, s.As(harness.Post("nonsense")).Bytes(g.Host()))
		e := c.Begin(t, "POST")
		closes := e.Response.Close
		e.Finish(t).WantStatus(t, 400)
		if closes {
			c = g.Dial(t)
		}
	}
}

// TestHTTP10: no chunks, and the end of the body is the end of the connection.
func TestHTTP10(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for name, body := range map[string]string{
		"JSON":     ping("1"),
		"slow":     harness.ToolCall("1", "sleep", `{"ms":1000}`),
		"a stream": harness.ToolCallWithToken("1", "1", "progress", `{"steps":2,"everyMs":100}`),
	} {
		t.Run(name, func(t *testing.T) {
			r := s.As(harness.Post(body))
			r.Proto = "HTTP/1.0"
			c := g.Dial(t)
			c.Send(t, r.Bytes(g.Host()))
			e := c.Begin(t, "POST")
			if len(e.Response.TransferEncoding) != 0 {
				t.Errorf("Transfer-Encoding is %q", e.Response.TransferEncoding)
			}
			if answer := e.Finish(t).Answer(t); string(answer.ID) != "1" || answer.Error != nil {
				t.Errorf("got %s", answer.Raw)
			}
			c.Closed(t)
		})
	}
}

// TestBrokenHTTP: what is not HTTP is answered or dropped, and never taken for
// a request.
func TestBrokenHTTP(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	body := ping("1")
	head := string(s.As(harness.Post("")).Add("X-Framing", "here").Head(g.Host()))
	with := func(framing string) string {
		return strings.Replace(strings.Replace(head, "Content-Length: 0\r\n", "", 1), "X-Framing: here\r\n", framing, 1)
	}
	for name, raw := range map[string]string{
		"not HTTP":               "hello\r\n\r\n",
		"TLS":                    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"no version":             "POST /mcp\r\n\r\n",
		"length is no number":    with("Content-Length: many\r\n") + body,
		"negative length":        with("Content-Length: -5\r\n") + body,
		"two lengths":            with("Content-Length: 5\r\nContent-Length: 40\r\n") + body,
		"length and chunks":      with("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
		"unknown encoding":       with("Transfer-Encoding: gzip\r\n") + body,
		"chunk size is nonsense": with("Transfer-Encoding: chunked\r\n") + "zz\r\n" + body + "\r\n0\r\n\r\n",
		"chunk size is huge":     with("Transfer-Encoding: chunked\r\n") + "fffffffffffffffff\r\n" + body,
		"space before the colon": with("Content-Length : 40\r\n") + body,
		"a folded field":         with("X-Folded: a\r\n b\r\nContent-Length: 0\r\n"),
		"a field without colon":  with("Nonsense\r\nContent-Length: 0\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			c := g.Dial(t)
			c.Send(t, []byte(raw))
			c.HalfClose()
			sent := string(c.Closed(t))
			if strings.Contains(sent, "HTTP/1.1 2") || sent != "" && !strings.HasPrefix(sent, "HTTP/1.1 4") && !strings.HasPrefix(sent, "HTTP/1.1 501") {
				t.Errorf("the gate said %s", harness.Short(sent))
			}
		})
	}
	t.Run("a cut body", func(t *testing.T) {
		for _, chunked := range []bool{false, true} {
			r := s.As(harness.Post(harness.ToolCall("1", "exit", `{}`)))
			r.Chunked = chunked
			b := r.Bytes(g.Host())
			c := g.Dial(t)
			c.Send(t, b[:len(b)-5])
			c.HalfClose()
			if sent := string(c.Closed(t)); sent != "" && !strings.HasPrefix(sent, "HTTP/1.1 4") {
				t.Errorf("chunked %v: the gate said %s", chunked, harness.Short(sent))
			}
		}
	})
	alive(t, s)
}
