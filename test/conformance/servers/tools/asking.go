package tools

import (
	"encoding/json"
)

const (
	elicit   = "elicitation/create"
	sample   = "sampling/createMessage"
	rootList = "roots/list"
)

// askingTools are the tools that ask their client for something. The keys of
// their questions are those under which the suite answers.
var askingTools = []tool{
	{"test_sampling", "asks for a completion", promptSchema("prompt"), sampling},
	{"test_elicitation", "asks what its message says", promptSchema("message"), elicitation},
	{"test_elicitation_sep1034_defaults", "asks with defaults", "", asks(form("defaults", "Please review these values", defaults))},
	{"test_elicitation_sep1330_enums", "asks with choices", "", asks(form("enums", "Please choose", enums))},
	{"test_missing_capability", "cannot do without sampling", "", asks(completion("completion", "Say something"))},
	{"test_streaming_elicitation", "tells its progress and asks", "", func(c Client, _ json.RawMessage) (Result, error) {
		c.Progress(1, 2, "under way")
		return asks(nameForm("user_name"))(c, nil)
	}},
	{"test_input_required_result_elicitation", "asks for a name", "", asks(nameForm("user_name"))},
	{"test_input_required_result_sampling", "asks for a completion", "", asks(completion("capital_question", "What is the capital of France?"))},
	{"test_input_required_result_list_roots", "asks for roots", "", asks(roots("client_roots"))},
	{"test_input_required_result_request_state", "asks for a confirmation", "", asks(confirmation)},
	{"test_input_required_result_tampered_state", "asks for a confirmation", "", asks(confirmation)},
	{"test_input_required_result_multiple_inputs", "asks for three things at once", "",
		asks(nameForm("user_name"), completion("greeting", "Generate a greeting"), roots("client_roots"))},
	{"test_input_required_result_multi_round", "asks twice", "", func(c Client, _ json.RawMessage) (Result, error) {
		first, err := c.Ask(nameForm("step1"))
		if err != nil {
			return nil, err
		}
		second, err := c.Ask(form("step2", "What is your favorite color?", `{"color":{"type":"string"}}`))
		if err != nil {
			return nil, err
		}
		return said("%s, then %s", first["step1"], second["step2"]), nil
	}},
	{"test_input_required_result_capabilities", "asks only for what its client can do", "", func(c Client, _ json.RawMessage) (Result, error) {
		var can []Question
		for _, q := range []Question{nameForm("user_name"), completion("greeting", "Generate a greeting"), roots("client_roots")} {
			if c.Has(Capability(q.Method)) {
				can = append(can, q)
			}
		}
		return asks(can...)(c, nil)
	}},
}

// Capability is what a client has to have declared to be asked by method.
func Capability(method string) string {
	return map[string]string{elicit: "elicitation", sample: "sampling", rootList: "roots"}[method]
}

// asks is a tool that puts some questions at once and says what came back.
func asks(questions ...Question) func(Client, json.RawMessage) (Result, error) {
	return func(c Client, _ json.RawMessage) (Result, error) {
		answers, err := c.Ask(questions...)
		if err != nil {
			return nil, err
		}
		told, err := json.Marshal(answers)
		return said("state-ok: %s", told), err
	}
}

func sampling(c Client, arguments json.RawMessage) (Result, error) {
	var p struct{ Prompt string }
	if err := json.Unmarshal(arguments, &p); err != nil {
		return nil, &Error{Code: codeInvalidParams, Message: err.Error()}
	}
	answers, err := c.Ask(completion("sampling", p.Prompt))
	if err != nil {
		return nil, err
	}
	return said("LLM response: %s", answers["sampling"]), nil
}

func elicitation(c Client, arguments json.RawMessage) (Result, error) {
	var p struct{ Message string }
	if err := json.Unmarshal(arguments, &p); err != nil {
		return nil, &Error{Code: codeInvalidParams, Message: err.Error()}
	}
	answers, err := c.Ask(form("elicitation", p.Message, `{"username":{"type":"string"},"email":{"type":"string"}}`))
	if err != nil {
		return nil, err
	}
	return said("User response: %s", answers["elicitation"]), nil
}

func promptSchema(name string) string {
	return `{"type":"object","properties":{"` + name + `":{"type":"string"}},"required":["` + name + `"]}`
}

// form is a question that shows a form with these properties.
func form(key, message, properties string) Question {
	return Question{key, elicit, Result{"message": message, "requestedSchema": Result{
		"type": "object", "properties": json.RawMessage(properties),
	}}}
}

func nameForm(key string) Question {
	return form(key, "What is your name?", `{"name":{"type":"string"}}`)
}

var confirmation = form("confirm", "Please confirm", `{"ok":{"type":"boolean"}}`)

func completion(key, prompt string) Question {
	return Question{key, sample, Result{
		"messages": []Result{{"role": "user", "content": text(prompt)}}, "maxTokens": 100,
	}}
}

func roots(key string) Question { return Question{key, rootList, Result{}} }

const (
	defaults = `{
		"name": {"type": "string", "default": "John Doe"},
		"age": {"type": "integer", "default": 30},
		"score": {"type": "number", "default": 95.5},
		"status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
		"verified": {"type": "boolean", "default": true}
	}`
	enums = `{
		"untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
		"titledSingle": {"type": "string", "oneOf": [{"const": "value1", "title": "First Option"},
			{"const": "value2", "title": "Second Option"}, {"const": "value3", "title": "Third Option"}]},
		"legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
		"untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
		"titledMulti": {"type": "array", "items": {"anyOf": [{"const": "value1", "title": "First Choice"},
			{"const": "value2", "title": "Second Choice"}, {"const": "value3", "title": "Third Choice"}]}}
	}`
)
