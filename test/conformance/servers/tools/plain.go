package tools

import (
	"encoding/json"
	"time"
)

// pause is how long a tool waits between two things that it tells.
const pause = 50 * time.Millisecond

// The smallest picture and sound: a red pixel, and no sample.
const (
	pixel   = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
	silence = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
)

// addressSchema has what JSON Schema 2020-12 has and older drafts have not.
const addressSchema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {"address": {"$anchor": "addressDef", "type": "object",
		"properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
	"properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
		"contactMethod": {"type": "string", "enum": ["phone", "email"]},
		"phone": {"type": "string"}, "email": {"type": "string"}},
	"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
	"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
	"then": {"required": ["phone"]},
	"else": {"required": ["email"]},
	"additionalProperties": false
}`

// allTools are all tools, those that ask nothing first.
var allTools = append([]tool{
	{"test_simple_text", "answers with text", "", func(Client, json.RawMessage) (Result, error) {
		return said("This is a simple text response for testing."), nil
	}},
	{"test_image_content", "answers with a picture", "", func(Client, json.RawMessage) (Result, error) {
		return Result{"content": []Result{image()}}, nil
	}},
	{"test_audio_content", "answers with sound", "", func(Client, json.RawMessage) (Result, error) {
		return Result{"content": []Result{{"type": "audio", "data": silence, "mimeType": "audio/wav"}}}, nil
	}},
	{"test_embedded_resource", "answers with a resource", "", func(Client, json.RawMessage) (Result, error) {
		return Result{"content": []Result{embedded("test://embedded-resource")}}, nil
	}},
	{"test_multiple_content_types", "answers with text, a picture and a resource", "", func(Client, json.RawMessage) (Result, error) {
		return Result{"content": []Result{text("This is text content"), image(), embedded("test://embedded-in-multiple")}}, nil
	}},
	{"test_tool_with_logging", "logs while it works", "", logging},
	{"test_tool_with_progress", "tells its progress", "", progress},
	{"test_error_handling", "fails", "", func(Client, json.RawMessage) (Result, error) {
		return nil, &Failure{"this tool intentionally returns an error for testing"}
	}},
	{"test_logging_tool", "logs once", "", func(c Client, _ json.RawMessage) (Result, error) {
		c.Log("info", "test_logging_tool works")
		return said("logged"), nil
	}},
	{"test_reconnection", "takes its time", "", func(Client, json.RawMessage) (Result, error) {
		time.Sleep(2 * pause)
		return said("Reconnection test completed successfully."), nil
	}},
	{"test_trigger_tool_change", "says that the tools have changed", "", changes("tools")},
	{"test_trigger_prompt_change", "says that the prompts have changed", "", changes("prompts")},
	{"json_schema_2020_12_tool", "has a schema of JSON Schema 2020-12", addressSchema, func(_ Client, arguments json.RawMessage) (Result, error) {
		return said("called with %s", arguments), nil
	}},
	{"test_x_mcp_header", "has an argument that is also a header",
		`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"level":{"type":"integer"}}}`,
		func(_ Client, arguments json.RawMessage) (Result, error) {
			return said("called with %s", arguments), nil
		}},
}, askingTools...)

func image() Result { return Result{"type": "image", "data": pixel, "mimeType": "image/png"} }

func embedded(uri string) Result {
	return Result{"type": "resource", "resource": Result{"uri": uri, "mimeType": "text/plain", "text": "This is an embedded resource"}}
}

func logging(c Client, _ json.RawMessage) (Result, error) {
	for _, line := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
		c.Log("info", line)
		time.Sleep(pause)
	}
	return said("Tool with logging executed successfully"), nil
}

func progress(c Client, _ json.RawMessage) (Result, error) {
	for _, done := range []float64{0, 50, 100} {
		c.Progress(done, 100, "under way")
		time.Sleep(pause)
	}
	return said("Tool with progress executed successfully"), nil
}

func changes(list string) func(Client, json.RawMessage) (Result, error) {
	return func(c Client, _ json.RawMessage) (Result, error) {
		c.Changed(list)
		return said("the %s have changed", list), nil
	}
}
