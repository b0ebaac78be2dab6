package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fasthttp/websocket"

	"sidegate/test/e2e/harness"
)

// mixHTTP is for requests that nobody cuts. It keeps connections, so as not to
// use up the machine's ports.
var mixHTTP = newMixHTTP()

// newMixHTTP is a client for requests that are cut together: net/http can fail
// another request that comes over a connection on which one was cut.
func newMixHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * mixClients, DisableCompression: true}}
}

// request makes a request of this client. It ends with ctx.
func (p *mixPeer) request(ctx context.Context, method, target, body string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.mixup.gate.Addr+target, strings.NewReader(body))
	if err != nil {
		panic(err) // all parts are ours
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	for name, values := range p.header() {
		r.Header[name] = values
	}
	return r
}

func (p *mixPeer) header() http.Header {
	h := http.Header{}
	if p.token != "" {
		h.Set("Authorization", "Bearer "+p.token)
	}
	return h
}

// refused reads what the gate answers instead of what was asked for.
func refused(resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return mixRefused{resp.StatusCode, string(body)}
}

// A mixStreamable is a session over Streamable HTTP.
type mixStreamable struct {
	talk   *mixTalk
	stream sync.WaitGroup // the GET stream

	mu   sync.Mutex
	id   string // of the session
	http *http.Client
	cuts context.Context
	snip context.CancelFunc // cuts all connections that there are
}

func dialStreamable(t *mixTalk) (mixDoor, error) {
	t.peer.mixup.count("streamable: sessions")
	d := &mixStreamable{talk: t, http: newMixHTTP()}
	d.cuts, d.snip = context.WithCancel(context.Background())
	return d, nil
}

func (d *mixStreamable) request(ctx context.Context, method, body string) *http.Request {
	r := d.talk.peer.request(ctx, method, "/mcp", body)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.id != "" {
		r.Header.Set("Mcp-Session-Id", d.id)
		r.Header.Set("Mcp-Protocol-Version", harness.Latest)
	}
	return r
}

// connections makes those of now, which end with the context.
func (d *mixStreamable) connections() (context.Context, *http.Client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cuts, d.http
}

func (d *mixStreamable) send(msg string) error {
	ctx, by := d.connections()
	lastID, answered, err := d.do(by, d.request(ctx, http.MethodPost, msg))
	for err != nil && ctx.Err() != nil {
		if lastID == "" || rand.IntN(3) == 0 {
			return errMixLeft
		}
		// Who comes back gets the rest, and an answer if there was to be one.
		d.talk.peer.mixup.count("streamable: resumed")
		ctx, by = d.connections()
		r := d.request(ctx, http.MethodGet, "")
		r.Header.Set("Last-Event-Id", lastID)
		lastID, answered, err = d.do(by, r)
		var no mixRefused
		if errors.As(err, &no) && no.status == http.StatusBadRequest {
			d.talk.peer.mixup.count("streamable: not resumed, no longer held")
			return errMixLeft
		}
	}
	if err == nil && !answered {
		return errors.New("the response ended without an answer")
	}
	return err
}

// do sends a request and receives all that the response holds, up to its end.
func (d *mixStreamable) do(by *http.Client, r *http.Request) (lastID string, answered bool, err error) {
	if r.Method == http.MethodGet {
		lastID = r.Header.Get("Last-Event-Id")
	}
	resp, err := by.Do(r)
	if err != nil {
		return lastID, false, err
	}
	defer resp.Body.Close()
	if id := resp.Header.Get("Mcp-Session-Id"); id != "" {
		d.opened(id)
	}
	switch {
	case resp.StatusCode == http.StatusAccepted:
		return "", true, nil
	case resp.StatusCode != http.StatusOK:
		return "", false, refused(resp)
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream"):
		err = harness.ReadEvents(resp.Body, func(e harness.Event) {
			if e.HasID {
				lastID = e.ID
			}
			if e.Data != "" {
				answered = answered || !strings.Contains(e.Data, `"method":`) || strings.Contains(e.Data, `"result":`)
				d.talk.receive(e.Data)
			}
		})
		return lastID, answered, err
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		d.talk.receive(string(body))
	}
	return "", true, err
}

