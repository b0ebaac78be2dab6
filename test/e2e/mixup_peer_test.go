package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sidegate/test/e2e/harness"
)

// A mixPeer is one client: one session after the other through the same door.
type mixPeer struct {
	mixup   *mixup
	n       int
	answers bool // it declares sampling, elicitation and roots
	token   string
	dial    func(*mixTalk) (mixDoor, error)
	random  *rand.Rand // of live alone

	calls int // made so far, over all sessions
}

// A mixDoor is how a session's messages go to the gate. What comes back goes to
// the talk's receive.
type mixDoor interface {
	// send hands a message over. It may return before or after the answer has
	// come. An error is why there will be none.
	send(msg string) error
	// cut is the end of all connections without a word, and whatever can be done
	// to go on with the session.
	cut()
	// end ends the session, and waits until nothing more can come.
	end()
}

// errMixLeft is that the client itself has left the call.
var errMixLeft = errors.New("the client has left")

// mixRefused is what the gate has answered instead of taking a message.
type mixRefused struct {
	status int
	body   string
}

func (r mixRefused) Error() string {
	return fmt.Sprintf("status %d: %s", r.status, harness.Short(r.body))
}

// A mixTalk is one session as its client sees it.
type mixTalk struct {
	peer *mixPeer
	door mixDoor

	mu     sync.Mutex
	calls  map[string]*mixCall // by raw id, also those that are over
	tokens map[string]*mixCall // by raw token
	next   int
	over   bool           // the gate or the client has ended it
	left   bool           // the client did
	gone   chan struct{}  // closed when nothing more can come, where one connection carries all answers
	others sync.WaitGroup // answers to questions
}

// A mixCall is one call.
type mixCall struct {
	kind   string
	marker string // in all that is said for this call, and in nothing else
	id     string // raw
	token  string // raw
	steps  int    // that its progress has
	want   string // in its answer

	done    chan struct{} // closed with the answer
	answer  *harness.Message
	seen    []int // progress
	replied int   // questions
}

// live is the client's life: sessions until ctx is done.
func (p *mixPeer) live(ctx context.Context) {
	for ctx.Err() == nil {
		t := &mixTalk{peer: p, calls: map[string]*mixCall{}, tokens: map[string]*mixCall{}, gone: make(chan struct{})}
		if !t.open() {
			p.mixup.count("sessions not opened")
			sleepUntil(ctx, time.Duration(p.random.IntN(200))*time.Millisecond)
			continue
		}
		for ctx.Err() == nil && !t.isOver() && p.random.IntN(40) > 0 {
			t.step()
			sleepUntil(ctx, time.Duration(p.random.IntN(30))*time.Millisecond)
		}
		if !t.isOver() && p.random.IntN(2) == 0 {
			t.endInMidCall()
		}
		t.leave()
	}
}

