package headers

import (
	"sync"

	"sidegate/proxy/wire"
)

// mostTools bounds an index. A server with more tools is served all the same:
// of those past the bound the index knows nothing.
const mostTools = 4096

// longestTool bounds the name of a tool that is remembered, in bytes.
const longestTool = 1 << 10

// An Index remembers which headers the tools of one server ask for. The zero
// value is empty and ready. Its methods may be called from any goroutine.
type Index struct {
	mu      sync.RWMutex
	tools   map[string][]Param
	forgets uint64
}

// Params are the headers of a tool, not to be changed; known is false where the
// index has never heard of the tool.
func (x *Index) Params(tool []byte) (params []Param, known bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	params, known = x.tools[string(tool)]
	return params, known
}

// Age changes with every Forget. Who asks for a list notes it before.
func (x *Index) Age() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.forgets
}

// Forget forgets every tool: the server has said that they changed.
func (x *Index) Forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tools = nil
	x.forgets++
}

// Learn reads the tools of an answer to tools/list, which was asked for when the
// index was of this age; one that has forgotten since learns nothing. A tool
// whose definition is invalid is known as one without headers: nobody can send
// what it asks for. msg has passed the scan, and env is what that found. It
// returns the raw nextCursor, nil on the last page, and whether it was a list at
// all.
func (x *Index) Learn(age uint64, msg []byte, env *wire.Envelope) (cursor []byte, ok bool) {
	at := wire.Find(msg, env.Result, "tools")
	if at.Empty() || msg[at.Start] != '[' {
		return nil, false
	}
	list := at.Of(msg)
	_ = wire.Elements(list, mostTools, func(tool []byte) bool { // fails on an empty list, and past the bound
		if tool[0] == '{' {
			x.learn(age, tool)
		}
		return true
	})
	cursor = wire.Find(msg, env.Result, "nextCursor").Of(msg)
	if len(cursor) < 2 || cursor[0] != '"' {
		return nil, true
	}
	return cursor, true
}

// learn reads one tool.
func (x *Index) learn(age uint64, tool []byte) {
	raw := wire.Find(tool, wire.Span{End: len(tool)}, "name").Of(tool)
	if len(raw) < 2 || len(raw) > longestTool || raw[0] != '"' {
		return
	}
	name := text(raw)
	params, err := Read(tool)
	if err != nil {
		params = nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if age != x.forgets {
		return
	}
	if x.tools == nil {
		x.tools = make(map[string][]Param)
	}
	if _, known := x.tools[name]; known || len(x.tools) < mostTools {
		x.tools[name] = params
	}
}