// opened notes the session's id. Every other client opens the stream for what
// the server says unasked.
func (d *mixStreamable) opened(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.id != "" {
		return
	}
	d.id = id
	if d.talk.peer.n/2%2 == 0 {
		d.stream.Go(d.listen)
	}
}

// listen keeps the stream open until the session is over.
func (d *mixStreamable) listen() {
	for !d.talk.isOver() {
		ctx, by := d.connections()
		_, _, err := d.do(by, d.request(ctx, http.MethodGet, ""))
		var no mixRefused
		if errors.As(err, &no) && no.status == http.StatusNotFound {
			return
		}
		if err != nil && ctx.Err() == nil && !d.talk.isOver() {
			d.talk.peer.mixup.fail("client %d: its stream ended: %v", d.talk.peer.n, err)
			return
		}
		if err == nil {
			time.Sleep(50 * time.Millisecond) // the session has ended, or soon will have
		}
	}
}

func (d *mixStreamable) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.snip()
	d.http.CloseIdleConnections()
	d.http = newMixHTTP()
	d.cuts, d.snip = context.WithCancel(context.Background())
}

func (d *mixStreamable) end() {
	if resp, err := mixHTTP.Do(d.request(context.Background(), http.MethodDelete, "")); err == nil {
		resp.Body.Close()
	}
	d.stream.Wait()
	d.snip()
	d.http.CloseIdleConnections()
}

// A mixSSE is a session over HTTP+SSE.
type mixSSE struct {
	talk     *mixTalk
	endpoint string
	cancel   context.CancelFunc
}

func dialSSE(t *mixTalk) (mixDoor, error) {
	ctx, cancel := context.WithCancel(context.Background())
	resp, err := newMixHTTP().Do(t.peer.request(ctx, http.MethodGet, "/sse", ""))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = refused(resp)
		resp.Body.Close()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	t.peer.mixup.count("sse: sessions")
	d := &mixSSE{talk: t, cancel: cancel}
	opened := make(chan string, 1)
	go d.read(resp.Body, opened)
	if d.endpoint = <-opened; d.endpoint == "" {
		cancel()
		return nil, errors.New("the stream did not begin with an endpoint")
	}
	return d, nil
}

func (d *mixSSE) read(body io.ReadCloser, opened chan<- string) {
	defer close(d.talk.gone)
	defer d.talk.setOver()
	defer close(opened)
	defer body.Close()
	first := true
	_ = harness.ReadEvents(body, func(e harness.Event) {
		switch {
		case first && e.Name == "endpoint":
			opened <- e.Data
		case e.Name == "message":
			d.talk.receive(e.Data)
		default:
			d.talk.peer.mixup.fail("client %d: an event %+v", d.talk.peer.n, e)
		}
		first = false
	})
}

