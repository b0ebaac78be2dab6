package share

import (
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// subscription counts who has subscribed to what on a shared link, so that one
// client does not end what another has asked for. A first subscription and
// any further one goes to the server, which may refuse it; of the ends only
// the last one does.
func (m *member) subscription(c *link.Call, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	s, uri := m.slot, string(env.URI)
	s.subscribing.Lock()
	defer s.subscribing.Unlock()
	if string(env.Method) == mcp.MethodSubscribe {
		m.note(uri, true)
		c.Leg = &subscribing{c.Leg, m, uri}
		return m.share(c, msg, env)
	}
	if m.note(uri, false) > 0 {
		msg.Release()
		answerEmpty(c)
		return nil
	}
	return m.share(c, msg, env)
}

// note adds a subscription or takes it out, and returns how many there are to
// the resource.
func (m *member) note(uri string, on bool) int {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	s := m.slot
	if !on {
		delete(s.subscribers[uri], m)
		if len(s.subscribers[uri]) == 0 {
			delete(s.subscribers, uri)
		}
		return len(s.subscribers[uri])
	}
	if m.left != nil {
		return 0
	}
	if s.subscribers[uri] == nil {
		s.subscribers[uri] = make(map[*member]struct{})
	}
	s.subscribers[uri][m] = struct{}{}
	return len(s.subscribers[uri])
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
	uri    string
}

func (s *subscribing) Answer(msg *wire.Buffer, how metrics.Outcome) {
	if how != metrics.OK {
		s.member.note(s.uri, false)
	}
	s.Leg.Answer(msg, how)
}
