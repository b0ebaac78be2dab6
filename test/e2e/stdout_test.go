package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestGarbageOnStdout: what is not a message is dropped and logged, and
// nothing else is lost.
func TestGarbageOnStdout(t *testing.T) {
	t.Parallel()
	g := gate(t, "--call-timeout", "20s")
	s := open(t, g)
	for name, text := range map[string]string{
		"words":              "Server listening on stdio, enjoy!\n",
		"empty lines":        "\n\r\n   \n",
		"half an object":     `{"jsonrpc":"2.0","method":"notifications/mess` + "\n",
		"no message":         "[]\n{}\nnull\n7\n\"x\"\n",
		"bytes":              "\x00\x01\xfe\xff\x1b[31m\n",
		"a thousand lines":   strings.Repeat("noise\n", 1000),
		"unknown id":         `{"jsonrpc":"2.0","id":987654321,"result":{}}` + "\n",
		"unknown text id":    `{"jsonrpc":"2.0","id":"nobody","result":{}}` + "\n",
		"error without id":   `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}` + "\n",
		"depth 100,000":      strings.Repeat("[", 100_000) + "\n",
		"duplicate keys":     `{"jsonrpc":"2.0","method":"notifications/message","method":"notifications/cancelled"}` + "\n",
		"bad UTF-8":          `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"` + "\xff" + `"}}` + "\n",
		"a foreign protocol": "Content-Length: 2\r\n\r\n{}\n",
	} {
		t.Run(name, func(t *testing.T) {
			answer := s.Call(t, "write", writeArguments(text, true))
			if answer.Error != nil {
				t.Errorf("got %s", answer.Raw)
			}
			alive(t, s)
		})
	}
	if !strings.Contains(g.Log(), `"level":"warn"`) {
		t.Error("the log does not say that something was dropped")
	}
	if strings.Contains(g.Log(), "\x1b[31m") {
		t.Error("the log has the server's control characters in it")
	}
}

// TestBadAnswers: an answer that must not pass ends its call with an error at
// once; it neither passes nor leaves the call waiting.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	g := gate(t, "--call-timeout", "40s")
	s := open(t, g)
	for name, text := range map[string]string{
		"duplicate result":  `{"jsonrpc":"2.0","id":$ID,"result":{"a":1},"result":{"a":2}}`,
		"result and error":  `{"jsonrpc":"2.0","id":$ID,"result":{},"error":{"code":1,"message":"x"}}`,
		"invalid UTF-8":     `{"jsonrpc":"2.0","id":$ID,"result":{"a":"` + "\xff" + `"}}`,
		"a word after":      `{"jsonrpc":"2.0","id":$ID,"result":{}} trailing`,
		"two on one line":   `{"jsonrpc":"2.0","id":$ID,"result":{}}{"jsonrpc":"2.0","id":$ID,"result":{}}`,
		"cut":               `{"jsonrpc":"2.0","id":$ID,"result":{"a":[1,2`,
		"depth 100,000":     `{"jsonrpc":"2.0","id":$ID,"result":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"a control in text": `{"jsonrpc":"2.0","id":$ID,"result":{"a":"` + "\t" + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			id := s.NextID()
			answer := s.Do(t, harness.ToolCall(id, "write", writeArguments(text+"\n", false))).Answer(t)
			if answer.Code() != badGateway || string(answer.ID) != id {
				t.Errorf("want code %d for id %s: %s", badGateway, id, harness.Short(answer.Raw))
			}
			alive(t, s)
		})
	}
	t.Run("duplicate id", func(t *testing.T) {
		// Nobody can say which call this answers: it may not pass as either.
		resp := s.Do(t, harness.ToolCall(`"mine"`, "write", writeArguments(`{"jsonrpc":"2.0","id":$ID,"id":1,"result":{"stolen":true}}`+"\n", true)))
		if answer := resp.Answer(t); strings.Contains(answer.Raw, "stolen") {
			t.Errorf("got %s", answer.Raw)
		}
		alive(t, s)
	})
}

// TestAnswersTwice: the first answer counts, the second reaches nobody.
func TestAnswersTwice(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	stream := s.Stream(t, "")
	one := `{"jsonrpc":"2.0","id":$ID,"result":{"content":[],"structuredContent":{"n":%d}}}` + "\n"
	answer := s.Call(t, "write", writeArguments(fmt.Sprintf(one+one, 1, 2), false))
	if got := answer.Structured(t); got != `{"n":1}` {
		t.Errorf("got %s", got)
	}
	alive(t, s)
	s.Call(t, "notify", `{"method":"notifications/tools/list_changed","params":{},"afterMs":50}`)
	if _, m := stream.NextMessage(t); m.Method != "notifications/tools/list_changed" {
		t.Errorf("the stream got %s", m.Raw)
	}
	stream.Cut()
}

// TestEndlessLine: a server that writes without end and without a newline
// harms its own session alone.
func TestEndlessLine(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t, "--call-timeout", "5s")
	for _, where := range []string{"first", "none"} {
		t.Run("id "+where, func(t *testing.T) {
			bad, good := open(t, g), open(t, g)
			server, _ := bad.Server(t)
			before := g.Resident()
			answer := bad.Call(t, "endless", fmt.Sprintf(`{"id":%q}`, where))
			if code := answer.Code(); code != tooLarge && code != timedOut || where == "first" && code != tooLarge {
				t.Errorf("got %s", answer.Raw)
			}
			alive(t, good)
			g.WantNoGrowth(t, before, 128<<20)
			bad.End(t)
			harness.Eventually(t, "the server is gone", func() bool { return !harness.Alive(server) })
			good.End(t)
		})
	}
}

// TestPartialLineAtExit: half an answer is none. Whether its call fails for the
// bad answer or for the end of the server is the gate's choice.
func TestPartialLineAtExit(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	answer := s.Do(t, harness.ToolCall("5", "exit", `{"stdout":"{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"content\":[]","code":1}`)).Answer(t)
	if code := answer.Code(); code != unavailable && code != badGateway || string(answer.ID) != "5" {
		t.Errorf("got %s", answer.Raw)
	}
	alive(t, open(t, g))
}
