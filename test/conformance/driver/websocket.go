package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fasthttp/websocket"
)

// dial opens the gate's other door, at which a modern client sends no headers:
// all that the server wants are the gate's own.
func (c *client) dial() error {
	url := strings.TrimSuffix(strings.Replace(c.door, "http", "ws", 1), "/mcp") + "/ws"
	dialer := websocket.Dialer{Subprotocols: []string{"mcp"}}
	conn, response, err := dialer.Dial(url, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	c.socket = conn
	return response.Body.Close()
}

// socketTrip sends one request and reads until its response.
func (c *client) socketTrip(request object) (json.RawMessage, error) {
	if err := c.socket.WriteJSON(request); err != nil {
		return nil, err
	}
	for {
		var m message
		if err := c.socket.ReadJSON(&m); err != nil {
			return nil, fmt.Errorf("no response came: %w", err)
		}
		switch {
		case m.Method != "" && m.ID != nil:
			return nil, fmt.Errorf("asked by %s, which is not of this era", m.Method)
		case m.Method != "":
		case string(m.ID) != fmt.Sprint(request["id"]):
			return nil, fmt.Errorf("an answer to %s: %s%s", m.ID, m.Result, m.Error)
		case m.Error != nil:
			return nil, fmt.Errorf("%s", m.Error)
		default:
			return m.Result, nil
		}
	}
}
