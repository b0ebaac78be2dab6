package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"

	"sidegate/test/e2e/harness"
)

// tally is what has become of the calls of one client.
type tally struct {
	sent, answered atomic.Int64
	streamed       atomic.Int64 // answers that came as event streams, after what was to come before them
	unknown        atomic.Int64 // calls that met a gate which did not know the session
	reopened       atomic.Int64 // sessions opened in place of those
	streams        atomic.Int64 // event streams that ended in good order, to be resumed
	unresumed      atomic.Int64 // of those that met a gate which did not know the session
	listens        atomic.Int64 // listens that ended with their result
	repeated       atomic.Int64 // sent again by net/http, which does so only where nothing was processed
	crossed        atomic.Int64 // likewise by a client of WebSocket: the gate's goodbye came in place of an answer
}

// each is all counts, in the order of their names above.
func (t *tally) each() []*atomic.Int64 {
	return []*atomic.Int64{
		&t.sent, &t.answered, &t.streamed, &t.unknown, &t.reopened, &t.streams, &t.unresumed, &t.listens, &t.repeated, &t.crossed,
	}
}

// A roller is a client that goes on calling while gates are replaced.
type roller interface {
	// call makes call n and checks its answer. What the client does about a
	// session that is gone is its own; an error is a call that was lost.
	call(n int) error
	self() *peer
	// settled tells whether it listens wherever it means to.
	settled() bool
	// close ends the client. An error is what went wrong beside its calls.
	close() error
}

// peer is what all kinds of client have.
type peer struct {
	tally
	name     string
	at       string        // HOST:PORT of the balancer
	restarts *atomic.Int64 // gates that were told to go, so far
	dialer   net.Dialer
	http     *http.Client
}

// init gives the client an address of its own.
func (p *peer) init(kind string, i int, at string, restarts *atomic.Int64) {
	p.name, p.at, p.restarts = fmt.Sprintf("%s-%d", kind, i), at, restarts
	p.dialer = net.Dialer{Timeout: harness.Patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(1+i/200), byte(1+i%200))}}
	p.http = p.client()
	p.http.Timeout = 2 * harness.Patience
}

// client has a connection of its own.
func (p *peer) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.dialer.DialContext, MaxIdleConnsPerHost: 1}}
}

func (p *peer) self() *peer { return p }
func (p *peer) close()      { p.http.CloseIdleConnections() }

// once counts what a restart may do to a client one time. That it happens more
// often than gates were replaced is an error.
func (p *peer) once(n *atomic.Int64, what string) error {
	if times, restarts := n.Add(1), p.restarts.Load(); times > restarts {
		return fmt.Errorf("%s: %s, for the %d. time in %d restarts", p.name, what, times, restarts)
	}
	return nil
}

const (
	streamedEach = 4 // of so many calls one is answered by an event stream
	streamSteps  = 2 // messages that come before the answer there
)

func isStreamed(n int) bool { return n%streamedEach == 0 }

// token tells a call from every other.
func (p *peer) token(n int) string { return fmt.Sprintf("%s-%d", p.name, n) }

// label is arguments by which the tool server enters the call into its ledger.
func (p *peer) label(n int) string { return fmt.Sprintf(`{"label":%q}`, p.token(n)) }

// tool is what is called by call n.
func (p *peer) tool(n int) (name, arguments string) {
	if isStreamed(n) {
		return "progress", fmt.Sprintf(`{"label":%q,"tag":%[1]q,"steps":%d,"everyMs":2}`, p.token(n), streamSteps)
	}
	return "echo", p.label(n)
}

// request is one to the balancer.
func (p *peer) request(ctx context.Context, method, body string, header ...string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.at+"/mcp", strings.NewReader(body))
	if err != nil {
		panic(err) // a test's own mistake
	}
	r.Header.Set("Accept", "text/event-stream")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// post sends a message and reads the messages of the response.
func (p *peer) post(body string, header ...string) (*http.Response, []string, error) {
	conns := 0
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { conns++ }}
	resp, err := p.http.Do(p.request(httptrace.WithClientTrace(context.Background(), trace), http.MethodPost, body, header...))
	p.repeated.Add(int64(max(0, conns-1)))
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || !isEvents(resp) {
		return resp, []string{string(answer)}, err
	}
	var messages []string
	err = harness.ReadEvents(bytes.NewReader(answer), func(e harness.Event) {
		if e.Data != "" { // the first one only says where to resume
			messages = append(messages, e.Data)
		}
	})
	return resp, messages, err
}

func isEvents(resp *http.Response) bool {
	return strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
}

// check wants the response to hold the call's own answer, and all that was to
// come before it.
func (p *peer) check(resp *http.Response, messages []string, n int) error {
	before := 0
	if isStreamed(n) {
		before = streamSteps
	}
	if resp.StatusCode != http.StatusOK || len(messages) != before+1 || before > 0 && !isEvents(resp) {
		return fmt.Errorf("%s got status %d with %q", p.token(n), resp.StatusCode, messages)
	}
	for i, m := range messages[:before] {
		if !strings.Contains(m, fmt.Sprintf(`"%s %d"`, p.token(n), i+1)) {
			return fmt.Errorf("%s: message %d on the way is %s", p.token(n), i+1, harness.Short(m))
		}
	}
	if before > 0 {
		p.streamed.Add(1)
	}
	return p.checkAnswer([]byte(messages[before]), n)
}

// checkAnswer wants the answer to be the call's own.
func (p *peer) checkAnswer(answer []byte, n int) error {
	var m struct {
		ID     int
		Result struct {
			StructuredContent struct{ Label, Tag string }
		}
	}
	err := json.Unmarshal(answer, &m)
	if said := m.Result.StructuredContent; err != nil || m.ID != n || said.Label+said.Tag != p.token(n) {
		return fmt.Errorf("%s was answered by %s", p.token(n), harness.Short(string(answer)))
	}
	return nil
}

// A watch is what a client hears beside its calls, until it is closed.
type watch struct {
	running sync.WaitGroup
	stop    context.CancelFunc // nil: nothing
	hearing atomic.Bool        // the stream is open

	mu  sync.Mutex
	err error
}

// begin does it in a goroutine of its own. An error after ctx is done is none.
func (w *watch) begin(do func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	w.running.Go(func() {
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = err
	})
}

// settled tells whether it hears what it is to hear, or never will.
func (w *watch) settled() bool { return w.stop == nil || w.hearing.Load() || w.failed() != nil }

// hear reads the stream that is a response's body to its end.
func (w *watch) hear(resp *http.Response, emit func(harness.Event)) error {
	w.hearing.Store(true)
	defer w.hearing.Store(false)
	return harness.ReadEvents(resp.Body, emit)
}

// failed is why it has ended by itself.
func (w *watch) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// end ends it and returns why it had ended before.
func (w *watch) end() error {
	if w.stop != nil {
		w.stop()
	}
	w.running.Wait()
	return w.failed()
}
