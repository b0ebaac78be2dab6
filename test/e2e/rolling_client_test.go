package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/websocket"

	"sidegate/test/e2e/harness"
)

// tally is what has become of the calls of one client.
type tally struct {
	sent, answered atomic.Int64
	unknown        atomic.Int64 // refusals: the gate does not know the session
	reopened       atomic.Int64 // sessions opened in place of those
	streams        atomic.Int64 // event streams that ended in good order, to be resumed
	repeated       atomic.Int64 // sent again by net/http, which does so only where nothing was processed
	crossed        atomic.Int64 // likewise by a client of WebSocket: the gate's goodbye came in place of an answer
}

// A roller is a client that goes on calling while gates are replaced.
type roller interface {
	// call makes call n and checks its answer. What the client does about a
	// session that is gone is its own; an error is a call that was lost.
	call(n int) error
	counts() *tally
	close()
}

// peer is what all kinds of client have.
type peer struct {
	tally
	name   string
	at     string // HOST:PORT of the balancer
	dialer net.Dialer
	http   http.Client
}

// init gives the client an address of its own.
func (p *peer) init(kind string, i int, at string) {
	p.name, p.at = fmt.Sprintf("%s-%d", kind, i), at
	p.dialer = net.Dialer{Timeout: harness.Patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(1+i/200), byte(1+i%200))}}
	p.http = http.Client{
		Timeout:   2 * harness.Patience,
		Transport: &http.Transport{DialContext: p.dialer.DialContext, MaxIdleConnsPerHost: 1},
	}
}

func (p *peer) counts() *tally { return &p.tally }
func (p *peer) close()         { p.http.CloseIdleConnections() }

// token tells the call's answer from every other.
func (p *peer) token(n int) string { return fmt.Sprintf("%s-%d", p.name, n) }

// post sends a message and reads the whole response.
func (p *peer) post(body string, header ...string) (*http.Response, []byte, error) {
	conns := 0
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { conns++ }}
	ctx := httptrace.WithClientTrace(context.Background(), trace)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.at+"/mcp", strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := p.http.Do(r)
	p.repeated.Add(int64(max(0, conns-1)))
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		err = harness.ReadEvents(bytes.NewReader(answer), func(e harness.Event) { answer = []byte(e.Data) })
	}
	return resp, answer, err
}

// check wants the answer to be the call's own.
func (p *peer) check(answer []byte, n int) error {
	var m struct {
		ID     int
		Result struct {
			StructuredContent struct{ Call string }
		}
	}
	if err := json.Unmarshal(answer, &m); err != nil || m.ID != n || m.Result.StructuredContent.Call != p.token(n) {
		return fmt.Errorf("%s call %d was answered by %s", p.name, n, harness.Short(string(answer)))
	}
	return nil
}

func (p *peer) arguments(n int) string { return fmt.Sprintf(`{"call":%q}`, p.token(n)) }

// modernRoller is a client without sessions.
type modernRoller struct{ peer }

func (m *modernRoller) call(n int) error {
	c := modernTool("echo", m.arguments(n))
	c.id = strconv.Itoa(n)
	resp, answer, err := m.post(c.body(), "MCP-Protocol-Version", modern, "Mcp-Method", c.method, "Mcp-Name", c.name)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s call %d got status %d: %s", m.name, n, resp.StatusCode, answer)
	}
	return m.check(answer, n)
}

// legacyRoller is a client with a session, and perhaps an event stream in it.
type legacyRoller struct {
	peer
	reading   sync.WaitGroup // the stream
	streaming context.Context
	stop      context.CancelFunc

	mu      sync.Mutex
	session string
	failed  error // of the stream
}

func (l *legacyRoller) call(n int) error {
	for {
		session, err := l.current("")
		if err != nil {
			return err
		}
		resp, answer, err := l.post(harness.ToolCall(strconv.Itoa(n), "echo", l.arguments(n)), "Mcp-Session-Id", session, "MCP-Protocol-Version", harness.Latest)
		switch {
		case err != nil:
			return err
		case resp.StatusCode == http.StatusNotFound:
			l.unknown.Add(1)
			if _, err := l.current(session); err != nil {
				return err
			}
		case resp.StatusCode != http.StatusOK:
			return fmt.Errorf("%s call %d got status %d: %s", l.name, n, resp.StatusCode, answer)
		default:
			return l.check(answer, n)
		}
	}
}

