// Package mirror keeps the headers of modern requests and their bodies saying
// the same. It is a share.Desk in front of another: what came over HTTP is held
// against the tool's schema, and what goes to an HTTP server gets the header
// lines that its revision wants.
//
// For that it learns the tools of its server, from each list that passes and,
// where a tool is unknown, by asking for the list itself. It knows neither who
// stands before it nor what is behind.
// (2026-07-28, basic/transports/streamable-http, "Request Metadata")
package mirror

import (
	"bytes"
	"context"
	"sync"
	"time"

	"sidegate/proxy/headers"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

// mostWaiting bounds the calls that wait for a list at a time. Their messages
// count as bytes in flight as ever.
const mostWaiting = 1024

// Options say what the tool server is.
type Options struct {
	HTTP bool // it is spoken to over HTTP
}

// A Desk is a share.Desk. It has one goroutine while it asks for a list.
type Desk struct {
	inner share.Desk
	http  bool
	index headers.Index
	done  chan struct{} // closed with Run's end
	once  sync.Once
	work  sync.WaitGroup

	mu       sync.Mutex
	waits    map[*link.Call]*wait
	tries    map[*link.Call]*filled // calls in flight whose headers are the desk's
	asked    uint64                 // lists asked for so far
	fetching bool                   // the last of them is under way
	due      time.Time              // until then a list is not asked for because a tool is unknown
	age      uint64                 // the index's, when the last list had come
	closed   bool
}

// New makes a desk in front of inner, which Run runs, too.
func New(inner share.Desk, o Options) *Desk {
	return &Desk{
		inner: inner, http: o.HTTP, done: make(chan struct{}),
		waits: make(map[*link.Call]*wait), tries: make(map[*link.Call]*filled),
	}
}

// Call implements share.Desk. The leg of c may be exchanged for one that
// listens.
func (d *Desk) Call(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope) *refusal.Refusal {
	outer := c.Leg
	switch string(env.Method) {
	case mcp.MethodListTools:
		c.Leg = &reading{outer, d, d.index.Age()}
	case mcp.MethodListen:
		c.Leg = &hearing{outer, d}
	case mcp.MethodCallTool:
		if from.HTTP || d.http {
			return d.tool(c, from, msg, env, false)
		}
	}
	refused := d.pass(c, from, msg, env, nil)
	if refused != nil {
		c.Leg = outer
	}
	return refused
}

// tool sends the call of a tool, at once or as soon as its schema is known.
// last says that it has waited already: then what is still unknown goes on
// unchecked, and the server will say what it thinks of it.
func (d *Desk) tool(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope, last bool) *refusal.Refusal {
	params, known := d.index.Params(env.Name)
	switch {
	case !known && !last:
		if parked, refused := d.park(c, from, msg, env, false); parked || refused != nil {
			return refused
		}
	case len(params) == 0:
	case from.HTTP:
		return d.check(c, from, msg, env, params, last)
	default:
		return d.fill(c, from, msg, env, params)
	}
	return d.pass(c, from, msg, env, nil)
}

// check holds a call's headers against its arguments. What does not fit an old
// schema is judged by a new one: the tool may have changed, and nobody said so.
func (d *Desk) check(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope, params []headers.Param, last bool) *refusal.Refusal {
	wrong := headers.Check(params, env.Arguments.Of(msg.B), msg.Header)
	if wrong == nil {
		return d.pass(c, from, msg, env, nil)
	}
	if !last {
		if parked, refused := d.park(c, from, msg, env, true); parked || refused != nil {
			return refused
		}
	}
	msg.Release()
	return refusal.HeaderMismatch.With("%v; tools/list says which headers a tool asks for", wrong)
}

// fill sends a call with the headers that its tool's schema asks for. Its leg
// hears whether they were the right ones.
func (d *Desk) fill(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope, params []headers.Param) *refusal.Refusal {
	spare := wire.Acquire(len(msg.B)) // the link changes the message in place
	spare.B = append(spare.B, msg.B...)
	spare.Header = msg.Header
	f := &filled{desk: d, leg: c.Leg, call: c, from: from, spare: spare}
	c.Leg = f
	d.mu.Lock()
	d.tries[c] = f
	d.mu.Unlock()
	refused := d.pass(c, from, msg, env, params)
	if refused != nil {
		d.ended(c)
		c.Leg = f.leg
		spare.Release()
	}
	return refused
}

// pass hands a request to the desk behind, with the header lines that an HTTP
// server wants first.
func (d *Desk) pass(c *link.Call, from share.Caller, msg *wire.Buffer, env *wire.Envelope, params []headers.Param) *refusal.Refusal {
	if d.http {
		name, has := headers.Name(env.Method, env.Name, env.URI)
		if !has {
			name = headers.Task(env.Method, msg.B, env.Params)
			has = name != nil
		}
		lines := make([]byte, 0, 128+len(env.Method)+len(name)+len(msg.Header))
		lines = headers.AppendStandard(lines, env.Method, name, has && name != nil)
		lines = headers.AppendParams(lines, params, env.Arguments.Of(msg.B))
		msg.Header = append(lines, msg.Header...)
	}
	return d.inner.Call(c, from, msg, env)
}

// Leave implements share.Desk.
func (d *Desk) Leave(c *link.Call) {
	d.mu.Lock()
	w := d.waits[c]
	if w != nil && w.busy {
		w.left = true
		d.mu.Unlock()
		return
	}
	delete(d.waits, c)
	behind := c
	if f := d.tries[c]; f != nil {
		f.left = true
		if f.second != nil {
			behind = f.second
		}
	}
	d.mu.Unlock()
	if w != nil {
		w.drop()
		c.Cancelled()
		return
	}
	d.inner.Leave(behind)
}

// Run implements share.Desk. It runs the desk behind this one, too.
func (d *Desk) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, d.close)
	d.inner.Run(ctx)
	stop()
	d.close()
	d.work.Wait()
}

// close answers all calls that wait.
func (d *Desk) close() {
	d.once.Do(func() {
		d.mu.Lock()
		d.closed = true
		var waiting []*wait
		for c, w := range d.waits {
			if !w.busy {
				waiting = append(waiting, w)
				delete(d.waits, c)
			}
		}
		d.mu.Unlock()
		close(d.done)
		for _, w := range waiting {
			w.drop()
			w.call.Refuse(refusal.Draining)
		}
	})
}

// Forget forgets the tools' schemas: the server has said that its list changed.
// A desk hears that by itself where it passes.
func (d *Desk) Forget() { d.index.Forget() }

// changed tells whether a message may say that the tools have changed. It may
// say so in more than one spelling, and to forget too often costs one list.
func changed(msg []byte) bool {
	return bytes.Contains(msg, []byte("tools")) && bytes.Contains(msg, []byte("list_changed"))
}