func sleepUntil(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// open opens a session. The first id is a text, so that the calls count from 0.
func (t *mixTalk) open() bool {
	var err error
	if t.door, err = t.peer.dial(t); err != nil {
		t.failed("dial", err)
		return false
	}
	capabilities := `{}`
	if t.peer.answers {
		capabilities = `{"sampling":{},"elicitation":{},"roots":{}}`
	}
	c := &mixCall{kind: "initialize", id: `"first"`, done: make(chan struct{})}
	t.note(c)
	t.make(c, harness.Client{ID: c.id, Capabilities: capabilities}.InitializeBody())
	if c.answer == nil || c.answer.Error != nil {
		t.leave()
		return false
	}
	if err := t.door.send(harness.Notification("notifications/initialized", "")); err != nil {
		t.failed("initialized", err)
		t.leave()
		return false
	}
	return true
}

// leave ends the session.
func (t *mixTalk) leave() {
	t.mu.Lock()
	t.over, t.left = true, true
	t.mu.Unlock()
	t.door.end()
	t.others.Wait()
}

// step does one of the things that clients do.
func (t *mixTalk) step() {
	switch n := t.peer.random.IntN(100); {
	case n < 35:
		t.echo()
	case n < 55:
		t.progress()
	case n < 70:
		t.ask(t.peer.random.IntN(len(mixQuestions)))
	case n < 80:
		t.several()
	case n < 89:
		t.cancel()
	case n < 97:
		t.vanish()
	case n < 99:
		t.log()
	case t.peer.random.IntN(10) == 0:
		t.tool(t.call("exit", 0), "exit", `{"code":3}`)
	}
}

// call makes a call's names: ids and tokens count from 0 in each session, in
// every form that there is.
func (t *mixTalk) call(kind string, steps int) *mixCall {
	t.mu.Lock()
	n := t.next
	t.next++
	t.peer.calls++
	c := &mixCall{kind: kind, steps: steps, done: make(chan struct{}), marker: fmt.Sprintf("mix%dx%d.", t.peer.n, t.peer.calls)}
	c.want = c.marker
	t.mu.Unlock()
	forms := []func(int) string{
		strconv.Itoa,
		func(n int) string { return strconv.Quote(strconv.Itoa(n)) },
		func(n int) string { return strconv.Itoa(9007199254740993 + n) },
	}
	c.id, c.token = forms[n%3](n), forms[(n/3)%3](n)
	t.note(c)
	return c
}

// note makes the call known to receive.
func (t *mixTalk) note(c *mixCall) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[c.id] = c
	if c.token != "" {
		t.tokens[c.token] = c
	}
}

// tool calls a tool and waits for the end of the call.
func (t *mixTalk) tool(c *mixCall, tool, arguments string) {
	t.make(c, harness.ToolCallWithToken(c.id, c.token, tool, arguments))
}

// make sends a call and waits until it has ended, in one way or the other.
func (t *mixTalk) make(c *mixCall, body string) {
	m := t.peer.mixup
	if err := t.door.send(body); err != nil {
		t.failed(c.kind, err)
		return
	}
	patience := time.NewTimer(harness.Patience)
	defer patience.Stop()
	select {
	case <-c.done:
	case <-t.gone:
	case <-patience.C:
	}
	t.mu.Lock()
	answer, left := c.answer, t.left
	t.mu.Unlock()
	switch {
	case answer != nil:
		t.check(c)
	case left:
		m.count(c.kind + ": left")
	default:
		m.fail("%s: %s with id %s has no answer", c.marker, c.kind, c.id)
	}
}

// failed notes a message that the gate has not taken.
func (t *mixTalk) failed(what string, err error) {
	m := t.peer.mixup
	var refused mixRefused
	switch {
	case errors.Is(err, errMixLeft):
		m.count(what + ": left")
	case !errors.As(err, &refused):
		m.fail("client %d: %s: %v", t.peer.n, what, err)
		t.setOver()
	default:
		m.count(fmt.Sprintf("%s: status %d", what, refused.status))
		switch {
		case refused.status == 404:
			t.setOver()
		case refused.status == 503 || refused.status == 408 && what == "cancel":
		default:
			m.fail("client %d: %s: %v", t.peer.n, what, err)
		}
	}
}

// The codes of the gate that calls may end with here: the link has died, there
// is no link free, the session has ended, the call took too long.
var mixCodes = []int{404, 408, 502, 503, 504}

// check checks a call that was answered.
func (t *mixTalk) check(c *mixCall) {
	m := t.peer.mixup
	t.mu.Lock()
	answer, seen := c.answer, slices.Clone(c.seen)
	t.mu.Unlock()
	if answer.Error != nil {
		m.count(fmt.Sprintf("%s: error %d", c.kind, answer.Code()))
		if !slices.Contains(mixCodes, answer.Code()) {
			m.fail("%s: %s ended with %s", c.marker, c.kind, harness.Short(answer.Raw))
		}
		return
	}
	m.count(c.kind + ": answered")
	if !strings.Contains(answer.Raw, c.want) {
		m.fail("%s: %s got the answer %s", c.marker, c.kind, harness.Short(answer.Raw))
	}
	if c.kind != "cancel" && len(seen) != c.steps {
		m.fail("%s: %s was answered after steps %v of %d", c.marker, c.kind, seen, c.steps)
	}
}

