package cache

import (
	"container/list"
	"strconv"
	"time"

	"sidegate/proxy/link"
	"sidegate/proxy/wire"
)

// mostAge bounds how long an answer is kept, whatever its server says.
const mostAge = time.Hour

// overhead is what an entry takes beside its answer, in bytes.
const overhead = 512

// An entry is an answer that may be shared. It does not change.
type entry struct {
	key    Key
	answer []byte
	id     wire.Span     // of the answer
	ttl    time.Duration // for which the server says that it is fresh
	ttlAt  wire.Span     // where it says so, as a number of milliseconds; empty: it does not
	born   time.Time     // when it came
}

// newEntry makes an entry with a copy of an answer that has just come.
func newEntry(k Key, answer []byte, id wire.Span, ttl time.Duration, at wire.Span) *entry {
	return &entry{key: k, answer: append(make([]byte, 0, len(answer)), answer...), id: id, ttl: ttl, ttlAt: at, born: time.Now()}
}

// fresh tells whether the answer can still be given out.
func (e *entry) fresh(now time.Time) bool { return now.Sub(e.born) < min(e.ttl, mostAge) }

func (e *entry) size() int64 { return int64(len(e.answer)) + overhead }

// copyFor is the answer for a call, under its own id; nil where the budget has
// no room. A client counts the time to live from when it gets the answer
// (server/utilities/caching, "Freshness Calculation"), so it is told what is
// left of it.
func (e *entry) copyFor(c *link.Call, now time.Time, budget wire.Budget) *wire.Buffer {
	size := len(e.answer) + len(c.ID) + 20
	msg := wire.Acquire(size)
	if !msg.Charge(budget, int64(size)) {
		msg.Release()
		return nil
	}
	id := wire.Patch{At: e.id, With: c.ID}
	if e.ttlAt.Empty() {
		msg.B = wire.AppendPatched(msg.B, e.answer, id)
		return msg
	}
	var digits [20]byte
	left := wire.Patch{At: e.ttlAt, With: strconv.AppendInt(digits[:0], max(0, (e.ttl-now.Sub(e.born)).Milliseconds()), 10)}
	if e.ttlAt.Start < e.id.Start {
		id, left = left, id
	}
	msg.B = wire.AppendPatched(msg.B, e.answer, id, left)
	return msg
}

// kept is the answers that are kept, bounded in number and in bytes: the one
// that was used longest ago goes first. The store's lock guards it.
type kept struct {
	options *Options
	entries map[Key]*list.Element
	used    *list.List // of *entry, the last used first
	bytes   int64
}

func (k *kept) init(o *Options) {
	k.options, k.entries, k.used = o, make(map[Key]*list.Element), list.New()
}

// get is the answer under a key, nil where there is none that is fresh.
func (k *kept) get(key Key, now time.Time) *entry {
	at := k.entries[key]
	if at == nil {
		return nil
	}
	e := at.Value.(*entry)
	if !e.fresh(now) {
		k.drop(at)
		return nil
	}
	k.used.MoveToFront(at)
	return e
}

// put keeps an answer, if there is room for it or can be made.
func (k *kept) put(e *entry) {
	if at := k.entries[e.key]; at != nil {
		k.drop(at)
	}
	if e.size() > k.options.Bytes {
		return
	}
	for len(k.entries) >= k.options.Entries || k.bytes+e.size() > k.options.Bytes {
		k.drop(k.used.Back())
	}
	k.bytes += e.size()
	k.entries[e.key] = k.used.PushFront(e)
}

func (k *kept) drop(at *list.Element) {
	e := k.used.Remove(at).(*entry)
	delete(k.entries, e.key)
	k.bytes -= e.size()
}

// remove drops the answers that stale is true for, and returns how many.
func (k *kept) remove(stale func(Key) bool) (n int) {
	for key, at := range k.entries {
		if stale(key) {
			k.drop(at)
			n++
		}
	}
	return n
}

// memory is how long a key is remembered whose answer was not shareable.
const memory = 10 * time.Second

// alone remembers the keys whose answers were not shareable: callers who wait
// for each other's would wait for nothing. The store's lock guards it.
type alone struct {
	until map[Key]time.Time
	order []Key // the one that is forgotten first is first
}

func (a *alone) has(k Key, now time.Time) bool {
	until, ok := a.until[k]
	return ok && now.Before(until)
}

// note remembers a key, and forgets others past most.
func (a *alone) note(k Key, most int) {
	now := time.Now()
	if a.has(k, now) {
		return
	}
	a.expire(now)
	for len(a.order) >= most {
		a.pop()
	}
	a.until[k] = now.Add(memory)
	a.order = append(a.order, k)
}

func (a *alone) expire(now time.Time) {
	for len(a.order) > 0 && !now.Before(a.until[a.order[0]]) {
		a.pop()
	}
}

func (a *alone) pop() {
	delete(a.until, a.order[0])
	a.order = a.order[1:]
}
