package e2e

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestGetWithABody: a body that nobody reads must not be taken for the next
// request on the connection.
func TestGetWithABody(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	smuggled := "POST /mcp HTTP/1.1\r\nHost: " + g.Host() + "\r\nContent-Length: 2\r\n\r\n{}"
	for name, framing := range map[string]string{
		"length": fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(smuggled), smuggled),
		"chunks": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled),
	} {
		for _, method := range []string{"GET", "DELETE"} {
			t.Run(method+" "+name, func(t *testing.T) {
				c := g.Dial(t)
				c.Send(t, []byte(method+" /mcp HTTP/1.1\r\nHost: "+g.Host()+"\r\nAccept: text/event-stream\r\nMcp-Session-Id: "+s.ID+"\r\n"+framing))
				c.Read(t, method).WantRefusal(t, 400, -32600, "")
				if rest := c.Closed(t); len(rest) > 0 {
					t.Errorf("the body was answered: %q", rest)
				}
			})
		}
	}
	alive(t, s)
}

// TestQuestionID: whatever a server calls its question, the client is asked
// under a number of the gate's, and the server gets its own id back.
func TestQuestionID(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for i, id := range []string{`"q\u00e9"`, `"é/2"`, `-1`, `9007199254740993`} {
		t.Run(id, func(t *testing.T) {
			events := s.Begin(t, harness.ToolCall("1", "ask", fmt.Sprintf(`{"method":"roots/list","id":%s}`, id))).Events(t)
			_, question := events.NextMessage(t)
			if want := fmt.Sprint(i + 1); string(question.ID) != want {
				t.Errorf("the client was asked under %s, want %s", question.ID, want)
			}
			s.Accepted(t, harness.Reply(string(question.ID), `{"roots":[]}`))
			if _, answer := events.NextMessage(t); answer.Error != nil || string(answer.ID) != "1" {
				t.Errorf("the call got %s", answer.Raw)
			}
		})
	}
}

// TestServerSpaces: a carriage return between a server's tokens is white space
// to JSON and the end of a line to an event stream.
func TestServerSpaces(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	said := `{"jsonrpc":"2.0","method":"notifications/x"}` + "\n" + "{\"jsonrpc\":\"2.0\",\r\"id\":$ID,\r\"result\":{\r\r}}\n"
	events := s.Begin(t, harness.ToolCall("1", "write", fmt.Sprintf(`{"base64":%q}`, base64.StdEncoding.EncodeToString([]byte(said))))).Events(t)
	events.NextMessage(t)
	_, answer := events.NextMessage(t)
	if string(answer.ID) != "1" || answer.Error != nil || strings.Contains(answer.Raw, "\r") {
		t.Errorf("the call got %q", answer.Raw)
	}
	events.WantProperEnd(t)
}

// TestBatchIsPaidFor: what a batch leaves with a server that does not read
// counts as bytes in flight, as single messages do.
func TestBatchIsPaidFor(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Setup{Flags: []string{"--max-bytes-in-flight", "16MiB"}, Fixture: []string{"-deaf", "2"}})
	s := g.Open(t, harness.Client{Revision: "2025-03-26"})
	note := `{"jsonrpc":"2.0","method":"notifications/x","params":{"text":"` + strings.Repeat("x", 1<<20) + `"}}`
	batch := "[" + strings.TrimSuffix(strings.Repeat(note+",", 4), ",") + "]"
	for range 4 {
		s.Do(t, batch)
	}
	if n := g.Metric(t, "sidegate_bytes_in_flight"); n < 4<<20 {
		t.Errorf("%v bytes are in flight, and the server has read none of 16 MiB", n)
	}
	s.Do(t, batch).WantRefusal(t, 503, 503, "")
}
