package legacy

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// The most that a session may be subscribed to: the gate keeps the URIs.
const (
	mostSubscriptions = 1000
	mostURI           = 4 << 10 // bytes
)

var tooMany = refusal.Subscriptions.With("a session may subscribe to %d resources at once, each with a URI of at most %d bytes", mostSubscriptions, mostURI)

const (
	// confirmation is how long a server may take to acknowledge a listen.
	confirmation = 10 * time.Second
	// A listen that has ended is opened again after a pause that doubles, and
	// is up to half as long again by chance: a server that has restarted meets
	// all its sessions.
	firstPause = time.Second
	lastPause  = time.Minute
	// soundListen is how long a listen lasts that was worth opening. Some servers
	// acknowledge each and end it at once.
	soundListen = time.Minute
)

// listening is what a place listens for: one subscriptions/listen at a time, and
// while its filter changes the next one beside it, so that nothing is missed
// between the two. The place's lock guards it.
type listening struct {
	ready   bool            // the client has said that it is initialized
	uris    map[string]bool // subscribed to; true where the server has acknowledged it
	waiting []*call         // subscriptions that no listen has been opened for
	current *listener       // acknowledged, nil for none
	next    *listener       // sent, nil for none
	dirty   bool            // the filter has changed since next was sent
	gap     bool            // the server has ended the last one: what has changed since was not told
	pause   time.Duration   // before the last attempt, 0 after one that has lasted
	retry   *time.Timer     // of that pause, nil before there was one
}

// A listener is one subscriptions/listen, and its leg (2026-07-28,
// basic/patterns/subscriptions).
type listener struct {
	link.Call
	place *place
	uris  []string // that it asks for
	waits []*call  // that are answered with its acknowledgement
	timer *time.Timer
	since time.Time // its acknowledgement
}

// initialized notes that the client can be told of changes.
func (p *place) initialized(header []byte) {
	p.mu.Lock()
	first := !p.ready
	p.ready = true
	p.header = keep(p.header, header)
	p.mu.Unlock()
	if first {
		p.listen()
	}
}

// keep is the header lines that go with what the place asks by itself: those of
// the client's last request that had any.
func keep(old, header []byte) []byte {
	header = ownLines(header)
	if len(header) == 0 || bytes.Equal(old, header) {
		return old
	}
	return bytes.Clone(header)
}

// await makes a subscription that is answered with the acknowledgement.
func (p *place) await(client *link.Call, uri string) {
	c := &call{place: p, client: client, kind: waiting, uri: uri}
	if refused := p.admit(c); refused != nil {
		client.Refuse(refused)
		return
	}
	p.mu.Lock()
	if !c.over {
		p.note(uri)
		p.waiting = append(p.waiting, c)
	}
	p.mu.Unlock()
	p.listen()
}

// note takes a resource among those that are subscribed to. p.mu is held.
func (p *place) note(uri string) {
	if _, noted := p.uris[uri]; !noted {
		p.uris[uri] = false
	}
}

// listen brings what the server is asked for in line with what is wanted.
func (p *place) listen() {
	p.mu.Lock()
	if p.next != nil {
		p.dirty = true
		p.mu.Unlock()
		return
	}
	l, old := p.renew()
	var msg *wire.Buffer
	if l != nil {
		msg = p.request(l)
		p.dirty, p.next = false, l
		l.timer = time.AfterFunc(confirmation, l.late)
	}
	p.mu.Unlock()
	desk := p.sharer.options.Desk
	if old != nil {
		desk.Leave(&old.Call)
	}
	if l == nil {
		return
	}
	if msg == nil {
		p.ended(l, refusal.Budget.AppendJSON(nil, link.GateID))
		return
	}
	var env wire.Envelope
	if err := env.Scan(msg.B); err != nil {
		panic("BUG: " + err.Error()) // it is made of what was encoded here
	}
	if refused := desk.Call(&l.Call, p.from, msg, &env); refused != nil {
		p.ended(l, refused.AppendJSON(nil, link.GateID))
		return
	}
	if !l.wanted() { // it has ended, or the place, before the desk knew it
		desk.Leave(&l.Call)
	}
}

// renew makes the next listener; where nothing is wanted it takes the old one
// out. p.mu is held.
func (p *place) renew() (l, old *listener) {
	switch {
	case p.left != nil || !p.declared.known:
		return nil, nil
	case !p.wants():
		old, p.current = p.current, nil
		return nil, old
	}
	l = &listener{place: p, waits: p.waiting}
	l.ID, l.Leg, l.Listen, l.Modern = link.GateID, l, true, true
	for _, c := range p.waiting {
		if !c.over { // an earlier listen that failed may have taken it out
			p.note(c.uri)
		}
	}
	for uri := range p.uris {
		l.uris = append(l.uris, uri)
	}
	slices.Sort(l.uris)
	p.waiting = nil
	return l, nil
}

// wants tells whether there is anything to listen for. p.mu is held.
func (p *place) wants() bool {
	d := p.declared
	return len(p.uris) > 0 || p.ready && (d.tools || d.prompts || d.resources)
}

// request writes a listener's request, nil where the budget has no room. p.mu
// is held.
func (p *place) request(l *listener) *wire.Buffer {
	d := p.declared
	wants := encode(filter{Tools: p.ready && d.tools, Prompts: p.ready && d.prompts, Resources: p.ready && d.resources, URIs: l.uris})
	size := len(wants) + len(p.meta) + 160
	msg := wire.Acquire(size)
	if !msg.Charge(p.sharer.options.Budget, int64(size)) {
		msg.Release()
		return nil
	}
	msg.Header = p.header
	msg.B = append(msg.B, `{"jsonrpc":"2.0","id":0,"method":"`+mcp.MethodListen+`","params":{"_meta":{`...)
	msg.B = append(append(append(msg.B, p.meta...), `},"notifications":`...), wants...)
	msg.B = append(msg.B, "}}"...)
	return msg
}

