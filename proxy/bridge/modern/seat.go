package modern

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// A seat is a place at the tool server with those who use it: a resident's, which
// the calls of one identity share, or one that a call or a listen has to
// itself. It is the place's share.Client. The desk's lock guards what changes.
type seat struct {
	desk     *Desk
	id       identity
	resident bool
	listen   *listen // that has the seat to itself, nil for another
	place    share.Place

	about   *about        // what the server says of itself, nil before it is open
	failed  *link.Failure // why it could not be opened, nil where it could or that is not known
	waiting []func(*link.Failure)
	calls   map[*link.Call]*call // by the server's leg
	uses    int                  // who needs the seat at present
	since   time.Time            // when it was last used
	left    bool
}

// seat makes a place for an identity.
func (d *Desk) seat(id identity, resident bool, l *listen) *seat {
	s := &seat{desk: d, id: id, resident: resident, listen: l, calls: make(map[*link.Call]*call), uses: 1, since: time.Now()}
	s.place = d.options.Sharer.Join(s, id.principal, rand.Text())
	return s
}

// own makes a seat for one use and opens it. d.mu is not held.
func (d *Desk) own(id identity, l *listen) (*seat, *refusal.Refusal) {
	s := d.seat(id, false, l)
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		s.place.Leave(nil, refusal.Draining)
		return nil, refusal.Draining
	}
	d.seats[s] = struct{}{}
	d.mu.Unlock()
	s.open()
	return s, nil
}

// residence finds the seat that calls of an identity share, or makes it.
func (d *Desk) residence(id identity) (*seat, *refusal.Refusal) {
	d.mu.Lock()
	if s := d.residents[id]; s != nil {
		s.uses++
		d.mu.Unlock()
		return s, nil
	}
	var gone *seat
	if len(d.residents) >= d.options.Residents {
		gone = d.idlest()
		if gone == nil {
			d.mu.Unlock()
			return nil, refusal.Links.With("all %d kinds of client that are served at once are in use; try again later", d.options.Residents)
		}
		gone.retire()
	}
	closed := d.closed
	s := d.seat(id, true, nil) // Join only makes it
	if !closed {
		d.residents[id] = s
		d.seats[s] = struct{}{}
	}
	d.mu.Unlock()
	if gone != nil {
		gone.place.Leave(nil, refusal.SessionEnd)
	}
	if closed {
		s.place.Leave(nil, refusal.Draining)
		return nil, refusal.Draining
	}
	s.open()
	return s, nil
}

// idlest is the resident that has been unused for longest, nil if all are in
// use. d.mu is held.
func (d *Desk) idlest() (oldest *seat) {
	for _, s := range d.residents {
		if s.uses == 0 && (oldest == nil || s.since.Before(oldest.since)) {
			oldest = s
		}
	}
	return oldest
}

// sweep leaves the places that no call has used for a while.
func (d *Desk) sweep(now time.Time) {
	var gone []*seat
	d.mu.Lock()
	for _, s := range d.residents {
		if s.uses == 0 && now.Sub(s.since) >= d.options.Linger {
			s.retire()
			gone = append(gone, s)
		}
	}
	d.mu.Unlock()
	for _, s := range gone {
		s.place.Leave(nil, refusal.SessionEnd)
	}
}

// retire takes a seat out of the desk; who calls it leaves the place. It is
// false where that has been done. The desk's lock is held.
func (s *seat) retire() bool {
	if s.left {
		return false
	}
	s.left = true
	delete(s.desk.seats, s)
	if s.desk.residents[s.id] == s {
		delete(s.desk.residents, s.id)
	}
	return true
}

// leave ends a seat with what is in flight on it.
func (s *seat) leave(why *refusal.Refusal) {
	d := s.desk
	d.mu.Lock()
	ours := s.retire()
	calls := make([]*link.Call, 0, len(s.calls))
	for c := range s.calls {
		calls = append(calls, c)
	}
	d.mu.Unlock()
	if ours {
		s.place.Leave(calls, why)
	}
}

// release says that one who needed the seat does no longer.
func (s *seat) release() {
	d := s.desk
	d.mu.Lock()
	s.uses--
	s.since = time.Now()
	over := !s.resident && s.uses == 0 && s.retire()
	d.mu.Unlock()
	if over {
		s.place.Leave(nil, refusal.SessionEnd)
	}
}

// open initializes the place as a session would (2025-11-25, basic/lifecycle).
func (s *seat) open() {
	msg, env := link.NewRequest(mcp.MethodInitialize, map[string]any{
		"protocolVersion": mcp.Revision20251125,
		"capabilities":    json.RawMessage(s.id.capabilities),
		"clientInfo":      map[string]string{"name": "sidegate", "version": s.desk.options.Version},
	})
	if s.id.authorization != "" {
		msg.Header = []byte(s.id.authorization)
	}
	s.place.Open(&link.Call{ID: link.GateID, Leg: &opening{seat: s}, Opens: true}, msg, env)
}

