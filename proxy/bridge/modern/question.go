package modern

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// mostQuestions bounds those that are open on one call.
const mostQuestions = 64

// A question is a server's request that the client has not answered. The desk's
// lock guards it.
type question struct {
	from   share.Asker
	msg    *wire.Buffer // the request
	params wire.Span
	meta   wire.Span
	id     []byte // as the server has spelt it
	name   []byte // the key under which the client is asked, a JSON string
	key    string // the same, decoded
	method string
	answer *wire.Buffer // for the server, once the client has answered
}

// question notes what a server asks during a call. It takes msg over.
func (s *seat) question(from share.Asker, on *link.Call, msg *wire.Buffer, env *wire.Envelope) {
	method := string(env.Method)
	if method != mcp.MethodElicit && method != mcp.MethodSample && method != mcp.MethodRoots {
		s.refuse(refusal.Incapable, from, msg, env) // the modern revision knows no other
		return
	}
	if mode := elicitMode(msg.B, env); mode != "" && !s.id.elicits(mode) {
		s.refuse(refusal.Incapable, from, msg, env)
		s.incapable(on, elicitation+"."+mode)
		return
	}
	q := &question{from: from, msg: msg, params: env.Params, meta: env.Meta, id: bytes.Clone(env.ID.Of(msg.B)), method: method}
	d := s.desk
	d.mu.Lock()
	c := s.calls[on]
	why := refusal.Unattended
	if c != nil && !c.over && c.kept == nil {
		if why = nil; len(c.questions) >= mostQuestions {
			why = refusal.Questions
		}
	}
	if why != nil {
		d.mu.Unlock()
		s.refuse(why, from, msg, env)
		return
	}
	q.call(c.questions)
	c.questions = append(c.questions, q)
	if c.client != nil && c.asking == nil {
		c.asking = time.AfterFunc(window, c.ask)
	}
	d.mu.Unlock()
}

// elicitMode is the mode of a question that is an elicitation; "" for any other,
// and for a mode that nobody knows, which is for the client to judge.
func elicitMode(msg []byte, env *wire.Envelope) string {
	if string(env.Method) != mcp.MethodElicit {
		return ""
	}
	switch mode := wire.Find(msg, env.Params, "mode").Of(msg); string(mode) {
	case `"url"`:
		return "url"
	case `"form"`, "":
		return "form"
	}
	return ""
}

// incapable ends a call whose server asks for what its client cannot do.
func (s *seat) incapable(on *link.Call, capability string) {
	s.desk.mu.Lock()
	c := s.calls[on]
	s.desk.mu.Unlock()
	if c != nil {
		c.fail(refusal.Capability(capability))
	}
}

// refuse answers a question.
func (s *seat) refuse(why *refusal.Refusal, from share.Asker, msg *wire.Buffer, env *wire.Envelope) {
	s.desk.options.Dropped("question")
	share.Answer(from, why, env.ID.Of(msg.B))
	msg.Release()
}

// call gives the question a key that no other one has: the server's id as text.
// A number and a string can be the same text.
func (q *question) call(others []*question) {
	plain := wire.AppendPlainID(nil, q.id)
	q.key = string(plain)
	q.name = q.id
	if q.id[0] == '"' {
		q.key = string(plain[1 : len(plain)-1])
	} else {
		q.name = append(append([]byte{'"'}, q.id...), '"')
	}
	taken := func(key string) bool {
		return slices.ContainsFunc(others, func(o *question) bool { return o.key == key })
	}
	key, name := q.key, q.name
	for n := 2; taken(q.key); n++ {
		more := "#" + strconv.Itoa(n)
		q.key = key + more
		q.name = append(append(bytes.Clone(name[:len(name)-1]), more...), '"')
	}
}

// withdrawn takes a question out that its server does not ask any more. It may
// come on a link that another call of the caller's uses.
func (s *seat) withdrawn(from share.Asker, id []byte) {
	d := s.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range s.calls {
		c.questions = slices.DeleteFunc(c.questions, func(q *question) bool {
			over := q.from == from && wire.SameID(q.id, id)
			if over {
				q.msg.Release()
			}
			return over
		})
	}
}

// tooLate refuses a question that its client will not answer.
var tooLate = refusal.Cancelled.With("the call during which this was asked is over, and its client has not answered")

// unanswered tells servers that their questions will not be answered.
func unanswered(open []*question) {
	for _, q := range open {
		share.Answer(q.from, tooLate, q.id)
		q.msg.Release()
	}
}

// result is what the server is answered.
func (q *question) result(raw []byte) *wire.Buffer {
	msg := wire.Acquire(64 + len(q.id) + len(raw))
	msg.B = append(append(append(msg.B, `{"jsonrpc":"2.0","id":`...), q.id...), `,"result":`...)
	msg.B = append(append(msg.B, raw...), '}')
	return msg
}

// appendRequest appends the question as a member of inputRequests. It always has
// params, also where they may be left out (roots/list): the Go SDK's client takes
// a request without them for broken JSON.
func (q *question) appendRequest(dst []byte) []byte {
	dst = append(append(dst, q.name...), `:{"method":"`...)
	dst = append(append(dst, q.method...), '"')
	if q.params.Empty() || q.msg.B[q.params.Start] != '{' {
		return append(dst, `,"params":{}}`...)
	}
	dst = append(dst, `,"params":`...)
	dst = appendQuestion(dst, q.msg.B, q.params)
	return append(dst, '}')
}

// appendQuestion appends the params of a question, without what only a legacy
// client knows.
func appendQuestion(dst, msg []byte, params wire.Span) []byte {
	return wire.AppendObject(dst, msg, params, func(m wire.Member) []byte {
		switch string(m.Key) {
		case "task", "elicitationId":
			return nil
		case "_meta":
			return without(msg, m.Value, "progressToken")
		}
		return m.Value.Of(msg)
	}, "")
}

// without is an object without some of its members, nil where nothing is left.
// What is no object stays.
func without(msg []byte, object wire.Span, keys ...string) []byte {
	if msg[object.Start] != '{' {
		return object.Of(msg)
	}
	left := 0
	text := wire.AppendObject(nil, msg, object, func(m wire.Member) []byte {
		if slices.Contains(keys, string(m.Key)) {
			return nil
		}
		left++
		return m.Value.Of(msg)
	}, "")
	if left == 0 {
		return nil
	}
	return text
}

// inputRequired is the answer of a call that is parked (2026-07-28, schema,
// "InputRequiredResult"). The desk's lock is held.
func (c *call) inputRequired(id []byte, state string) *wire.Buffer {
	size := 256 + len(id) + len(state)
	for _, q := range c.questions {
		size += len(q.msg.B) + 64
	}
	msg := wire.Acquire(size)
	msg.B = append(append(append(msg.B, `{"jsonrpc":"2.0","id":`...), id...), `,"result":{"resultType":"input_required","inputRequests":{`...)
	for i, q := range c.questions {
		if i > 0 {
			msg.B = append(msg.B, ',')
		}
		msg.B = q.appendRequest(msg.B)
	}
	msg.B = append(append(append(msg.B, `},"requestState":"`...), state...), `"`...)
	if a := c.seat.about; a.server != nil {
		msg.B = a.appendMeta(append(msg.B, ','))
	}
	msg.B = append(msg.B, `}}`...)
	return msg
}
