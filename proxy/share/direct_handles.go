package share

import (
	"bytes"
	"hash/maphash"
	"maps"

	"sidegate/proxy/backend"
	"sidegate/proxy/link"
	"sidegate/proxy/metrics"
	"sidegate/proxy/wire"
)

// handles remembers which link has given out what comes back with a later
// request: the requestState of a call that wants input, and the id of a task.
// The processes of one server do not know of each other: only the one that has
// sealed a state, or runs a task, can go on with it. Over HTTP that is the
// server's own business. The desk's lock guards it.
type handles struct {
	by    map[uint64]handle // the hash of the raw handle
	order []uint64          // the one that is forgotten first is first
}

// A handle is what is known of one.
type handle struct {
	route *route
	open  bool // it is a requestState that nobody has brought back yet
}

// mostHandles bounds what is remembered of all links.
const mostHandles = 4096

var handleSeed = maphash.MakeSeed()

func (h *handles) note(raw []byte, r *route, state bool) {
	hash := maphash.Bytes(handleSeed, raw)
	if h.by == nil {
		h.by = make(map[uint64]handle)
	}
	if _, known := h.by[hash]; !known {
		if len(h.order) == mostHandles {
			h.settle(h.order[0])
			delete(h.by, h.order[0])
			h.order = h.order[1:]
		}
		h.order = append(h.order, hash)
	}
	h.settle(hash)
	h.by[hash] = handle{r, state}
	if state {
		r.asks++
	}
}

// settle makes a handle one that its link need not be kept for.
func (h *handles) settle(hash uint64) {
	if known := h.by[hash]; known.open {
		known.route.asks--
		known.open = false
		h.by[hash] = known
	}
}

// find is the link that has given the handle out, nil where that is not known
// or the link has ended.
func (h *handles) find(raw []byte) *route {
	if len(raw) == 0 || h.by == nil {
		return nil
	}
	return h.by[maphash.Bytes(handleSeed, raw)].route
}

// back is find for a request that goes on with what it brings.
func (h *handles) back(raw []byte) *route {
	r := h.find(raw)
	if r != nil {
		h.settle(maphash.Bytes(handleSeed, raw))
	}
	return r
}

// forget forgets what a link has given out that ends.
func (h *handles) forget(r *route) {
	maps.DeleteFunc(h.by, func(_ uint64, of handle) bool { return of.route == r })
}

// aboutTask tells whether a request is about a task that there is.
func aboutTask(method []byte) bool { return bytes.HasPrefix(method, []byte("tasks/")) }

// brought is the raw handle that a request brings along, nil for none.
func brought(msg []byte, env *wire.Envelope) []byte {
	if aboutTask(env.Method) {
		return wire.Find(msg, env.Params, "taskId").Of(msg)
	}
	return env.RequestState.Of(msg)
}

// learn notes what a link gives out with an answer.
func (r *route) learn(msg []byte) {
	if !bytes.Contains(msg, []byte(`requestState`)) && !bytes.Contains(msg, []byte(`taskId`)) {
		return
	}
	var env wire.Envelope
	if env.Scan(msg) != nil || env.Kind != wire.Result {
		return
	}
	key := ""
	switch string(wire.Find(msg, env.Result, "resultType").Of(msg)) {
	case `"input_required"`:
		key = "requestState"
	case `"task"`:
		key = "taskId"
	default:
		return
	}
	raw := wire.Find(msg, env.Result, key).Of(msg)
	r.desk.mu.Lock()
	defer r.desk.mu.Unlock()
	if len(raw) > 0 && !r.dead {
		r.desk.handles.note(raw, r, key == "requestState")
		r.works = r.works || key == "taskId"
	}
}

// gives tells whether an answer to such a request may hold a handle that has to
// be remembered: another link would be the wrong one for it, and this one has to
// be there for what follows. A client that declares nothing is asked nothing.
func (r *route) gives(c *link.Call, env *wire.Envelope) bool {
	if !mayAsk(env.Method) || r.link.Relates() || r.desk.options.Links < 2 && !declares(env) {
		return false
	}
	_, alone := c.Leg.(*solo) // which learns by itself
	return !alone
}

// declares tells whether the client says that it can do anything at all.
func declares(env *wire.Envelope) bool {
	return env.MetaCapabilities.End-env.MetaCapabilities.Start > len("{}")
}

// giver is the leg of a call whose answer may hold a handle.
type giver struct {
	inner link.Leg
	route *route
}

func (g *giver) Send(msg *wire.Buffer)  { g.inner.Send(msg) }
func (g *giver) Reply(r *backend.Reply) { g.inner.Reply(r) }

func (g *giver) Answer(msg *wire.Buffer, how metrics.Outcome) {
	if how == metrics.OK {
		g.route.learn(msg.B)
	}
	g.inner.Answer(msg, how)
}