func (t *mixTalk) echo() {
	c := t.call("echo", 0)
	t.tool(c, "echo", fmt.Sprintf(`{"marker":%q}`, c.marker))
}

// stepping are the arguments of tool progress.
func (c *mixCall) stepping(everyMs int) string {
	return fmt.Sprintf(`{"tag":%q,"steps":%d,"everyMs":%d}`, c.marker, c.steps, everyMs)
}

func (t *mixTalk) progress() {
	c := t.call("progress", 1+t.peer.random.IntN(6))
	t.tool(c, "progress", c.stepping(t.peer.random.IntN(10)))
}

func (t *mixTalk) log() {
	c := t.call("log", 0)
	c.want = "" // the tool says it on its way
	t.tool(c, "log", fmt.Sprintf(`{"text":%q,"count":3}`, c.marker))
}

// mixQuestions are what a server may ask, with the marker in it.
var mixQuestions = []string{
	`{"method":"elicitation/create","params":{"message":%q,"requestedSchema":{"type":"object","properties":{}}}}`,
	`{"method":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"text","text":%q}}],"maxTokens":1}}`,
	`{"method":"roots/list","params":{"_meta":{"marker":%q}}}`,
}

// ask has the server ask something. Who has not declared that it can be asked
// is not: the server is told so by the gate, and the tool's answer says it.
func (t *mixTalk) ask(question int) {
	kind := "ask"
	if !t.peer.answers {
		kind = "ask in vain"
	}
	c := t.call(kind, 0)
	if !t.peer.answers {
		c.want = `"code":-32601`
	}
	t.tool(c, "ask", fmt.Sprintf(mixQuestions[question], c.marker))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.peer.answers && c.answer != nil && c.answer.Error == nil && c.replied != 1 {
		t.peer.mixup.fail("%s: asked %d times", c.marker, c.replied)
	}
}

// several makes calls that overlap.
func (t *mixTalk) several() {
	var wg sync.WaitGroup
	for range 3 {
		c := t.call("several", 1+t.peer.random.IntN(4))
		arguments := c.stepping(t.peer.random.IntN(10))
		wg.Go(func() { t.tool(c, "progress", arguments) })
	}
	wg.Wait()
}

// cancel cancels a call while it runs.
func (t *mixTalk) cancel() {
	c := t.call("cancel", 50)
	after := time.Duration(t.peer.random.IntN(60)) * time.Millisecond
	arguments := c.stepping(20)
	var wg sync.WaitGroup
	wg.Go(func() { t.tool(c, "progress", arguments) })
	time.Sleep(after)
	if err := t.door.send(harness.Cancel(c.id)); err != nil {
		t.failed("cancelled", err)
	}
	wg.Wait()
}

// vanish cuts the connections while a call runs.
func (t *mixTalk) vanish() {
	c := t.call("vanish", 8)
	after := time.Duration(t.peer.random.IntN(100)) * time.Millisecond
	arguments := c.stepping(10)
	var wg sync.WaitGroup
	wg.Go(func() { t.tool(c, "progress", arguments) })
	time.Sleep(after)
	t.door.cut()
	t.peer.mixup.count("connections cut in mid-call")
	wg.Wait()
}

// endInMidCall ends the session while a call runs, which must end with it.
func (t *mixTalk) endInMidCall() {
	c := t.call("end", 50)
	arguments := c.stepping(20)
	var wg sync.WaitGroup
	wg.Go(func() { t.tool(c, "progress", arguments) })
	time.Sleep(time.Duration(t.peer.random.IntN(40)) * time.Millisecond)
	t.leave()
	t.peer.mixup.count("sessions ended in mid-call")
	wg.Wait()
}

