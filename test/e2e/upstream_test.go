package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"sidegate/test/e2e/harness"
)

// upstream is a tool server that listens: a small Streamable HTTP server which
// writes down what it is sent, and which a test can bend.
type upstream struct {
	Addr string

	// Serve is asked first; true means that the request is answered. It may be
	// changed while no request is under way.
	Serve func(w http.ResponseWriter, r *http.Request, m upstreamMessage) bool
	// Stateless servers give no session id.
	Stateless bool

	proceed chan struct{} // lets tool events go on, one step each

	mu       sync.Mutex
	server   *http.Server
	ended    chan struct{}
	requests []upstreamRequest
	accepted int             // connections
	sessions map[string]bool // forgotten with each restart
	opened   int
}

// upstreamRequest is one request that came.
type upstreamRequest struct {
	Method, Target, Host string
	Header               http.Header
	Body                 string
}

// upstreamMessage is the JSON-RPC message in a request's body.
type upstreamMessage struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
		Meta      struct {
			Token json.RawMessage `json:"progressToken"`
		} `json:"_meta"`
	} `json:"params"`
}

// newUpstream starts a server, which ends with the test.
func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{Addr: "127.0.0.1:0", proceed: make(chan struct{})}
	t.Cleanup(u.Stop)
	u.Start(t)
	return u
}

// URL is where the server's MCP endpoint is.
func (u *upstream) URL() string { return "http://" + u.Addr + "/mcp" }

// Start starts it, again at the same port, with all sessions forgotten. In
// between the port may for a moment be that of somebody's outgoing connection.
func (u *upstream) Start(t *testing.T) {
	t.Helper()
	var ln net.Listener
	harness.Eventually(t, "the port of the server is free", func() (free bool) {
		var err error
		ln, err = net.Listen("tcp", u.Addr)
		return err == nil
	})
	u.Addr = ln.Addr().String()
	u.startOn(ln)
}

func (u *upstream) startOn(ln net.Listener) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sessions = map[string]bool{}
	u.server = &http.Server{Handler: u, ConnState: u.connection}
	u.ended = make(chan struct{})
	go func(s *http.Server, ended chan struct{}) {
		defer close(ended)
		s.Serve(ln)
	}(u.server, u.ended)
}

// connection counts those that are made.
func (u *upstream) connection(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.accepted++
	}
}

// Accepted is how many connections were made to it.
func (u *upstream) Accepted() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.accepted
}

// Stop ends it at once.
func (u *upstream) Stop() {
	u.mu.Lock()
	server, ended := u.server, u.ended
	u.mu.Unlock()
	if server != nil {
		server.Close()
		<-ended
	}
}

// Requests are those that have come since the start, or the last Forget.
func (u *upstream) Requests() []upstreamRequest {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]upstreamRequest(nil), u.requests...)
}

// Calls are those of the requests that call a tool. Others, by which a session
// is opened and kept, may come at any time.
func (u *upstream) Calls() []upstreamRequest {
	return slices.DeleteFunc(u.Requests(), func(r upstreamRequest) bool { return !strings.Contains(r.Body, `"tools/call"`) })
}

// Passed are the requests for other paths than the MCP endpoint.
func (u *upstream) Passed() []upstreamRequest {
	return slices.DeleteFunc(u.Requests(), func(r upstreamRequest) bool { return strings.HasPrefix(r.Target, "/mcp") })
}

// Forget forgets the requests that have come.
func (u *upstream) Forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests = nil
}

// Opened is how many sessions were opened.
func (u *upstream) Opened() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.opened
}

// ServeHTTP writes a request down and serves it.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	u.requests = append(u.requests, upstreamRequest{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body)})
	u.mu.Unlock()
	var m upstreamMessage
	_ = json.Unmarshal(body, &m) // what is no message has no method
	if u.Serve != nil && u.Serve(w, r, m) {
		return
	}
	switch {
	case r.URL.Path != "/mcp":
		http.NotFound(w, r)
	case !u.knows(r, m):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"}}`)
	case r.Method == "POST":
		u.message(w, r, m)
	case r.Method == "DELETE":
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// knows tells whether the request's session is one of this life of the server.
func (u *upstream) knows(r *http.Request, m upstreamMessage) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.Stateless || m.Method == "initialize" || u.sessions[r.Header.Get("Mcp-Session-Id")]
}

// open opens a session and returns its id.
func (u *upstream) open() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.opened++
	id := fmt.Sprintf("upstream-session-%d", u.opened)
	if u.sessions == nil { // the server was started by another
		u.sessions = map[string]bool{}
	}
	u.sessions[id] = true
	return id
}

// message answers a message.
func (u *upstream) message(w http.ResponseWriter, r *http.Request, m upstreamMessage) {
	switch {
	case m.ID == nil || m.Method == "":
		w.WriteHeader(http.StatusAccepted)
	case m.Method == "initialize":
		if id := u.open(); !u.Stateless {
			w.Header().Set("Mcp-Session-Id", id)
		}
		writeJSON(w, harness.Reply(string(m.ID), `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"upstream","version":"1"}}`))
	case m.Params.Name == "events":
		u.events(w, r, m)
	case m.Method == "tools/call":
		writeJSON(w, upstreamResult(m))
	default:
		writeJSON(w, harness.Reply(string(m.ID), `{}`))
	}
}

// upstreamResult is the answer that gives a call's arguments back.
func upstreamResult(m upstreamMessage) string {
	return harness.Reply(string(m.ID), fmt.Sprintf(`{"content":[],"structuredContent":%s}`, m.Params.Arguments))
}

func writeJSON(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, body)
}

// events answers with a stream of two notes of progress and the answer, and
// waits before each but the first until the test says go on.
func (u *upstream) events(w http.ResponseWriter, r *http.Request, m upstreamMessage) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	for step := 1; step <= 3; step++ {
		if step > 1 {
			select {
			case <-u.proceed:
			case <-r.Context().Done():
				return
			}
		}
		text := upstreamResult(m)
		if step < 3 {
			text = harness.Notification("notifications/progress", fmt.Sprintf(`{"progressToken":%s,"progress":%d}`, m.Params.Meta.Token, step))
		}
		fmt.Fprintf(w, "event: message\nid: %d\ndata: %s\n\n", step, text)
		flush.Flush()
	}
}

// before starts a gate in front of the servers, each as --backend takes it.
func before(t *testing.T, backends []string, flags ...string) *harness.Gate {
	t.Helper()
	var list []string
	for _, b := range backends {
		list = append(list, "--backend", b)
	}
	return harness.Start(t, harness.Setup{Command: []string{}, Flags: append(list, flags...)})
}

// inFront starts a gate in front of one server.
func inFront(t *testing.T, u *upstream, flags ...string) *harness.Gate {
	t.Helper()
	return before(t, []string{u.URL()}, flags...)
}

// wantNowhere fails the test if text stands anywhere in what a server was sent.
func wantNowhere(t *testing.T, requests []upstreamRequest, text string) {
	t.Helper()
	for _, r := range requests {
		if all := fmt.Sprint(r); strings.Contains(all, text) {
			t.Errorf("%q reached the server, in %s", text, harness.Short(all))
		}
	}
}
