package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/fasthttp/websocket"

	"sidegate/test/e2e/harness"
)

// socketRoller is a client with a session over WebSocket.
type socketRoller struct {
	peer
	session  string
	count    int // messages received in it
	conn     *websocket.Conn
	messages chan []byte // closed when the connection has ended
	ended    error       // and why
}

func (s *socketRoller) call(n int) error {
	for {
		if err := s.connected(); err != nil {
			return err
		}
		answer, err := s.ask(harness.ToolCall(strconv.Itoa(n), "echo", s.label(n)))
		if err != nil {
			return err
		}
		if answer != nil {
			return s.checkAnswer(answer, n)
		}
		if err := s.once(&s.crossed, "a call crossed a goodbye"); err != nil {
			return err
		}
	}
}

// ask sends a request and waits for the answer. It is nil where the gate has
// said that it goes away instead: then it has not taken the request.
func (s *socketRoller) ask(body string) ([]byte, error) {
	sent := s.conn.WriteMessage(websocket.TextMessage, []byte(body))
	select {
	case answer, ok := <-s.messages:
		switch {
		case !ok && s.dismissed():
			return nil, nil
		case !ok:
			return nil, fmt.Errorf("%s: the connection ended: %w", s.name, errors.Join(s.ended, sent))
		case bytes.Contains(answer, []byte(`"error":{"code":503`)):
			return nil, nil // the gate goes away, and says so in its place
		}
		s.count++
		return answer, nil
	case <-time.After(2 * harness.Patience):
		return nil, fmt.Errorf("%s: no answer came", s.name)
	}
}

// dismissed tells whether the gate has said goodbye in good order.
func (s *socketRoller) dismissed() bool {
	return websocket.IsCloseError(s.ended, websocket.CloseGoingAway)
}

// connected sees to a connection on which a session is open.
func (s *socketRoller) connected() error {
	if s.conn != nil {
		select {
		case _, ok := <-s.messages:
			if ok || !s.dismissed() {
				return fmt.Errorf("%s: something came between calls, or a connection was cut: %v", s.name, s.ended)
			}
			s.hangUp()
		default:
			return nil
		}
	}
	if s.session != "" {
		resumed, err := s.dial(http.Header{"Mcp-Session-Id": {s.session}, "Last-Event-Id": {strconv.Itoa(s.count)}})
		if resumed || err != nil {
			return err
		}
		s.unknown.Add(1)
		if err := s.once(&s.reopened, "a session was opened anew"); err != nil {
			return err
		}
	}
	if ok, err := s.dial(nil); !ok {
		return errors.Join(err, errors.New(s.name+": no new session is opened"))
	}
	answer, err := s.ask(harness.Client{Capabilities: "{}"}.InitializeBody())
	if answer == nil {
		return errors.Join(err, errors.New(s.name+": initialize was not answered"))
	}
	return s.conn.WriteMessage(websocket.TextMessage, []byte(harness.Notification("notifications/initialized", "")))
}

// dial opens a connection; false where the gate does not know the session.
func (s *socketRoller) dial(header http.Header) (bool, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"mcp"}, HandshakeTimeout: harness.Patience, NetDialContext: s.dialer.DialContext}
	c, resp, err := dialer.Dial("ws://"+s.at+"/ws", header)
	if err != nil {
		if resp != nil && resp.StatusCode == http.StatusNotFound {
			return false, nil
		}
		return false, fmt.Errorf("%s: the handshake failed: %w (%v)", s.name, err, resp)
	}
	if header == nil {
		s.count = 0
	}
	s.session, s.conn, s.messages = resp.Header.Get("Mcp-Session-Id"), c, make(chan []byte, 16)
	go func(messages chan<- []byte) { // ends with the connection, which hangUp closes
		defer close(messages)
		for {
			_, msg, err := c.ReadMessage()
			if err != nil {
				s.ended = err
				return
			}
			messages <- msg
		}
	}(s.messages)
	return true, nil
}

func (s *socketRoller) hangUp() {
	s.conn.Close()
	for range s.messages { // until the reader has ended
	}
	s.conn = nil
}

func (s *socketRoller) settled() bool { return true } // what it hears comes where its answers do

func (s *socketRoller) close() error {
	if s.conn != nil {
		s.hangUp()
	}
	return nil
}
