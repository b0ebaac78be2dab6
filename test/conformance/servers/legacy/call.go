package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"sidegate/test/conformance/servers/tools"
)

// levels are those of logging/setLevel, the most talkative first.
var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// A call is one request of the client. It is what its tool sees of the client.
type call struct {
	server *server
	token  json.RawMessage // of progress, nil where none was asked for
	cancel func()
	over   chan struct{} // closed by cancel
}

func newCall(s *server, m message) *call {
	var p struct {
		Meta struct{ ProgressToken json.RawMessage } `json:"_meta"`
	}
	_ = json.Unmarshal(m.Params, &p) // what is wrong with them the method tells
	over := make(chan struct{})
	return &call{server: s, token: p.Meta.ProgressToken, over: over, cancel: sync.OnceFunc(func() { close(over) })}
}

func (c *call) cancelled() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

func (c *call) serve(m message) (tools.Result, error) {
	if name := modern(m.Params); name != "" {
		return nil, &tools.Error{Code: codeInvalidParams, Message: name + " is not of this era"}
	}
	switch m.Method {
	case "ping", "resources/subscribe", "resources/unsubscribe":
		return tools.Result{}, nil
	case "logging/setLevel":
		var p struct{ Level string }
		if err := json.Unmarshal(m.Params, &p); err != nil || !slices.Contains(levels, p.Level) {
			return nil, &tools.Error{Code: codeInvalidParams, Message: "no such level"}
		}
		return tools.Result{}, nil // what is logged here is above any level that the suite sets
	}
	return tools.Serve(c, m.Method, m.Params)
}

// Ask sends the questions and waits for all answers.
func (c *call) Ask(questions ...tools.Question) (tools.Answers, error) {
	waiting := map[string]chan message{}
	for _, q := range questions {
		id, answer := c.server.open(q.Key)
		defer c.server.forget(id)
		waiting[q.Key] = answer
		c.server.send(tools.Result{"id": id, "method": q.Method, "params": q.Params})
	}
	answers := tools.Answers{}
	for key, answer := range waiting {
		select {
		case m := <-answer:
			if m.Error != nil || isNull(m.Result) {
				return nil, &tools.Failure{What: fmt.Sprintf("the client did not answer %s: %v", key, m.Error)}
			}
			answers[key] = m.Result
		case <-c.over:
			return nil, &tools.Failure{What: "cancelled"}
		}
	}
	return answers, nil
}

// open finds an id for a question: its key, unless that is open already.
func (s *server) open(key string) (string, chan message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := key
	for n := 2; s.asked[id] != nil; n++ {
		id = fmt.Sprintf("%s-%d", key, n)
	}
	s.asked[id] = make(chan message, 1)
	return id, s.asked[id]
}

func (s *server) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, id)
}

func (c *call) Has(capability string) bool {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	_, declared := c.server.capabilities[capability]
	return declared
}

func (c *call) Progress(done, total float64, text string) {
	if c.token != nil {
		c.notify("notifications/progress", tools.Result{"progressToken": c.token, "progress": done, "total": total, "message": text})
	}
}

func (c *call) Log(level, text string) {
	c.notify("notifications/message", tools.Result{"level": level, "data": text})
}

func (c *call) Changed(list string) { c.notify("notifications/"+list+"/list_changed", nil) }

func (c *call) notify(method string, params tools.Result) {
	m := tools.Result{"method": method}
	if params != nil {
		m["params"] = params
	}
	c.server.send(m)
}
