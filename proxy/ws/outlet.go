package ws

import (
	"io"
	"net"
	"sync"
	"time"
)

// A Sink takes bytes for the next write to the connection; stream.Batch is one.
type Sink interface {
	Copy(p []byte)
	Add(p []byte) // p may be kept, and stays as it is until it is written
}

// outlet is the net.Conn that the library is given. It reads from its source,
// and what is written to it goes into the sink, or waits until there is one: it
// never blocks on a write. Deadlines and the end are not the library's business.
type outlet struct {
	source io.Reader
	err    error // what the source ended with; only the reader touches it

	mu      sync.Mutex
	sink    Sink
	kept    bool   // the sink may keep what is written
	pending []byte // written while there was no sink
	limit   int    // bytes of pending; 0: none
	flooded bool   // more was written than pending may hold
}

// Read reads from the source. The source's error is noted, so that it can be
// told from what the library finds wrong.
func (o *outlet) Read(p []byte) (int, error) {
	n, err := o.source.Read(p)
	if err == nil && o.overflown() {
		err = errFlood
	}
	if err != nil {
		o.err = err
	}
	return n, err
}

func (o *outlet) overflown() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.flooded
}

// Write collects p.
func (o *outlet) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.sink != nil && o.kept:
		o.sink.Add(p)
	case o.sink != nil:
		o.sink.Copy(p)
	case o.limit > 0 && len(o.pending)+len(p) > o.limit:
		o.flooded = true
		return 0, errFlood
	default:
		o.pending = append(o.pending, p...)
	}
	return len(p), nil
}

// into lets what is written go to s from here on, after what is pending; nil:
// it waits again. kept says that it stays as it is until s is written.
func (o *outlet) into(s Sink, kept bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sink, o.kept = s, kept
	if s != nil && len(o.pending) > 0 {
		s.Copy(o.pending)
		o.pending = nil
	}
}

// take returns what is pending; it is the caller's.
func (o *outlet) take() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pending
	o.pending = nil
	return p
}

// waiting is how many bytes are pending.
func (o *outlet) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.pending)
}

// What the library does to a connection beside reading and writing.

func (o *outlet) Close() error                     { return nil }
func (o *outlet) LocalAddr() net.Addr              { return nil }
func (o *outlet) RemoteAddr() net.Addr             { return nil }
func (o *outlet) SetDeadline(time.Time) error      { return nil }
func (o *outlet) SetReadDeadline(time.Time) error  { return nil }
func (o *outlet) SetWriteDeadline(time.Time) error { return nil }