// wanted tells whether the place still has to do with a listener.
func (l *listener) wanted() bool {
	p := l.place
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left == nil && (p.next == l || p.current == l)
}

// late gives a listener up that was not acknowledged in time.
func (l *listener) late() {
	if !l.wanted() {
		return
	}
	why := refusal.CallTimeout.With("the tool server did not acknowledge the subscription in time; try again")
	l.place.ended(l, why.AppendJSON(nil, link.GateID))
	l.place.sharer.options.Desk.Leave(&l.Call)
}

// Send takes what comes on the listen.
func (l *listener) Send(msg *wire.Buffer) {
	p := l.place
	var env wire.Envelope
	if env.Scan(msg.B) != nil || env.Kind != wire.Notification || !l.wanted() {
		p.sharer.options.Dropped("undelivered")
		msg.Release()
		return
	}
	switch string(env.Method) {
	case mcp.MethodAcknowledged:
		f := acknowledged(msg.B, &env)
		msg.Release()
		l.acknowledge(f)
	case mcp.MethodCancelled: // how a stdio server ends a listen
		msg.Release()
		p.ended(l, refusal.EndedShared.AppendJSON(nil, link.GateID))
		p.sharer.options.Desk.Leave(&l.Call)
	default:
		l.tell(msg, &env)
	}
}

// acknowledge makes the listener the current one, and ends the one before.
func (l *listener) acknowledge(f filter) {
	p := l.place
	honoured := make(map[string]bool, len(f.URIs))
	for _, uri := range f.URIs {
		honoured[uri] = true
	}
	p.mu.Lock()
	if p.next != l {
		p.mu.Unlock()
		return
	}
	l.timer.Stop()
	old := p.current
	p.current, p.next, l.since = l, nil, time.Now()
	gap := p.gap
	p.gap = false
	f = p.both(f)
	var missed []string
	for _, uri := range l.uris {
		if before, still := p.uris[uri]; still && honoured[uri] {
			p.uris[uri] = true
			if before && gap {
				missed = append(missed, uri)
			}
		} else if still {
			delete(p.uris, uri)
		}
	}
	waits := l.waits
	l.waits, l.uris = nil, nil
	changed := p.dirty
	p.mu.Unlock()
	if old != nil {
		p.sharer.options.Desk.Leave(&old.Call)
	}
	for _, c := range waits {
		switch {
		case !p.take(c):
		case honoured[c.uri]:
			answerEmpty(c.client)
		default:
			fail(c.client, mcp.CodeInvalidParams, "the tool server does not tell of changes of this resource")
		}
	}
	if gap {
		p.missed(f, missed)
	}
	if changed {
		p.listen()
	}
}

// Reply implements link.Leg: the answer says the same.
func (l *listener) Reply(*backend.Reply) {}

// Answer takes the end of a listen: the server has ended it, or it could not be
// opened.
func (l *listener) Answer(msg *wire.Buffer, _ metrics.Outcome) {
	why := bytes.Clone(msg.B)
	msg.Release()
	l.place.ended(l, why)
}

// ended handles a listen that is over, and opens another: at once where the
// filter has changed, else after a pause. why is the answer to it.
func (p *place) ended(l *listener, why []byte) {
	var env wire.Envelope
	_ = env.Scan(why) // without an error in it, it says no more than that it is over
	p.mu.Lock()
	var waits []*call
	switch l {
	case p.next:
		l.timer.Stop()
		waits, p.next = l.waits, nil
		for _, c := range waits {
			if !p.uris[c.uri] {
				delete(p.uris, c.uri)
			}
		}
	case p.current:
		p.current = nil
		p.gap = p.next == nil // else the next one is open beside it
		if time.Since(l.since) >= soundListen {
			p.pause = 0
		}
	default:
		p.mu.Unlock()
		return
	}
	again := p.next == nil && p.dirty
	p.dirty = p.dirty && !again
	if p.next == nil && !again && p.left == nil && p.wants() && string(env.Code.Of(why)) != "-32601" {
		p.later()
	}
	p.mu.Unlock()
	for _, c := range waits {
		if p.take(c) {
			unsubscribed(c.client, why, &env)
		}
	}
	if again {
		p.listen()
	}
}

// later opens a listen after a pause. p.mu is held.
func (p *place) later() {
	p.pause = min(max(firstPause, 2*p.pause), lastPause)
	if p.retry != nil {
		p.retry.Stop()
	}
	p.retry = time.AfterFunc(p.pause+rand.N(p.pause/2), p.listen)
}

// unsubscribed answers a subscription with why its listen is over.
func unsubscribed(client *link.Call, why []byte, env *wire.Envelope) {
	if env.Error.Empty() {
		failWith(client, refusal.EndedShared, metrics.Lost)
		return
	}
	passError(client, env.Error.Of(why))
}

// stopListening leaves the server, for good: the place has been left.
func (p *place) stopListening() {
	p.mu.Lock()
	old := []*listener{p.current, p.next}
	if p.next != nil {
		p.next.timer.Stop()
	}
	p.current, p.next, p.waiting = nil, nil, nil
	if p.retry != nil {
		p.retry.Stop()
	}
	p.mu.Unlock()
	for _, l := range old {
		if l != nil {
			p.sharer.options.Desk.Leave(&l.Call)
		}
	}
}
