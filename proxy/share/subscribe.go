package share

import (
	"slices"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// The most that a session may be subscribed to on a shared link: the gate keeps
// the URIs.
const (
	mostSubscriptions = 1000
	mostURI           = 4 << 10 // bytes
)

// subscription counts who has subscribed to what on a shared link, so that one
// client does not end what another has asked for. A first subscription and
// any further one goes to the server, which may refuse it; of the ends only
// the last one does.
func (m *member) subscription(s *slot, c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	uri := string(env.URI)
	if uri == "" {
		return m.share(s, c, msg, env) // the server says what is wrong with it
	}
	s.subscribing.Lock()
	defer s.subscribing.Unlock()
	if string(env.Method) == mcp.MethodUnsubscribe {
		if m.forget(s, uri) > 0 {
			msg.Release()
			answerEmpty(c)
			return nil
		}
		return m.share(s, c, msg, env)
	}
	fresh, refused := m.note(s, uri)
	if refused != nil {
		msg.Release()
		return refused
	}
	if !fresh {
		return m.share(s, c, msg, env)
	}
	c.Leg = &subscribing{c.Leg, m, s, uri}
	if refused = m.share(s, c, msg, env); refused != nil {
		m.forget(s, uri)
	}
	return refused
}

// note adds a subscription, and tells whether it is one more.
func (m *member) note(s *slot, uri string) (fresh bool, refused *refusal.Refusal) {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	if _, ok := s.subscribers[uri][m]; ok {
		return false, nil
	}
	switch {
	case m.left != nil:
		return false, m.left
	case len(uri) > mostURI || m.subscribed >= mostSubscriptions:
		return false, refusal.Subscriptions.With("a session may subscribe to %d resources at once, each with a URI of at most %d bytes", mostSubscriptions, mostURI)
	case s.subscribers[uri] == nil:
		s.subscribers[uri] = make(map[*member]struct{})
	}
	s.subscribers[uri][m] = struct{}{}
	m.subscribed++
	return true, nil
}

// forget takes a subscription out, and returns how many others there are to the
// resource.
func (m *member) forget(s *slot, uri string) int {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	members := s.subscribers[uri]
	if _, ok := members[m]; ok {
		m.subscribed--
		delete(members, m)
	}
	if len(members) == 0 {
		delete(s.subscribers, uri)
	}
	return len(members)
}

// appendSubscribers adds those who have subscribed to a resource, or to one that
// it is a part of. The group's lock is held.
func (s *slot) appendSubscribers(all []*member, uri string) []*member {
	for subscribed, members := range s.subscribers {
		if !covers(subscribed, uri) {
			continue
		}
		for m := range members {
			if !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
	}
	return all
}

// unsubscribe takes a member out of all subscriptions and returns those that
// were its alone. The group's lock is held.
func (s *slot) unsubscribe(m *member) (alone []string) {
	for uri, members := range s.subscribers {
		if _, ok := members[m]; !ok {
			continue
		}
		if delete(members, m); len(members) == 0 {
			delete(s.subscribers, uri)
			alone = append(alone, uri)
		}
	}
	return alone
}

// subscribing is the leg of a subscription: one that the server refuses does
// not count.
type subscribing struct {
	link.Leg
	member *member
	slot   *slot
	uri    string
}

func (s *subscribing) Answer(msg *wire.Buffer, how metrics.Outcome) {
	if how != metrics.OK {
		s.member.forget(s.slot, s.uri)
	}
	s.Leg.Answer(msg, how)
}
