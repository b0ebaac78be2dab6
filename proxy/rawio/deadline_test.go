package rawio

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// spied returns a connection, what is at its other end, and how often the runtime
// was given a deadline of it.
func spied(t *testing.T) (c *Conn, other net.Conn, given *atomic.Int32) {
	p := sockets(t, "tcp", "127.0.0.1:0")
	t.Cleanup(func() { p.in.Close(); p.out.Close() })
	c, given = p.in.(*Conn), new(atomic.Int32)
	for _, d := range []*deadline{&c.in.due, &c.out.due} {
		give := d.give
		d.give = func(at time.Time) error { given.Add(1); return give(at) }
	}
	return c, p.out.(*Conn), given
}

// TestDeadlinesAreKept: what an HTTP server does with the deadlines of a kept
// connection reaches the runtime once, and not several times a request.
func TestDeadlinesAreKept(t *testing.T) {
	c, other, given := spied(t)
	b := make([]byte, 4)
	for range 100 {
		answered := make(chan struct{})
		_ = c.SetReadDeadline(time.Now().Add(time.Minute)) // idle
		go func() {
			defer close(answered)
			time.Sleep(100 * time.Microsecond) // so that the reader waits
			_, _ = other.Write([]byte("call"))
			_, _ = io.ReadFull(other, make([]byte, 4))
		}()
		if _, err := io.ReadFull(c, b[:1]); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second)) // the request
		if _, err := io.ReadFull(c, b[1:]); err != nil {
			t.Fatal(err)
		}
		_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		_ = c.SetWriteDeadline(time.Time{})
		<-answered
	}
	if n := given.Load(); n > 1 {
		t.Errorf("100 requests gave the runtime %d deadlines", n)
	}
}

// way is a call that waits, with its deadline.
type way struct {
	due  *deadline
	set  func(time.Time) error
	call func() error
}

// waiting returns all calls of c that wait; the writes do since nobody reads.
func waiting(c *Conn, other net.Conn) map[string]way {
	large := make([]byte, most+1)
	_ = c.Conn.(*net.TCPConn).SetWriteBuffer(most) // or it makes room now and then
	_ = other.(*Conn).Conn.(*net.TCPConn).SetReadBuffer(most)
	_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		if _, err := c.Write(large[:most]); err != nil {
			break
		}
	}
	reads := func(size int) way {
		return way{&c.in.due, c.SetReadDeadline, func() error { _, err := c.Read(large[:size]); return err }}
	}
	writes := func(call func() error) way { return way{&c.out.due, c.SetWriteDeadline, call} }
	return map[string]way{
		"read":          reads(1),
		"large read":    reads(len(large)),
		"write":         writes(func() error { _, err := c.Write(large[:most]); return err }),
		"large write":   writes(func() error { _, err := c.Write(large); return err }),
		"write buffers": writes(func() error { _, err := c.WriteBuffers(&net.Buffers{large, large}); return err }),
	}
}

// TestDeadlineMoves: a call that waits does so until the deadline that was set
// last, whatever the runtime has of earlier ones.
func TestDeadlineMoves(t *testing.T) {
	const short, long, none = 20 * time.Millisecond, 60 * time.Millisecond, time.Duration(0)
	c, other, _ := spied(t)
	for name, w := range waiting(c, other) {
		for _, row := range []struct {
			given, set, meanwhile time.Duration // the runtime has given
		}{
			{given: short, set: long},
			{given: long, set: short},
			{given: none, set: short},
			{given: time.Hour, set: time.Hour, meanwhile: short},
			{given: short, set: short, meanwhile: long},
			{given: none, set: none, meanwhile: short},
			{given: time.Nanosecond, set: long}, // it is over
		} {
			until := func(d time.Duration) {
				at := time.Time{}
				if d != none {
					at = time.Now().Add(d)
				}
				if err := w.set(at); err != nil {
					t.Fatal(err)
				}
			}
			until(row.given)
			w.due.wait(true)
			w.due.rest()
			began, least := time.Now(), row.set
			until(row.set)
			ends := make(chan error, 1)
			go func() { ends <- w.call() }()
			if row.meanwhile != 0 {
				time.Sleep(5 * time.Millisecond) // it waits, or is about to: both must do
				until(row.meanwhile)
				least = row.meanwhile
			}
			if err := <-ends; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, %+v: %v", name, row, err)
			}
			if took := time.Since(began); took < least {
				t.Errorf("%s, %+v: it waited for %v only", name, row, took)
			}
		}
	}
}

// TestLongAgo: a deadline that was over before the process began ends a wait, and
// keeps calls from what they would find.
func TestLongAgo(t *testing.T) {
	c, other, _ := spied(t)
	ends := make(chan error, 1)
	go func() { _, err := c.Read(make([]byte, 1)); ends <- err }()
	time.Sleep(5 * time.Millisecond)
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-ends; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the read that waited: %v", err)
	}
	_, _ = other.Write([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the read that has something to find: %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the write: %v", err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil || b[0] != 'x' {
		t.Errorf("afterwards: %q, %v", b, err)
	}
	if _, err := c.Write(b); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestNow: what does not wait does not, knows no deadline, and gives the system's
// words.
func TestNow(t *testing.T) {
	c, other, _ := spied(t)
	_ = c.SetDeadline(time.Unix(1, 0))
	b := make([]byte, 8)
	if n, err := c.ReadNow(b); n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("nothing has come: %d, %v", n, err)
	}
	if n := c.WriteNow([]byte("hel")) + c.WriteTold([]byte("lo")); n != 5 {
		t.Errorf("%d of 5 bytes were written", n)
	}
	if _, err := io.ReadFull(other, b[:5]); err != nil || string(b[:5]) != "hello" {
		t.Errorf("%q, %v", b[:5], err)
	}
	for total := 0; ; {
		n := c.WriteNow(make([]byte, most))
		if total += n; n == 0 {
			break // it is full
		}
		if total > 1<<30 {
			t.Fatal("it takes whatever comes")
		}
	}
	if n := c.WriteTold([]byte("x")); n != 0 {
		t.Errorf("%d bytes were written where there is no room", n)
	}
	_, _ = other.Write([]byte("x"))
	other.(*Conn).CloseWrite()
	for c.silent() {
		time.Sleep(time.Millisecond)
	}
	if n, err := c.ReadNow(b); n != 1 || err != nil {
		t.Errorf("a byte has come: %d, %v", n, err)
	}
	for c.silent() {
		time.Sleep(time.Millisecond)
	}
	if n, err := c.ReadNow(b); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("it has ended: %d, %v", n, err)
	}
	c.Close()
	if _, err := c.ReadNow(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it is closed: %v", err)
	}
}

func (c *Conn) silent() (silent bool) {
	_ = c.raw.Control(func(fd uintptr) { silent = Silent(fd) })
	return silent
}

// TestSilent: what has come, the other end's goodbye and a reset are heard.
func TestSilent(t *testing.T) {
	for name, end := range map[string]func(net.Conn){
		"bytes":   func(other net.Conn) { _, _ = other.Write([]byte("x")) },
		"goodbye": func(other net.Conn) { other.Close() },
		"reset":   func(other net.Conn) { _ = other.(*Conn).Conn.(*net.TCPConn).SetLinger(0); other.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c, other, _ := spied(t)
			if !c.silent() {
				t.Fatal("nothing has come")
			}
			end(other)
			for began := time.Now(); c.silent(); time.Sleep(time.Millisecond) {
				if time.Since(began) > 10*time.Second {
					t.Fatal("it was not heard")
				}
			}
		})
	}
}
