package modern

import (
	"bytes"
	"encoding/json"
	"slices"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

const (
	mostSubscriptions = 1000    // resources of one listen
	mostURI           = 4 << 10 // bytes
	mostEarly         = 64      // notifications that wait for the acknowledgement
	subscribeAtOnce   = 16      // requests to the server
)

// A filter is what a listen wants to hear.
type filter struct {
	Tools     bool     `json:"toolsListChanged,omitempty"`
	Prompts   bool     `json:"promptsListChanged,omitempty"`
	Resources bool     `json:"resourcesListChanged,omitempty"`
	URIs      []string `json:"resourceSubscriptions,omitempty"`
}

// A listen is a subscriptions/listen with a place to itself (2026-07-28,
// basic/patterns/subscriptions). The desk's lock guards what changes.
type listen struct {
	desk   *Desk
	seat   *seat
	client *link.Call
	wants  filter

	over   bool
	acking bool           // the acknowledgement is on its way
	acked  bool           // it has been sent, and what was heard before
	early  []*wire.Buffer // heard before the acknowledgement
	next   int            // URI to subscribe to
	open   int            // subscriptions that wait for their answer
	busy   bool           // somebody is subscribing
	good   []bool         // by URI: the server has taken the subscription
}

// listen opens a listen. msg stays the caller's.
func (d *Desk) listen(client *link.Call, who who, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	l := &listen{desk: d, client: client}
	var params struct {
		Notifications *filter `json:"notifications"`
	}
	if json.Unmarshal(env.Params.Of(msg.B), &params) != nil || params.Notifications == nil {
		return badFilter
	}
	l.wants = *params.Notifications
	slices.Sort(l.wants.URIs)
	l.wants.URIs = slices.Compact(l.wants.URIs)
	if len(l.wants.URIs) > mostSubscriptions || slices.ContainsFunc(l.wants.URIs, func(uri string) bool { return len(uri) > mostURI }) {
		return refusal.Subscriptions.With("one listen may subscribe to %d resources, each with a URI of at most %d bytes", mostSubscriptions, mostURI)
	}
	d.mu.Lock()
	refused := d.admit(client, l)
	d.mu.Unlock()
	if refused != nil {
		return refused
	}
	s := d.seat(who.identity, false, l)
	d.mu.Lock()
	l.seat = s
	gone := l.over || d.closed
	if !gone {
		d.seats[s] = struct{}{}
	}
	d.mu.Unlock()
	if gone { // its client has left already, and has its answer
		s.place.Leave(nil, refusal.Draining)
		return nil
	}
	s.open()
	s.whenOpen(l.begin)
	return nil
}

var badFilter = refusal.Meta.With("params.notifications must be an object: toolsListChanged, promptsListChanged and resourcesListChanged are booleans, resourceSubscriptions is an array of URIs")

// begin is called when the place is open: what the server cannot tell of is left
// out.
func (l *listen) begin(failed *link.Failure) {
	d := l.desk
	d.mu.Lock()
	if failed != nil {
		waits := d.detach(l.client)
		l.over = true
		d.mu.Unlock()
		l.seat.release()
		if waits {
			failed.Tell(l.client)
		}
		return
	}
	a := l.seat.about
	l.wants.Tools = l.wants.Tools && a.tools
	l.wants.Prompts = l.wants.Prompts && a.prompts
	l.wants.Resources = l.wants.Resources && a.resources
	if !a.subscribe {
		l.wants.URIs = nil
	}
	l.good = make([]bool, len(l.wants.URIs))
	d.mu.Unlock()
	l.subscribe()
}

// subscribe goes on with the subscriptions, a few at a time, and acknowledges
// when the last was answered. It may be called while it runs, by answers that
// come at once: then the one that runs goes on.
func (l *listen) subscribe() {
	d := l.desk
	d.mu.Lock()
	if l.busy {
		d.mu.Unlock()
		return
	}
	l.busy = true
	for !l.over && l.next < len(l.good) && l.open < subscribeAtOnce {
		i := l.next
		l.next++
		l.open++
		d.mu.Unlock()
		l.subscribeTo(i)
		d.mu.Lock()
	}
	l.busy = false
	done := !l.over && !l.acking && l.open == 0 && l.next == len(l.good)
	l.acking = l.acking || done
	d.mu.Unlock()
	if done {
		l.acknowledge()
	}
}

// subscribeTo subscribes to one resource.
func (l *listen) subscribeTo(i int) {
	msg, env := link.NewRequest(mcp.MethodSubscribe, map[string]string{"uri": l.wants.URIs[i]})
	if l.seat.id.authorization != "" {
		msg.Header = []byte(l.seat.id.authorization)
	}
	leg := &subscribing{listen: l, index: i}
	if refused := l.seat.place.Call(&link.Call{ID: link.GateID, Leg: leg}, msg, env); refused != nil {
		leg.over(false)
	}
}

// subscribing is the leg of a subscription.
type subscribing struct {
	link.Mute
	listen *listen
	index  int
}

// Answer notes whether the server has taken it.
func (s *subscribing) Answer(msg *wire.Buffer, how metrics.Outcome) {
	msg.Release()
	s.over(how == metrics.OK)
	s.listen.subscribe()
}

func (s *subscribing) over(good bool) {
	l := s.listen
	l.desk.mu.Lock()
	defer l.desk.mu.Unlock()
	l.open--
	l.good[s.index] = good
}

// acknowledge says what will be heard, before all else; then what has been
// heard meanwhile.
func (l *listen) acknowledge() {
	d := l.desk
	d.mu.Lock()
	var taken []string
	for i, uri := range l.wants.URIs {
		if l.good[i] {
			taken = append(taken, uri)
		}
	}
	l.wants.URIs = taken
	text, err := json.Marshal(l.wants)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	d.mu.Unlock()
	msg := wire.Acquire(256 + len(text) + len(l.client.ID))
	b := append(msg.B, `{"jsonrpc":"2.0","method":"`+mcp.MethodAcknowledged+`","params":{"_meta":{"`+mcp.MetaSubscriptionID+`":`...)
	b = append(append(append(b, l.client.ID...), `},"notifications":`...), text...)
	msg.B = append(b, `}}`...)
	l.client.Leg.Send(msg)
	for {
		d.mu.Lock()
		early := l.early
		l.early = nil
		l.acked = len(early) == 0
		over := l.over
		d.mu.Unlock()
		for _, msg := range early {
			if over {
				msg.Release()
			} else {
				l.client.Leg.Send(msg)
			}
		}
		if len(early) == 0 {
			return
		}
	}
}

// hear passes a notification on, if it was asked for. msg stays the caller's.
func (l *listen) hear(msg *wire.Buffer, env *wire.Envelope) {
	d := l.desk
	d.mu.Lock()
	wanted := !l.over && l.wants.has(string(env.Method))
	d.mu.Unlock()
	if !wanted {
		return
	}
	own := marked(msg.B, env, l.client.ID)
	if !own.Charge(d.options.Budget, int64(len(own.B))) {
		d.options.Dropped("undelivered")
		own.Release()
		return
	}
	d.mu.Lock()
	if !l.acked && !l.over {
		if len(l.early) < mostEarly {
			l.early, own = append(l.early, own), nil
		}
		d.mu.Unlock()
		if own != nil {
			d.options.Dropped("undelivered")
			own.Release()
		}
		return
	}
	over := l.over
	d.mu.Unlock()
	if over {
		own.Release()
		return
	}
	l.client.Leg.Send(own)
}

// has tells whether a kind of notification was asked for. What is updated the
// place knows.
func (f *filter) has(method string) bool {
	switch method {
	case mcp.MethodToolsChanged:
		return f.Tools
	case mcp.MethodPromptsChanged:
		return f.Prompts
	case mcp.MethodResourcesChanged:
		return f.Resources
	case mcp.MethodResourceUpdated:
		return len(f.URIs) > 0
	}
	return false
}

// marked is a notification with the listen that it belongs to.
func marked(text []byte, env *wire.Envelope, id []byte) *wire.Buffer {
	member := `"` + mcp.MetaSubscriptionID + `":` + string(id)
	msg := wire.Acquire(len(text) + len(member) + 64)
	b := append(append(append(msg.B, `{"jsonrpc":"2.0","method":"`...), env.Method...), `","params":`...)
	meta := false
	params := wire.AppendObject(nil, text, objectAt(text, env.Params), func(m wire.Member) []byte {
		if string(m.Key) != "_meta" || text[m.Value.Start] != '{' {
			return m.Value.Of(text)
		}
		meta = true
		return wire.AppendObject(nil, text, m.Value, func(m wire.Member) []byte {
			if string(m.Key) == mcp.MetaSubscriptionID {
				return nil
			}
			return m.Value.Of(text)
		}, member)
	}, "")
	if !meta {
		params = params[:len(params)-1]
		if len(bytes.TrimSpace(params)) > 1 {
			params = append(params, ',')
		}
		params = append(append(append(params, `"_meta":{`...), member...), `}}`...)
	}
	msg.B = append(append(b, params...), '}')
	return msg
}

// objectAt is the span, if an object is there.
func objectAt(text []byte, at wire.Span) wire.Span {
	if at.Empty() || text[at.Start] != '{' {
		return wire.Span{}
	}
	return at
}

// leave implements leaver.
func (l *listen) leave(client *link.Call) { l.end(client) }

// end implements leaver: a listen that is over has a result (2026-07-28,
// basic/patterns/subscriptions, "Graceful Closure").
func (l *listen) end(client *link.Call) {
	d := l.desk
	d.mu.Lock()
	l.over = true
	early, s := l.early, l.seat
	l.early = nil
	d.mu.Unlock()
	for _, msg := range early {
		msg.Release()
	}
	if s != nil {
		s.leave(refusal.SessionEnd)
	}
	msg := wire.Acquire(160 + 2*len(client.ID))
	b := append(append(append(msg.B, `{"jsonrpc":"2.0","id":`...), client.ID...), `,"result":{"resultType":"complete","_meta":{"`+mcp.MetaSubscriptionID+`":`...)
	msg.B = append(append(b, client.ID...), `}}}`...)
	client.Leg.Answer(msg, metrics.OK)
}
