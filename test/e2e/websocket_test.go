package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sidegate/test/e2e/harness"
)

// socket is a WebSocket client with a session.
type socket struct {
	*websocket.Conn
	t       *testing.T
	session string
	count   int // messages received on all of the session's connections
}

// dialSocket tries the handshake with further header fields.
func dialSocket(g *harness.Gate, path string, header http.Header) (*websocket.Conn, *http.Response, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"mcp"}, HandshakeTimeout: harness.Patience}
	c, resp, err := dialer.Dial("ws://"+g.Host()+path, header)
	if c != nil {
		_ = c.SetReadDeadline(time.Now().Add(2 * harness.Patience))
	}
	return c, resp, err
}

// openSocket opens a session over WebSocket.
func openSocket(t *testing.T, g *harness.Gate, header http.Header) *socket {
	t.Helper()
	c, resp, err := dialSocket(g, "/ws", header)
	if err != nil {
		t.Fatalf("the handshake failed: %v, %v", err, resp)
	}
	t.Cleanup(func() { c.Close() })
	s := &socket{Conn: c, t: t, session: resp.Header.Get("Mcp-Session-Id")}
	if s.session == "" || c.Subprotocol() != "mcp" {
		t.Fatalf("the answer to the handshake: %v", resp.Header)
	}
	s.say(harness.Client{}.InitializeBody())
	if m := s.next(); string(m.ID) != "0" || harness.Field(t, m.Result, "protocolVersion") != harness.Latest {
		t.Fatalf("initialize was answered by %s", m.Raw)
	}
	s.say(harness.Notification("notifications/initialized", ""))
	return s
}

// resume connects again, and has received count messages.
func (s *socket) resume(g *harness.Gate, count int) {
	s.t.Helper()
	c, resp, err := dialSocket(g, "/ws", http.Header{"Mcp-Session-Id": {s.session}, "Last-Event-Id": {fmt.Sprint(count)}})
	if err != nil {
		s.t.Fatalf("resuming failed: %v, %v", err, resp)
	}
	s.t.Cleanup(func() { c.Close() })
	s.Conn, s.count = c, count
}

func (s *socket) say(msg string) {
	s.t.Helper()
	if err := s.WriteMessage(websocket.TextMessage, []byte(msg)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) next() harness.Message {
	s.t.Helper()
	kind, msg, err := s.ReadMessage()
	if err != nil || kind != websocket.TextMessage {
		s.t.Fatalf("no message came, but kind %d: %v", kind, err)
	}
	s.count++
	return harness.ParseMessage(s.t, string(msg))
}

// wantClose wants the gate's goodbye; messages before it are skipped.
func (s *socket) wantClose(code int) {
	s.t.Helper()
	for {
		_, _, err := s.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) && closed.Code == code {
			return
		}
		if err != nil {
			s.t.Fatalf("the connection ended with %v, want code %d", err, code)
		}
	}
}

func (s *socket) goodbye(code int) {
	_ = s.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(harness.Patience))
	s.wantClose(code)
}

func (s *socket) alive() {
	s.t.Helper()
	s.say(harness.ToolCall(`"alive"`, "echo", `{"alive":true}`))
	if m := s.next(); m.Structured(s.t) != `{"alive":true}` {
		s.t.Errorf("echo came back as %s", m.Raw)
	}
}

// TestWebSocketDoor: all that is asked of any request is asked before the
// upgrade. That Origin and Host are alike proves nothing: so they are after DNS
// rebinding.
func TestWebSocketDoor(t *testing.T) {
	t.Parallel()
	const secret = "0123456789abcdef"
	g := gate(t, "--token-file", tokenFile(t, secret))
	bearer := http.Header{"Authorization": {"Bearer " + secret}}
	with := func(name, value string) http.Header {
		h := bearer.Clone()
		h[name] = []string{value}
		return h
	}
	for _, row := range []struct {
		name   string
		path   string
		header http.Header
		status int
	}{
		{"no token", "/ws", nil, 401},
		{"a foreign origin", "/ws", with("Origin", "https://evil.example"), 403},
		{"the null origin", "/ws", with("Origin", "null"), 403},
		{"a foreign host", "/ws", with("Host", "evil.example"), 403},
		{"another path", "/wss", bearer, 404},
		{"no such session", "/ws", with("Mcp-Session-Id", "0123456789"), 404},
		{"no such count", "/ws", with("Last-Event-Id", "7"), 400},
		{"twice", "/ws", http.Header{"Authorization": bearer["Authorization"], "Mcp-Session-Id": {"a", "b"}}, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, resp, err := dialSocket(g, row.path, row.header)
			if err == nil {
				c.Close()
				t.Fatal("the connection was upgraded")
			}
			if resp == nil || resp.StatusCode != row.status {
				t.Errorf("%v: %v, want status %d", err, resp, row.status)
			}
		})
	}
	t.Run("rebinding", func(t *testing.T) {
		h := with("Origin", "http://evil.example")
		h["Host"] = []string{"evil.example"}
		if _, resp, _ := dialSocket(g, "/ws", h); resp == nil || resp.StatusCode != 403 {
			t.Errorf("%v, want status 403", resp)
		}
	})
	t.Run("no upgrade", func(t *testing.T) {
		resp := g.Do(t, harness.Bare("GET", "/ws").Add("Authorization", "Bearer "+secret))
		resp.WantRefusal(t, 426, invalidRequest, "")
		if resp.Header.Get("Upgrade") != "websocket" {
			t.Errorf("the answer says %v", resp.Header)
		}
	})
	t.Run("POST", func(t *testing.T) {
		resp := g.Do(t, harness.Bare("POST", "/ws").Add("Authorization", "Bearer "+secret))
		resp.WantStatus(t, 405)
	})
	t.Run("a page of this machine", func(t *testing.T) {
		openSocket(t, g, with("Origin", page)).alive()
	})
}

