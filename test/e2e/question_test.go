package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestQuestions: a server's request to its client goes out with the call that
// caused it, and the client's answer comes back to the server byte for byte.
func TestQuestions(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, row := range []struct{ method, params, result string }{
		{"sampling/createMessage", `{"messages":[],"maxTokens":9007199254740993}`, `{"role":"assistant","content":{"type":"text","text":"a\u0000b"},"model":"m"}`},
		{"elicitation/create", `{"message":"who?","requestedSchema":{"type":"object"}}`, `{"action":"accept","content":{"z":1.0,"a":2}}`},
		{"roots/list", `{}`, `{"roots":[]}`},
	} {
		t.Run(row.method, func(t *testing.T) {
			events := s.Begin(t, harness.ToolCall("1", "ask", fmt.Sprintf(`{"method":%q,"params":%s}`, row.method, row.params))).Events(t)
			_, question := events.NextMessage(t)
			if question.Method != row.method || string(question.Params) != row.params {
				t.Errorf("the client got %s", question.Raw)
			}
			s.Accepted(t, harness.Reply(string(question.ID), row.result))
			_, answer := events.NextMessage(t)
			var got struct{ Result rawJSON }
			answer.Into(t, &got)
			if got.Result.String() != row.result {
				t.Errorf("the server got %s", got.Result)
			}
			events.WantProperEnd(t)
		})
	}
	t.Run("refused by the client", func(t *testing.T) {
		events := s.Begin(t, harness.ToolCall("1", "ask", `{"method":"roots/list"}`)).Events(t)
		_, question := events.NextMessage(t)
		s.Accepted(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"User rejected"}}`, question.ID))
		if _, answer := events.NextMessage(t); !strings.Contains(answer.Structured(t), `"error":{"code":-1,"message":"User rejected"}`) {
			t.Errorf("the server got %s", answer.Raw)
		}
	})
}

// TestQuestionWithTheCallsID: the server's ids are its own; one that equals
// the client's is no mix-up. The server's id comes back to it as it was.
func TestQuestionWithTheCallsID(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, id := range []string{"1", `"text\u0000"`, "12345678901234567890"} {
		t.Run(id, func(t *testing.T) {
			events := s.Begin(t, harness.ToolCall(id, "ask", fmt.Sprintf(`{"method":"roots/list","id":%s}`, id))).Events(t)
			_, question := events.NextMessage(t)
			s.Accepted(t, harness.Reply(string(question.ID), `{"roots":[]}`))
			_, answer := events.NextMessage(t)
			if string(answer.ID) != id {
				t.Errorf("the call's answer is %s", answer.Raw)
			}
			var got struct{ ID rawJSON }
			answer.Into(t, &got)
			if got.ID.String() != id {
				t.Errorf("the server got its answer with id %s, not %s", got.ID, id)
			}
		})
	}
}

// TestQuestionOutsideACall goes to the session's stream.
func TestQuestionOutsideACall(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	stream := s.Stream(t, "")
	s.Call(t, "ask", `{"method":"roots/list","afterMs":50}`)
	_, question := stream.NextMessage(t)
	if question.Method != "roots/list" {
		t.Fatalf("the stream got %s", question.Raw)
	}
	s.Accepted(t, harness.Reply(string(question.ID), `{"roots":["late"]}`))
	harness.Eventually(t, "the server has the answer", func() bool {
		return strings.Contains(s.Call(t, "answers", `{}`).Structured(t), `"roots":["late"]`)
	})
	stream.Cut()
}

// TestAnswersToNoQuestion: accepted, dropped, and the server never sees them.
func TestAnswersToNoQuestion(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	for _, id := range []string{"99", `"nobody"`, "0"} {
		s.Accepted(t, harness.Reply(id, `{"stray":true}`))
	}
	events := s.Begin(t, harness.ToolCall("1", "ask", `{"method":"roots/list"}`)).Events(t)
	_, question := events.NextMessage(t)
	s.Accepted(t, harness.Reply(string(question.ID), `{"n":1}`))
	s.Accepted(t, harness.Reply(string(question.ID), `{"n":2,"stray":true}`))
	events.WantProperEnd(t)
	if got := s.Call(t, "seen", `{"method":""}`).Structured(t); strings.Contains(got, "stray") || strings.Count(got, `"n":1`) != 1 {
		t.Errorf("the server saw %s", got)
	}
}

// TestQuestionSurvivesACut: a question that was on its way when the connection
// was cut is asked again on the resumed stream, and can be answered.
func TestQuestionSurvivesACut(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	events := s.Begin(t, harness.ToolCall("1", "ask", `{"method":"roots/list"}`)).Events(t)
	first, ok := events.Next(t)
	if !ok || first.ID == "" || first.Data != "" {
		t.Fatalf("the first event is %+v", first)
	}
	events.Cut()
	again := s.Stream(t, first.ID)
	_, question := again.NextMessage(t)
	s.Accepted(t, harness.Reply(string(question.ID), `{"roots":[]}`))
	if _, answer := again.NextMessage(t); string(answer.ID) != "1" || answer.Error != nil {
		t.Errorf("got %s", answer.Raw)
	}
	again.WantProperEnd(t)
}

// TestServerWithdrawsAQuestion: the cancellation names the question as the
// client knows it, on the same stream.
func TestServerWithdrawsAQuestion(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	events := s.Begin(t, harness.ToolCall("1", "ask", `{"method":"roots/list","wait":false,"withdraw":true}`)).Events(t)
	_, question := events.NextMessage(t)
	_, withdrawal := events.NextMessage(t)
	if withdrawal.Method != "notifications/cancelled" || !strings.Contains(string(withdrawal.Params), fmt.Sprintf(`"requestId":%s`, question.ID)) {
		t.Errorf("the question was %s, its withdrawal %s", question.Raw, withdrawal.Raw)
	}
	events.WantProperEnd(t)
}

// TestServerNeverReadsTheAnswer: a server that asks and then does not read.
// The client's answer is accepted, and the session can be ended.
func TestServerNeverReadsTheAnswer(t *testing.T) {
	t.Parallel()
	g := broken(t, []string{"-deaf", "3"}, "--call-timeout", "5s")
	s := open(t, g)
	events := s.Begin(t, harness.ToolCall("1", "ask", `{"method":"roots/list"}`)).Events(t)
	_, question := events.NextMessage(t)
	s.Accepted(t, harness.Reply(string(question.ID), `{}`))
	if _, answer := events.NextMessage(t); answer.Code() != timedOut {
		t.Errorf("got %s", answer.Raw)
	}
	s.End(t)
	alive(t, g.Open(t, harness.Client{}))
}