// whenOpen calls then when the place is open, or with why it is not: at once
// where that is known.
func (s *seat) whenOpen(then func(*link.Failure)) {
	d := s.desk
	d.mu.Lock()
	if s.about == nil && !s.left {
		s.waiting = append(s.waiting, then)
		d.mu.Unlock()
		return
	}
	failed := s.failed
	if s.about == nil && failed == nil {
		failed = &link.Failure{Refused: refusal.EndedShared}
	}
	d.mu.Unlock()
	then(failed)
}

// opened notes what came of the initialize. A level is told before the first
// call comes.
func (s *seat) opened(a *about, failed *link.Failure) {
	if failed != nil || s.id.level == "" || !a.logging {
		s.ready(a, failed)
		return
	}
	msg, env := link.NewRequest(mcp.MethodSetLevel, map[string]string{"level": s.id.level})
	if refused := s.place.Call(&link.Call{ID: link.GateID, Leg: told{then: func() { s.ready(a, nil) }}}, msg, env); refused != nil {
		s.ready(nil, &link.Failure{Refused: refused})
	}
}

// ready lets those go on who wait for the place. One that could not be opened
// is given up: the next call tries again.
func (s *seat) ready(a *about, failed *link.Failure) {
	d := s.desk
	d.mu.Lock()
	waiting := s.waiting
	s.about, s.failed, s.waiting = a, failed, nil
	leaves := failed != nil && s.retire()
	d.mu.Unlock()
	for _, then := range waiting {
		then(failed)
	}
	if leaves {
		s.place.Leave(nil, refusal.SessionEnd)
	}
}

// opening is the leg of a seat's initialize.
type opening struct {
	seat  *seat
	reply *backend.Reply
}

func (o *opening) Send(msg *wire.Buffer) { msg.Release() }

func (o *opening) Reply(r *backend.Reply) { o.reply = copyReply(r) }

func (o *opening) Answer(msg *wire.Buffer, how metrics.Outcome) {
	var env wire.Envelope
	err := env.Scan(msg.B)
	var a *about
	var failed *link.Failure
	switch {
	case err == nil && env.Kind == wire.Result:
		a = o.seat.desk.introduced(env.Result.Of(msg.B))
	case err != nil || how == metrics.OK:
		failed = &link.Failure{Refused: refusal.ServerJSON}
	default:
		failed = &link.Failure{Reply: o.reply, Answer: bytes.Clone(msg.B), ID: env.ID, How: how}
	}
	msg.Release()
	o.seat.opened(a, failed)
}

// copyReply keeps a reply, nil for one that says nothing.
func copyReply(r *backend.Reply) *backend.Reply {
	if r.Status == backend.StatusOK && len(r.Header) == 0 {
		return nil
	}
	c := *r
	c.Header, c.Body = bytes.Clone(r.Header), bytes.Clone(r.Body)
	return &c
}

// told is the leg of a request of the gate's own that is waited for, whatever
// the answer.
type told struct {
	link.Mute
	then func()
}

// Answer goes on.
func (t told) Answer(msg *wire.Buffer, _ metrics.Outcome) {
	msg.Release()
	t.then()
}

// Unasked implements share.Client.
func (s *seat) Unasked(from share.Asker, on *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	if env.Kind == wire.Request {
		s.question(from, on, msg, env)
		return
	}
	switch string(env.Method) {
	case mcp.MethodCancelled:
		s.withdrawn(from, env.RequestID.Of(msg.B))
		msg.Release()
	case mcp.MethodMessage:
		s.logged(on, msg)
	case mcp.MethodToolsChanged, mcp.MethodPromptsChanged, mcp.MethodResourcesChanged, mcp.MethodResourceUpdated:
		if s.listen != nil {
			s.listen.hear(msg, env)
		}
		msg.Release()
	default: // of a question that is over, or of nothing that a modern client knows
		msg.Release()
	}
}

// logged gives a log message to the call that it belongs to (2026-07-28,
// server/utilities/logging: none without a level in the request).
func (s *seat) logged(on *link.Call, msg *wire.Buffer) {
	d := s.desk
	d.mu.Lock()
	var to *link.Call
	if c := s.calls[on]; c != nil && s.id.level != "" {
		to = c.client
	}
	d.mu.Unlock()
	if to == nil {
		msg.Release()
		return
	}
	to.Leg.Send(msg)
}

// Settle implements share.Client.
func (s *seat) Settle(from share.Asker) (open []share.Open) {
	d := s.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range s.calls {
		c.questions = slices.DeleteFunc(c.questions, func(q *question) bool {
			if q.from != from {
				return false
			}
			open = append(open, share.Open{ID: q.id, Roots: q.method == mcp.MethodRoots})
			q.msg.Release()
			return true
		})
	}
	return open
}

// Unable implements share.Unable: a call ends whose server asks for what its
// client cannot do (2026-07-28, basic, "Error Codes").
func (s *seat) Unable(on *link.Link, capability string) {
	d := s.desk
	d.mu.Lock()
	var its *call
	for c, found := range s.calls {
		if c.Link() == on {
			its = found
		}
	}
	d.mu.Unlock()
	if its != nil {
		its.fail(refusal.Capability(capability))
	}
}

// Lost implements share.Client: nothing of the place is left.
func (s *seat) Lost() { s.leave(refusal.EndedShared) }

var (
	_ share.Client = (*seat)(nil)
	_ share.Unable = (*seat)(nil)
)