// TestWebSocketSession: calls, what they say on their way, and questions, all
// on the one connection.
func TestWebSocketSession(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := openSocket(t, g, nil)
	s.alive()

	const steps = 20
	s.say(harness.ToolCallWithToken("1", `"token"`, "progress", fmt.Sprintf(`{"steps":%d,"everyMs":1,"tag":"ws"}`, steps)))
	var messages []harness.Message
	for range steps + 1 {
		messages = append(messages, s.next())
	}
	wantSteps(t, messages, "ws", steps)

	const roots = `{"roots":[{"uri":"file:///9007199254740993"}]}`
	s.say(harness.ToolCall("2", "ask", `{"method":"roots/list"}`))
	question := s.next()
	s.say(harness.Reply(string(question.ID), roots))
	if answer := s.next(); question.Method != "roots/list" || !strings.Contains(answer.Structured(t), roots) {
		t.Errorf("asked %s, and the server got %s", question.Raw, answer.Raw)
	}

	s.say("this is no message")
	if m := s.next(); m.Code() != notJSON || m.ID != nil {
		t.Errorf("what is no message is answered by %s", m.Raw)
	}
	s.alive()
}

// TestWebSocketResume: a connection that is lost is no goodbye. The call goes
// on, and what the client has missed is sent again, once and in order.
func TestWebSocketResume(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := openSocket(t, g, nil)
	const steps = 60
	s.say(harness.ToolCallWithToken("1", "1", "progress", fmt.Sprintf(`{"steps":%d,"everyMs":10,"tag":"long"}`, steps)))
	var messages []harness.Message
	for len(messages) < steps+1 {
		messages = append(messages, s.next())
		if n := len(messages); n == 10 || n == 30 {
			_ = s.NetConn().Close()
			s.resume(g, s.count)
		}
	}
	wantSteps(t, messages, "long", steps)
	old := s.Conn
	s.resume(g, s.count)
	taken := &socket{Conn: old, t: t}
	taken.wantClose(websocket.ClosePolicyViolation)
	s.alive()
}

// TestWebSocketEnd: with the client's goodbye the session ends, and its server
// with it.
func TestWebSocketEnd(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t)
	for _, code := range []int{websocket.CloseNormalClosure, websocket.CloseGoingAway} {
		s := openSocket(t, g, nil)
		s.say(harness.ToolCall("1", "pid", `{}`))
		var server struct{ Pid int }
		s.next().Into(t, &server)
		s.goodbye(code)
		harness.Eventually(t, "the server has ended", func() bool { return !harness.Alive(server.Pid) })
		if _, resp, err := dialSocket(g, "/ws", http.Header{"Mcp-Session-Id": {s.session}}); err == nil || resp.StatusCode != 404 {
			t.Errorf("the session lives on after %d: %v", code, resp)
		}
	}
	t.Run("idle", func(t *testing.T) {
		g := gate(t, "--idle-timeout", "1s")
		s := openSocket(t, g, nil)
		_ = s.NetConn().Close()
		harness.Eventually(t, "no session is left", func() bool { return g.Metric(t, "sidegate_sessions") == 0 })
	})
}

// TestWebSocketTooLarge: the connection ends as soon as it is clear, and the
// session can go on.
func TestWebSocketTooLarge(t *testing.T) {
	t.Parallel()
	g := gate(t, "--max-message", "64KiB")
	s := openSocket(t, g, nil)
	text := strings.Repeat("x", 64<<10+1)
	_ = s.WriteMessage(websocket.TextMessage, []byte(text)) // the gate may be quicker than the whole of it
	s.wantClose(websocket.CloseMessageTooBig)
	s.resume(g, s.count)
	s.alive()
	w, err := s.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // the library makes frames of 4 KiB
		if _, err := io.WriteString(w, text[:4<<10]); err != nil {
			break
		}
	}
	s.wantClose(websocket.CloseMessageTooBig)
}

// TestWebSocketDrain: calls are answered, then the gate says that it goes away.
func TestWebSocketDrain(t *testing.T) {
	t.Parallel()
	g := gate(t, "--grace", "40s")
	s, mute := openSocket(t, g, nil), openSocket(t, g, nil)
	s.say(harness.ToolCall("1", "sleep", `{"ms":1000}`))
	waitForCalls(t, g, 1)
	g.Signal(syscall.SIGTERM)
	if m := s.next(); string(m.ID) != "1" || m.Error != nil {
		t.Errorf("the call was answered by %s", m.Raw)
	}
	s.wantClose(websocket.CloseGoingAway)
	if code := g.Wait(t); code != 0 { // mute has not answered the goodbye
		t.Errorf("the gate ended with code %d", code)
	}
	mute.wantClose(websocket.CloseGoingAway)
}