func (d *mixSSE) send(msg string) error {
	resp, err := mixHTTP.Do(d.talk.peer.request(context.Background(), http.MethodPost, d.endpoint, msg))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return refused(resp)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// cut ends the session: nothing leads back to it.
func (d *mixSSE) cut() {
	d.talk.mu.Lock()
	d.talk.over, d.talk.left = true, true
	d.talk.mu.Unlock()
	d.end()
}

func (d *mixSSE) end() {
	d.cancel()
	<-d.talk.gone
}

// A mixWebSocket is a session over WebSocket.
type mixWebSocket struct {
	pong    chan struct{}
	talk    *mixTalk
	writing sync.Mutex
	reading sync.WaitGroup

	mu       sync.Mutex
	conn     *websocket.Conn
	id       string // of the session
	received int    // messages
}

func dialWebSocket(t *mixTalk) (mixDoor, error) {
	d := &mixWebSocket{talk: t, pong: make(chan struct{}, 1)}
	if err := d.dial(); err != nil {
		return nil, err
	}
	t.peer.mixup.count("websocket: sessions")
	return d, nil
}

// dial opens the session, or goes on with it.
func (d *mixWebSocket) dial() error {
	u := url.URL{Scheme: "ws", Host: d.talk.peer.mixup.gate.Addr, Path: "/ws"}
	header := d.talk.peer.header()
	if d.id != "" {
		header.Set("Mcp-Session-Id", d.id)
		header.Set("Last-Event-Id", strconv.Itoa(d.received))
	}
	dialer := websocket.Dialer{Subprotocols: []string{"mcp"}, HandshakeTimeout: harness.Patience}
	conn, resp, err := dialer.Dial(u.String(), header)
	if err != nil && resp != nil {
		defer resp.Body.Close()
		return refused(resp)
	}
	if err != nil {
		return err
	}
	if conn.Subprotocol() != "mcp" {
		conn.Close()
		return fmt.Errorf("the subprotocol is %q", conn.Subprotocol())
	}
	d.conn, d.id = conn, resp.Header.Get("Mcp-Session-Id")
	conn.SetPongHandler(func(string) error {
		select {
		case d.pong <- struct{}{}:
		default:
		}
		return nil
	})
	d.reading.Go(func() { d.read(conn) })
	return nil
}

func (d *mixWebSocket) read(conn *websocket.Conn) {
	for {
		kind, msg, err := conn.ReadMessage()
		d.mu.Lock()
		current := d.conn == conn
		if err == nil {
			d.received++
		}
		d.mu.Unlock()
		switch {
		case err != nil && current: // the gate has closed it
			d.over()
			return
		case err != nil:
			return
		case kind != websocket.TextMessage:
			d.talk.peer.mixup.fail("client %d: a message of kind %d", d.talk.peer.n, kind)
		default:
			d.talk.receive(string(msg))
		}
	}
}

// over says that nothing more can come.
func (d *mixWebSocket) over() {
	d.talk.mu.Lock()
	defer d.talk.mu.Unlock()
	d.talk.over = true
	select {
	case <-d.talk.gone:
	default:
		close(d.talk.gone)
	}
}

func (d *mixWebSocket) send(msg string) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	conn := d.conn
	d.mu.Unlock()
	if conn == nil {
		return errMixLeft
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(msg)); err != nil && !d.talk.isOver() {
		return err
	}
	return nil
}

// hangUp closes the connection without a word.
func (d *mixWebSocket) hangUp() {
	d.mu.Lock()
	conn := d.conn
	d.conn = nil
	d.mu.Unlock()
	if conn != nil {
		conn.NetConn().Close()
	}
	d.reading.Wait()
}

// settle waits until the gate has read what was sent: a connection that is
// closed with something unread is reset, and what is on its way is lost.
func (d *mixWebSocket) settle() {
	d.mu.Lock()
	conn := d.conn
	d.mu.Unlock()
	if conn == nil || conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(harness.Patience)) != nil {
		return
	}
	select {
	case <-d.pong:
	case <-d.talk.gone:
	case <-time.After(harness.Patience):
	}
}

// cut comes back most times; what the gate had for the client meanwhile comes
// then.
func (d *mixWebSocket) cut() {
	d.writing.Lock() // nothing may be lost in mid-send: the client does not ask whether it came
	defer d.writing.Unlock()
	d.settle()
	d.hangUp()
	err := errMixLeft
	if rand.IntN(3) > 0 {
		d.mu.Lock()
		err = d.dial()
		d.mu.Unlock()
	}
	if err == nil {
		d.talk.peer.mixup.count("websocket: resumed")
		return
	}
	d.talk.mu.Lock()
	d.talk.left = true
	d.talk.mu.Unlock()
	d.over()
	d.talk.failed("websocket: resume", err)
}

func (d *mixWebSocket) end() {
	d.mu.Lock()
	conn := d.conn
	d.mu.Unlock()
	if conn != nil {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	}
	d.hangUp()
	d.over()
}
