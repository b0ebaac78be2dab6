package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/fasthttp/websocket"
)

type object = map[string]any

const (
	legacyRevision = "2025-11-25"
	modernRevision = "2026-07-28"
	metaPrefix     = "io.modelcontextprotocol/"
)

// capabilities are what the client declares, and answers.
var capabilities = object{"roots": object{}, "sampling": object{}, "elicitation": object{}}

var clientInfo = object{"name": "driver", "version": "1"}

// A client speaks one era over Streamable HTTP, or the modern one over
// WebSocket.
type client struct {
	door   string
	modern bool
	socket *websocket.Conn // nil over HTTP

	session   string // of the legacy era
	last      int    // the id given last
	tools     []tool
	meanwhile func() error // done once, before a question is answered
}

type tool struct {
	Name        string
	InputSchema struct {
		Properties map[string]struct {
			Header string `json:"x-mcp-header"`
		}
	}
}

// A message is one of any kind.
type message struct {
	ID     json.RawMessage
	Method string
	Result json.RawMessage
	Error  json.RawMessage
}

// open begins what the era begins with.
func (c *client) open() error {
	if c.modern {
		return c.request("server/discover", object{}, nil)
	}
	hello := object{"protocolVersion": legacyRevision, "capabilities": capabilities, "clientInfo": clientInfo}
	if err := c.request("initialize", hello, nil); err != nil {
		return err
	}
	return c.tell(object{"jsonrpc": "2.0", "method": "notifications/initialized"})
}

func (c *client) listTools() error {
	var list struct{ Tools []tool }
	if err := c.request("tools/list", object{}, &list); err != nil {
		return err
	}
	c.tools = list.Tools
	return nil
}

func (c *client) callTool(name string, arguments object) error {
	return c.request("tools/call", object{"name": name, "arguments": arguments}, nil)
}

// request sends a request, answers what is asked meanwhile, and reads the
// result into result where that is not nil.
func (c *client) request(method string, params object, result any) error {
	if c.modern {
		params["_meta"] = object{
			metaPrefix + "protocolVersion": modernRevision, metaPrefix + "clientInfo": clientInfo,
			metaPrefix + "clientCapabilities": capabilities,
		}
	}
	answer, err := c.roundTrip(method, params)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	var asked struct {
		ResultType    string
		InputRequests map[string]struct{ Method string }
		RequestState  *string
	}
	if err := json.Unmarshal(answer, &asked); err != nil {
		return err
	}
	if c.modern && asked.ResultType == "input_required" {
		responses := object{}
		for key, question := range asked.InputRequests {
			if responses[key], err = c.answer(question.Method); err != nil {
				return err
			}
		}
		params["inputResponses"] = responses
		delete(params, "requestState")
		if asked.RequestState != nil {
			params["requestState"] = *asked.RequestState
		}
		return c.request(method, params, result)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}

// roundTrip posts one request and reads until its response.
func (c *client) roundTrip(method string, params object) (json.RawMessage, error) {
	c.last++
	id := fmt.Sprint(c.last)
	request := object{"jsonrpc": "2.0", "id": c.last, "method": method, "params": params}
	if c.socket != nil {
		return c.socketTrip(request)
	}
	response, err := c.post(request, c.headers(method, params))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if session := response.Header.Get("Mcp-Session-Id"); session != "" {
		c.session = session
	}
	for next := messages(response); ; {
		m, err := next()
		switch {
		case err != nil:
			return nil, fmt.Errorf("status %d: no response came: %w", response.StatusCode, err)
		case m.Method != "" && m.ID != nil:
			if err := c.reply(m); err != nil {
				return nil, err
			}
		case m.Method == "" && string(m.ID) != id:
			return nil, fmt.Errorf("status %d: an answer to %s: %s%s", response.StatusCode, m.ID, m.Result, m.Error)
		case m.Method == "" && m.Error != nil:
			return nil, fmt.Errorf("status %d: %s", response.StatusCode, m.Error)
		case m.Method == "":
			return m.Result, nil
		}
	}
}

// reply answers a question of the legacy era.
func (c *client) reply(question message) error {
	result, err := c.answer(question.Method)
	if err != nil {
		return err
	}
	return c.tell(object{"jsonrpc": "2.0", "id": question.ID, "result": result})
}

// tell posts what has no response.
func (c *client) tell(m object) error {
	response, err := c.post(m, c.headers("", nil))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		body, _ := io.ReadAll(response.Body)
		return fmt.Errorf("status %d for a message without response: %s", response.StatusCode, body)
	}
	return nil
}

// answer is what the user, or the model, says.
func (c *client) answer(method string) (object, error) {
	if do := c.meanwhile; do != nil {
		c.meanwhile = nil
		if err := do(); err != nil {
			return nil, err
		}
	}
	switch method {
	case "elicitation/create":
		return object{"action": "accept", "content": object{"confirmed": true}}, nil
	case "sampling/createMessage":
		return object{"role": "assistant", "model": "none", "content": object{"type": "text", "text": "yes"}}, nil
	case "roots/list":
		return object{"roots": []object{}}, nil
	}
	return nil, fmt.Errorf("asked by %s", method)
}

func (c *client) post(m object, headers http.Header) (*http.Response, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(http.MethodPost, c.door, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = headers
	return http.DefaultClient.Do(request)
}

// messages reads a body, which is one message or a stream of them.
func messages(response *http.Response) func() (message, error) {
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		decoder := json.NewDecoder(response.Body)
		return func() (m message, err error) { return m, decoder.Decode(&m) }
	}
	lines := bufio.NewReader(response.Body)
	return func() (m message, err error) {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return m, err
			}
			if data, found := strings.CutPrefix(line, "data:"); found && strings.TrimSpace(data) != "" {
				return m, json.Unmarshal([]byte(data), &m)
			}
		}
	}
}
