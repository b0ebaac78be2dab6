package drive

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// callers numbers them, so that no two of a process have a token in common.
var callers atomic.Uint64

// A Caller makes one call after the other on a connection of its own.
type Caller struct {
	door    Door
	session string
	number  uint64
	calls   uint64
	conn    *conn
	message message
	balance Balance
}

// Work is what callers do.
type Work struct {
	Size int    // of the echo's message in bytes
	Tool string // another tool than echo
	Args string // its arguments, raw
	Want int    // and how many bytes its result has at least
}

func (w Work) body(isModern bool) string {
	if w.Tool != "" {
		return tool(w.Tool, w.Args)
	}
	return echo(isModern, w.Size)
}

// Open opens a session; a modern caller has none and is only connected.
func Open(d Door, w Work) (*Caller, error) {
	c := &Caller{door: d, number: callers.Add(1)}
	if err := c.connect(); err != nil {
		return nil, err
	}
	if !d.Modern {
		if err := c.open(); err != nil {
			c.conn.Close()
			return nil, err
		}
	}
	c.Do(w)
	return c, nil
}

// Join is another caller in the same session.
func (c *Caller) Join(w Work) (*Caller, error) {
	other := &Caller{door: c.door, session: c.session, number: callers.Add(1)}
	if err := other.connect(); err != nil {
		return nil, err
	}
	other.Do(w)
	return other, nil
}

// Do says what the caller calls from now on.
func (c *Caller) Do(w Work) {
	c.message = c.door.request(c.session, w.body(c.door.Modern))
	c.message.want = w.Want
}

func (c *Caller) connect() error {
	var err error
	c.conn, err = dial(c.door.Addr)
	return err
}

// open is what a session begins with.
func (c *Caller) open() error {
	resp, err := c.exchange(c.door.post("", "", opening))
	if err != nil {
		return err
	}
	if resp.status != 200 {
		return fmt.Errorf("initialize got status %d: %.300s", resp.status, resp.body)
	}
	if c.session = string(resp.session); c.session == "" {
		return nil // a server without sessions
	}
	resp, err = c.exchange(c.door.post(c.session, "", opened))
	if err == nil && resp.status != 202 {
		err = fmt.Errorf("initialized got status %d: %.300s", resp.status, resp.body)
	}
	return err
}

// exchange sends a request and reads the response, whose session is copied.
func (c *Caller) exchange(request []byte) (response, error) {
	var resp response
	c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(request); err != nil {
		return resp, err
	}
	if err := c.conn.head(&resp); err != nil {
		return resp, err
	}
	resp.session = append([]byte(nil), resp.session...)
	err := c.conn.rest(&resp)
	return resp, err
}

// Call makes one call and notes what became of it.
func (c *Caller) Call() Verdict {
	verdict, _, _ := c.Try()
	return verdict
}

// Try is Call for who wants to know what was not right about the answer, and
// how many further answers came with it.
func (c *Caller) Try() (verdict Verdict, twice int64, reason string) {
	c.balance.Sent++
	a := c.attempt()
	c.balance.count(a.verdict, a.reason)
	c.balance.Twice += a.twice
	return a.verdict, a.twice, a.reason
}

func (c *Caller) attempt() answer {
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return answer{verdict: Lost, reason: err.Error()}
		}
	}
	c.calls++
	c.message.mark(c.number, c.calls)
	var resp response
	if err := c.roundTrip(&resp); err != nil {
		c.drop()
		return answer{verdict: Lost, reason: err.Error()}
	}
	a := judge(&resp, &c.message)
	if resp.last {
		c.drop()
	}
	return a
}

// roundTrip sends the message and reads the response. The deadline is moved
// now and then only: it costs. A caller may be slow, so it goes by the clock
// and not by the number of calls.
func (c *Caller) roundTrip(resp *response) error {
	if now := time.Now(); now.Sub(c.conn.armed) > patience/4 {
		if err := c.conn.SetDeadline(now.Add(patience)); err != nil {
			return err
		}
		c.conn.armed = now
	}
	if _, err := c.conn.Write(c.message.bytes); err != nil {
		return err
	}
	if err := c.conn.read(resp); err != nil {
		return err
	}
	if c.conn.r != c.conn.w {
		return errors.New("there is more than the response on the connection")
	}
	return nil
}

func (c *Caller) drop() {
	c.conn.Close()
	c.conn = nil
}

// End ends the session and closes the connection.
func (c *Caller) End() {
	if c.conn == nil {
		return
	}
	if c.session != "" {
		c.exchange(c.door.end(c.session))
	}
	c.drop()
}

// Leave closes the connection, and leaves the session to the server.
func (c *Caller) Leave() {
	if c.conn != nil {
		c.drop()
	}
}
