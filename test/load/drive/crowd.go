package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The kinds of streams that a crowd holds open.
const (
	GetStream = "get" // GET of Streamable HTTP
	SSE       = "sse" // HTTP+SSE of 2024-11-05
	WebSocket = "ws"
)

// A Crowd is streams that are open and say nothing: each has a session and
// counts the notifications that come.
type Crowd struct {
	streams []*held
	holding sync.WaitGroup
	got     atomic.Int64 // notifications on all streams
	cut     atomic.Int64 // streams that have ended
	last    atomic.Int64 // when the last notification came, in nanoseconds since 1970
	closing atomic.Bool
}

// held is one stream.
type held struct {
	conn *conn
	kind string
	got  atomic.Int32
}

// Gather opens n streams, several at a time.
func Gather(ctx context.Context, d Door, kind string, n int) (*Crowd, error) {
	const openers = 16
	crowd := &Crowd{streams: make([]*held, n)}
	errs := make([]error, openers)
	var next atomic.Int64
	var opening sync.WaitGroup
	for o := range openers {
		opening.Go(func() {
			post := &poster{door: d}
			defer post.close()
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				s, err := open(d, kind, post)
				if err != nil {
					errs[o] = fmt.Errorf("stream %d: %w", i+1, err)
					return
				}
				crowd.streams[i] = s
				crowd.holding.Go(func() { crowd.hold(s) })
			}
		})
	}
	opening.Wait()
	if err := errors.Join(errors.Join(errs...), ctx.Err()); err != nil {
		crowd.Close()
		return nil, err
	}
	return crowd, nil
}

// open opens one stream, with a small buffer, since there are many.
func open(d Door, kind string, post *poster) (*held, error) {
	c, err := dial(d.Addr)
	if err != nil {
		return nil, err
	}
	c.buf = make([]byte, 1<<10)
	c.SetDeadline(time.Now().Add(patience))
	switch kind {
	case GetStream:
		err = c.openGet(d)
	case SSE:
		err = c.openSSE(d, post)
	case WebSocket:
		if err = c.upgrade(d); err == nil {
			err = c.greet()
		}
	default:
		err = fmt.Errorf("there is no stream of the kind %q", kind)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return &held{conn: c, kind: kind}, nil
}

// openGet opens a session and its stream on the same connection.
func (c *conn) openGet(d Door) error {
	caller := &Caller{door: d, conn: c}
	if err := caller.open(); err != nil {
		return err
	}
	return c.openStream(d.get(d.path(), caller.session))
}

func (c *conn) openStream(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	var resp response
	if err := c.head(&resp); err != nil {
		return err
	}
	if resp.status != 200 || !resp.events || !resp.chunked {
		return fmt.Errorf("no stream: status %d", resp.status)
	}
	return nil
}

// openSSE opens a stream, and its session by what the stream says.
func (c *conn) openSSE(d Door, post *poster) error {
	if err := c.openStream(d.get("/sse", "")); err != nil {
		return err
	}
	first, err := c.event("endpoint")
	if err != nil {
		return err
	}
	var path string
	for data := range datas(first) {
		path = string(data)
	}
	if err := post.send(path, opening); err != nil {
		return err
	}
	if _, err := c.event(`"serverInfo"`); err != nil {
		return err
	}
	return post.send(path, opened)
}

// event reads chunks until one has a word in it.
func (c *conn) event(word string) ([]byte, error) {
	for {
		data, err := c.chunk()
		if err != nil {
			return nil, err
		}
		if data == nil {
			return nil, errors.New("the stream ended")
		}
		if bytes.Contains(data, []byte(word)) {
			return data, nil
		}
	}
}

var changed = []byte(`"notifications/tools/list_changed"`)

// hold counts what comes until the stream ends.
func (c *Crowd) hold(s *held) {
	for {
		var data []byte
		var err error
		if s.kind == WebSocket {
			data, err = s.conn.frame()
		} else if data, err = s.conn.chunk(); data == nil && err == nil {
			err = errors.New("the stream ended")
		}
		if err != nil {
			if !c.closing.Load() {
				c.cut.Add(1)
			}
			return
		}
		if n := bytes.Count(data, changed); n > 0 {
			c.last.Store(time.Now().UnixNano())
			s.got.Add(int32(n))
			c.got.Add(int64(n))
		}
	}
}

// Held says what a crowd has heard.
type Held struct {
	Streams int   // that were opened
	Cut     int64 // that have ended since
	Right   int   // that heard as many notifications as they should
	Less    int
	More    int
	Last    int64 // when the last one came, in nanoseconds since 1970
}

// Await waits until every stream has heard each of so many notifications, or
// the time is over, and says what was heard.
func (c *Crowd) Await(each int, while time.Duration) Held {
	deadline := time.Now().Add(while)
	for c.got.Load() < int64(each*len(c.streams)) && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	h := Held{Streams: len(c.streams), Cut: c.cut.Load(), Last: c.last.Load()}
	for _, s := range c.streams {
		switch got := int(s.got.Load()); {
		case got == each:
			h.Right++
		case got < each:
			h.Less++
		default:
			h.More++
		}
	}
	return h
}

// Close closes every stream.
func (c *Crowd) Close() {
	c.closing.Store(true)
	for _, s := range c.streams {
		if s != nil {
			s.conn.Close()
		}
	}
	c.holding.Wait()
}

// A poster sends messages on a connection of its own, one after the other.
type poster struct {
	door Door
	conn *conn
}

func (p *poster) send(path, body string) error {
	if p.conn == nil {
		c, err := dial(p.door.Addr)
		if err != nil {
			return err
		}
		p.conn = c
	}
	d := p.door
	d.Path = path
	p.conn.SetDeadline(time.Now().Add(patience))
	if _, err := p.conn.Write(d.post("", "", body)); err != nil {
		return err
	}
	var resp response
	if err := p.conn.read(&resp); err != nil {
		return err
	}
	if resp.status != 202 {
		return fmt.Errorf("status %d: %.200s", resp.status, resp.body)
	}
	return nil
}

func (p *poster) close() {
	if p.conn != nil {
		p.conn.Close()
	}
}