func (t *mixTalk) setOver() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

func (t *mixTalk) isOver() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

var mixMarker = regexp.MustCompile(`mix(\d+)x\d+\.`)

// receive takes a message that the gate has sent to this session.
func (t *mixTalk) receive(raw string) {
	m := t.peer.mixup
	msg := &harness.Message{Raw: raw}
	if err := json.Unmarshal([]byte(raw), msg); err != nil {
		m.fail("client %d got no message: %v in %s", t.peer.n, err, harness.Short(raw))
		return
	}
	for _, marker := range mixMarker.FindAllStringSubmatch(raw, -1) {
		if n, _ := strconv.Atoi(marker[1]); n != t.peer.n {
			m.fail("client %d got what is for client %d: %s", t.peer.n, n, harness.Short(raw))
			return
		}
	}
	switch {
	case msg.Method == "":
		t.answered(msg)
	case msg.ID != nil:
		t.asked(msg)
	case msg.Method == "notifications/progress":
		t.progressed(msg)
	default:
		m.count(msg.Method)
	}
}

// answered takes an answer, which must be the only one to a call.
func (t *mixTalk) answered(msg *harness.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[string(msg.ID)]
	switch {
	case c == nil:
		t.peer.mixup.fail("client %d got an answer to no call: %s", t.peer.n, harness.Short(msg.Raw))
	case c.answer != nil:
		t.peer.mixup.fail("%s got a second answer: %s", c.marker, harness.Short(msg.Raw))
	default:
		c.answer = msg
		close(c.done)
	}
}

// progressed takes a progress note, which must be the next one of a call that
// is not answered yet.
func (t *mixTalk) progressed(msg *harness.Message) {
	m := t.peer.mixup
	var p struct {
		ProgressToken json.RawMessage
		Progress      int
		Message       string
	}
	if err := json.Unmarshal(msg.Params, &p); err != nil {
		m.fail("client %d got %s", t.peer.n, harness.Short(msg.Raw))
		return
	}
	m.count("progress notes")
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.tokens[string(p.ProgressToken)]
	switch {
	case c == nil || !strings.HasPrefix(p.Message, c.marker):
		m.fail("client %d got progress for no call of its own: %s", t.peer.n, harness.Short(msg.Raw))
		return
	case c.answer != nil:
		m.fail("%s got progress after its answer: %s", c.marker, harness.Short(msg.Raw))
	case p.Progress != len(c.seen)+1:
		m.fail("%s got step %d after %v", c.marker, p.Progress, c.seen)
	}
	c.seen = append(c.seen, p.Progress)
}

// asked takes a question, which must be for a call of this session that runs,
// and answers it.
func (t *mixTalk) asked(msg *harness.Message) {
	m := t.peer.mixup
	if msg.Method == "ping" {
		m.count("pings")
		t.reply(msg, `{}`)
		return
	}
	marker := mixMarker.FindString(string(msg.Params))
	t.mu.Lock()
	var found *mixCall
	for _, c := range t.calls {
		if c.kind == "ask" && c.marker == marker && c.answer == nil {
			found = c
			c.replied++
		}
	}
	t.mu.Unlock()
	if found == nil || !t.peer.answers {
		m.fail("client %d was asked for no call of its own: %s", t.peer.n, harness.Short(msg.Raw))
		return
	}
	m.count("questions answered")
	t.reply(msg, fmt.Sprintf(`{"marker":%q,"roots":[],"action":"decline"}`, marker))
}

// reply answers a question, from a goroutine of its own: the caller reads what
// the gate sends.
func (t *mixTalk) reply(msg *harness.Message, result string) {
	t.others.Go(func() {
		if err := t.door.send(harness.Reply(string(msg.ID), result)); err != nil && !t.isOver() {
			t.failed("reply", err)
		}
	})
}
