package drive

import "time"

// A Companion is bad company for other clients: a connection that takes a
// server's time or memory without meaning to.
type Companion struct{ conn *conn }

// Leave ends it.
func (c *Companion) Leave() { c.conn.Close() }

// DeadClient sends half of a request and never the rest.
func DeadClient(d Door) (*Companion, error) {
	c, err := dial(d.Addr)
	if err != nil {
		return nil, err
	}
	request := d.post("", "", opening)
	_, err = c.Write(request[:len(request)-20])
	return &Companion{c}, err
}

// SlowReader opens a session, asks for a result that is larger than what
// sockets hold, and reads none of it.
func SlowReader(d Door, args string) (*Companion, error) {
	c, err := dial(d.Addr)
	if err != nil {
		return nil, err
	}
	caller := &Caller{door: d, number: callers.Add(1), conn: c}
	c.SetDeadline(time.Now().Add(patience))
	if err := caller.open(); err != nil {
		c.Close()
		return nil, err
	}
	caller.Do(Work{Tool: "big", Args: args})
	_, err = c.Write(caller.message.bytes)
	return &Companion{c}, err
}

// Waiting opens a session and makes a call to which no answer comes.
func Waiting(d Door, tool string) (*Companion, error) {
	c, err := dial(d.Addr)
	if err != nil {
		return nil, err
	}
	caller := &Caller{door: d, number: callers.Add(1), conn: c}
	if err := caller.open(); err != nil {
		c.Close()
		return nil, err
	}
	caller.Do(Work{Tool: tool, Args: "{}"})
	caller.message.mark(caller.number, 1)
	_, err = c.Write(caller.message.bytes)
	return &Companion{c}, err
}
