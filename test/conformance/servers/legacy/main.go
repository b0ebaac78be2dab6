// Command legacy is a server on stdin and stdout that speaks the revisions up
// to 2025-11-25 and no other. It has the tools that the conformance suite wants
// of a modern server, and asks its client by requests of its own, whose ids are
// the keys under which the suite answers.
//
// It is strict: before initialize it answers nothing but ping, and a request
// that carries what only the modern era has is refused, so that a gate that
// lets it through is found out.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"slices"
	"sync"

	"sidegate/test/conformance/servers/tools"
)

// The JSON-RPC codes that are this server's own.
const (
	codeInvalidRequest   = -32600
	codeInvalidParams    = -32602
	codeInternal         = -32603
	codeResourceNotFound = -32002
)

var revisions = []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}

// A message is one of any kind.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *tools.Error    `json:"error"`
}

func main() {
	s := &server{out: os.Stdout, calls: map[string]*call{}, asked: map[string]chan message{}}
	if err := s.serve(os.Stdin); err != nil {
		log.Fatal(err)
	}
}

// A server is one session.
type server struct {
	writing sync.Mutex
	out     io.Writer

	mu           sync.Mutex
	capabilities map[string]json.RawMessage // the client's; nil before initialize
	calls        map[string]*call           // by the client's id
	asked        map[string]chan message    // by our own id, while it is open
}

// serve reads until the input ends.
func (s *server) serve(in io.Reader) error {
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			s.send(tools.Result{"id": nil, "error": &tools.Error{Code: -32700, Message: err.Error()}})
			continue
		}
		switch {
		case m.Method == "":
			s.answered(m)
		case m.ID == nil:
			s.noticed(m)
		default:
			s.asks(m)
		}
	}
}

// send writes a message.
func (s *server) send(members tools.Result) {
	members["jsonrpc"] = "2.0"
	line, err := json.Marshal(members)
	if err != nil {
		log.Fatal(err)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.out.Write(append(line, '\n')); err != nil {
		log.Fatal(err)
	}
}

// answered takes the client's answer to one of our questions.
func (s *server) answered(m message) {
	var id string
	if err := json.Unmarshal(m.ID, &id); err != nil {
		log.Printf("an answer to %s, which was never asked", m.ID)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer, open := s.asked[id]; open {
		delete(s.asked, id)
		answer <- m
		return
	}
	log.Printf("an answer to %q, which is not open", id)
}

func (s *server) noticed(m message) {
	if m.Method != "notifications/cancelled" {
		return
	}
	var p struct{ RequestID json.RawMessage }
	if err := json.Unmarshal(m.Params, &p); err != nil {
		log.Print(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.calls[string(p.RequestID)]; c != nil {
		c.cancel()
	}
}

// asks takes a request. It is answered by a goroutine of its own, so that a
// call that waits for its client holds up nothing.
func (s *server) asks(m message) {
	if m.Method == "initialize" {
		s.reply(m.ID, nil)(s.initialize(m.Params))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.capabilities == nil && m.Method != "ping" {
		s.reply(m.ID, nil)(nil, &tools.Error{Code: codeInvalidRequest, Message: m.Method + " before initialize"})
		return
	}
	c := newCall(s, m)
	if s.calls[string(m.ID)] != nil {
		s.reply(m.ID, nil)(nil, &tools.Error{Code: codeInvalidRequest, Message: "the id is in use"})
		return
	}
	s.calls[string(m.ID)] = c
	go func() {
		result, err := c.serve(m)
		s.mu.Lock()
		delete(s.calls, string(m.ID))
		s.mu.Unlock()
		s.reply(m.ID, c)(result, err)
	}()
}

// reply returns what answers a request. One that was cancelled is not answered.
func (s *server) reply(id json.RawMessage, c *call) func(tools.Result, error) {
	return func(result tools.Result, err error) {
		var known *tools.Error
		var missing *tools.Missing
		switch {
		case c != nil && c.cancelled():
		case err == nil:
			s.send(tools.Result{"id": id, "result": result})
		case errors.As(err, &known):
			s.send(tools.Result{"id": id, "error": known})
		case errors.As(err, &missing):
			s.send(tools.Result{"id": id, "error": &tools.Error{
				Code: codeResourceNotFound, Message: "resource not found", Data: tools.Result{"uri": missing.URI},
			}})
		default:
			s.send(tools.Result{"id": id, "error": &tools.Error{Code: codeInternal, Message: err.Error()}})
		}
	}
}

func (s *server) initialize(params json.RawMessage) (tools.Result, error) {
	var p struct {
		ProtocolVersion string
		Capabilities    map[string]json.RawMessage
	}
	if err := json.Unmarshal(params, &p); err != nil || p.ProtocolVersion == "" || p.Capabilities == nil {
		return nil, &tools.Error{Code: codeInvalidParams, Message: "initialize without a revision or capabilities"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.capabilities != nil {
		return nil, &tools.Error{Code: codeInvalidRequest, Message: "initialize came before"}
	}
	s.capabilities = p.Capabilities
	if !slices.Contains(revisions, p.ProtocolVersion) {
		p.ProtocolVersion = revisions[0]
	}
	return tools.Result{
		"protocolVersion": p.ProtocolVersion, "capabilities": tools.Capabilities(),
		"serverInfo": tools.Result{"name": "legacy-test-server", "version": "1"},
	}, nil
}

// modern finds what only the modern era has in a request's parameters.
func modern(params json.RawMessage) string {
	var p map[string]json.RawMessage
	if json.Unmarshal(params, &p) != nil {
		return "" // no parameters, or none that are an object
	}
	for _, name := range []string{"inputResponses", "requestState"} {
		if p[name] != nil {
			return name
		}
	}
	var meta map[string]json.RawMessage
	if json.Unmarshal(p["_meta"], &meta) != nil {
		return ""
	}
	for _, name := range []string{"protocolVersion", "clientInfo", "clientCapabilities", "logLevel"} {
		if name = "io.modelcontextprotocol/" + name; meta[name] != nil {
			return name
		}
	}
	return ""
}

// isNull tells whether a member is absent or null.
func isNull(value json.RawMessage) bool {
	return len(value) == 0 || bytes.Equal(value, []byte("null"))
}
