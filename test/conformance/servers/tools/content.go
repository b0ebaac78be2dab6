package tools

import (
	"encoding/json"
	"errors"
	"strings"
)

// A prompt's arguments are all required.
type prompt struct {
	name, about string
	arguments   []string
	get         func(Client, map[string]string) ([]Result, error)
}

var prompts = []prompt{
	{"test_simple_prompt", "text", nil, func(Client, map[string]string) ([]Result, error) {
		return []Result{text("This is a simple prompt for testing.")}, nil
	}},
	{"test_prompt_with_arguments", "text with two arguments", []string{"arg1", "arg2"}, func(_ Client, args map[string]string) ([]Result, error) {
		return []Result{text("Prompt with arguments: arg1='" + args["arg1"] + "', arg2='" + args["arg2"] + "'")}, nil
	}},
	{"test_prompt_with_embedded_resource", "a resource and text", []string{"resourceUri"}, func(_ Client, args map[string]string) ([]Result, error) {
		return []Result{embedded(args["resourceUri"]), text("Please process the embedded resource above.")}, nil
	}},
	{"test_prompt_with_image", "a picture and text", nil, func(Client, map[string]string) ([]Result, error) {
		return []Result{image(), text("Please analyze the image above.")}, nil
	}},
	{"test_input_required_result_prompt", "asks for a context", nil, func(c Client, _ map[string]string) ([]Result, error) {
		answers, err := c.Ask(form("user_context", "What context should the prompt use?", `{"context":{"type":"string"}}`))
		return []Result{text(string(answers["user_context"]))}, err
	}},
}

func listPrompts() []Result {
	var list []Result
	for _, p := range prompts {
		entry := Result{"name": p.name, "description": p.about}
		var arguments []Result
		for _, name := range p.arguments {
			arguments = append(arguments, Result{"name": name, "required": true})
		}
		if arguments != nil {
			entry["arguments"] = arguments
		}
		list = append(list, entry)
	}
	return list
}

func getPrompt(c Client, params json.RawMessage) (Result, error) {
	var wanted struct {
		Name      string
		Arguments map[string]string
	}
	if err := json.Unmarshal(params, &wanted); err != nil {
		return nil, &Error{Code: codeInvalidParams, Message: err.Error()}
	}
	for _, p := range prompts {
		if p.name != wanted.Name {
			continue
		}
		contents, err := p.get(c, wanted.Arguments)
		if failed := (*Failure)(nil); errors.As(err, &failed) {
			return nil, &Error{Code: codeInternal, Message: failed.What}
		}
		if err != nil {
			return nil, err
		}
		var messages []Result
		for _, content := range contents {
			messages = append(messages, Result{"role": "user", "content": content})
		}
		return Result{"description": p.about, "messages": messages}, nil
	}
	return nil, &Error{Code: codeInvalidParams, Message: "unknown prompt: " + wanted.Name}
}

const (
	templateStart, templateEnd = "test://template/", "/data"
	staticText, staticBinary   = "test://static-text", "test://static-binary"
	watched                    = "test://watched-resource"
)

var resources = []Result{
	{"uri": staticText, "name": "static-text", "mimeType": "text/plain"},
	{"uri": staticBinary, "name": "static-binary", "mimeType": "image/png"},
	{"uri": watched, "name": "watched-resource", "mimeType": "text/plain"},
}

var templates = []Result{{"uriTemplate": templateStart + "{id}" + templateEnd, "name": "template", "mimeType": "application/json"}}

func read(params json.RawMessage) (Result, error) {
	var p struct{ URI string }
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, &Error{Code: codeInvalidParams, Message: err.Error()}
	}
	content := Result{"uri": p.URI, "mimeType": "text/plain", "text": "This is the content of the static text resource."}
	id, templated := strings.CutPrefix(strings.TrimSuffix(p.URI, templateEnd), templateStart)
	switch {
	case p.URI == staticBinary:
		content = Result{"uri": p.URI, "mimeType": "image/png", "blob": pixel}
	case templated:
		data, err := json.Marshal(Result{"id": id, "templateTest": true, "data": "Data for ID: " + id})
		if err != nil {
			return nil, err
		}
		content = Result{"uri": p.URI, "mimeType": "application/json", "text": string(data)}
	case p.URI != staticText && p.URI != watched:
		return nil, &Missing{p.URI}
	}
	return Result{"contents": []Result{content}}, nil
}