// current is the client's session, which is not gone. Where there is none it
// opens one.
func (l *legacyRoller) current(gone string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return "", l.failed
	}
	if l.session != gone {
		return l.session, nil
	}
	resp, answer, err := l.post(harness.Client{}.InitializeBody())
	if err != nil {
		return "", err
	}
	if l.session = resp.Header.Get("Mcp-Session-Id"); resp.StatusCode != http.StatusOK || l.session == "" {
		return "", fmt.Errorf("%s: initialize got status %d: %s", l.name, resp.StatusCode, answer)
	}
	if gone != "" {
		l.reopened.Add(1)
	}
	if resp, answer, err = l.post(harness.Notification("notifications/initialized", ""), "Mcp-Session-Id", l.session, "MCP-Protocol-Version", harness.Latest); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusNotFound { // the next call meets that 404 again
		return "", fmt.Errorf("%s: initialized got status %d: %s", l.name, resp.StatusCode, answer)
	}
	return l.session, nil
}

// listen keeps an event stream open, on connections of its own.
func (l *legacyRoller) listen() {
	l.streaming, l.stop = context.WithCancel(context.Background())
	client := &http.Client{Transport: &http.Transport{DialContext: l.dialer.DialContext, MaxIdleConnsPerHost: 1}}
	l.reading.Go(func() {
		defer client.CloseIdleConnections()
		if err := l.follow(client); err != nil && l.streaming.Err() == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.failed = err
		}
	})
}

// follow opens the stream, and resumes it when it ends, until it is told to stop.
func (l *legacyRoller) follow(client *http.Client) error {
	session, last := "", ""
	for l.streaming.Err() == nil {
		now, err := l.current("")
		if err != nil {
			return err
		}
		if now != session {
			session, last = now, ""
		}
		gone, err := l.stream(client, session, &last)
		if err != nil {
			return err
		}
		if gone {
			l.unknown.Add(1)
			if _, err := l.current(session); err != nil {
				return err
			}
		}
	}
	return nil
}

// stream reads one stream to its end, and waits as it was told to. gone is true
// where the gate does not know the session.
func (l *legacyRoller) stream(client *http.Client, session string, last *string) (gone bool, err error) {
	r, err := http.NewRequestWithContext(l.streaming, http.MethodGet, "http://"+l.at+"/mcp", nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Mcp-Session-Id", session)
	r.Header.Set("MCP-Protocol-Version", harness.Latest)
	if *last != "" {
		r.Header.Set("Last-Event-ID", *last)
	}
	resp, err := client.Do(r)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode == http.StatusNotFound {
			return true, nil
		}
		return false, fmt.Errorf("%s: the stream got status %d: %s", l.name, resp.StatusCode, body)
	}
	err = harness.ReadEvents(resp.Body, func(e harness.Event) { *last = e.ID })
	if err != nil {
		return false, fmt.Errorf("%s: the stream was cut: %w", l.name, err)
	}
	l.streams.Add(1)
	if *last == "" {
		return false, fmt.Errorf("%s: the stream has ended and did not say where to resume", l.name)
	}
	select {
	case <-time.After(time.Second): // retry, which the gate sets to that
	case <-l.streaming.Done():
	}
	return false, nil
}

func (l *legacyRoller) close() {
	if l.stop != nil {
		l.stop()
		l.reading.Wait()
	}
	l.peer.close()
}

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
		answer, err := s.ask(harness.ToolCall(strconv.Itoa(n), "echo", s.arguments(n)))
		if err != nil {
			return err
		}
		if answer != nil {
			return s.check(answer, n)
		}
		s.crossed.Add(1)
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
		s.reopened.Add(1)
	}
	if ok, err := s.dial(nil); !ok {
		return errors.Join(err, errors.New(s.name+": no new session is opened"))
	}
	answer, err := s.ask(harness.Client{}.InitializeBody())
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

func (s *socketRoller) close() {
	if s.conn != nil {
		s.hangUp()
	}
}
