package main

import (
	"encoding/json"
	"slices"

	"sidegate/test/conformance/servers/tools"
)

// levels are those of logging, the most talkative first.
var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// A call is what a tool sees of the client.
type call struct {
	server  *server
	request *request
	answers tools.Answers // of earlier rounds; Ask adds those of this one
	tell    func(tools.Result)
}

// unanswered says that a call cannot go on without answers.
type unanswered struct{ questions []tools.Question }

func (*unanswered) Error() string { return "input required" }

// Ask returns the answers that the client brought along. Where some are
// missing, or are none, it fails with unanswered, which names those.
func (c *call) Ask(questions ...tools.Question) (tools.Answers, error) {
	lacking := tools.Result{}
	var open []tools.Question
	for _, q := range questions {
		if capability := tools.Capability(q.Method); !c.Has(capability) {
			lacking[capability] = tools.Result{}
		}
		if given := c.request.responses[q.Key]; c.answers[q.Key] == nil && answers(q, given) {
			c.answers[q.Key] = given
		}
		if c.answers[q.Key] == nil {
			open = append(open, q)
		}
	}
	if len(lacking) > 0 {
		return nil, &tools.Error{Code: codeMissingCapability, Message: "the client lacks a capability",
			Data: tools.Result{"requiredCapabilities": lacking}}
	}
	if open != nil {
		return nil, &unanswered{open}
	}
	return c.answers, nil
}

// answers tells whether a client's input can be the answer to a question.
func answers(q tools.Question, given json.RawMessage) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(given, &members) != nil {
		return false
	}
	needed := map[string]string{"elicitation": "action", "sampling": "content", "roots": "roots"}[tools.Capability(q.Method)]
	return members[needed] != nil
}

func (c *call) Has(capability string) bool {
	_, declared := c.request.meta.Capabilities[capability]
	return declared
}

func (c *call) Progress(done, total float64, text string) {
	if token := c.request.meta.Token; token != nil {
		c.notify("progress", tools.Result{"progressToken": token, "progress": done, "total": total, "message": text})
	}
}

// Log tells what is as grave as the request wants, and nothing if it wants none.
func (c *call) Log(level, text string) {
	if wanted := slices.Index(levels, c.request.meta.LogLevel); wanted >= 0 && slices.Index(levels, level) >= wanted {
		c.notify("message", tools.Result{"level": level, "data": text})
	}
}

func (c *call) notify(what string, params tools.Result) {
	c.tell(tools.Result{"jsonrpc": "2.0", "method": "notifications/" + what, "params": params})
}

func (c *call) Changed(list string) { c.server.listeners.changed(list) }
