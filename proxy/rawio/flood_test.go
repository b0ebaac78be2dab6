package rawio

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestDeadlineOfAFlood: a reader that never has to wait fails soon after its
// deadline all the same, as it does in package net.
func TestDeadlineOfAFlood(t *testing.T) {
	p := sockets(t, "tcp", "127.0.0.1:0")
	defer p.in.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, most); ; {
			if _, err := p.out.Write(b); err != nil {
				return
			}
		}
	}()
	const limit = 100 * time.Millisecond
	time.Sleep(limit / 2) // so that not even the first read waits
	_ = p.in.SetReadDeadline(time.Now().Add(limit))
	var err error
	b, began := make([]byte, 512), time.Now()
	for err == nil && time.Since(began) < 10*limit {
		_, err = p.in.Read(b)
		time.Sleep(100 * time.Microsecond) // what the reader does with it; the sender is quicker
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v after a deadline of %v: %v", time.Since(began), limit, err)
	}
	p.out.(net.Conn).Close()
	p.in.Close()
	<-done
}
