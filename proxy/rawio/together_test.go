package rawio

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"time"
)

// TestTogetherThoughEarly: what several write at a time goes out in one piece each,
// also where the runtime's deadline comes in the middle, too early.
func TestTogetherThoughEarly(t *testing.T) {
	c, other, _ := spied(t)
	const writers, each = 2, 300
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			b := bytes.Repeat([]byte{byte('a' + i)}, most)
			for range each {
				if _, err := c.Write(b); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); c.CloseWrite(); close(done) }()
	go func() {
		for open := true; open; {
			c.out.due.tooEarly(time.Millisecond)
			select {
			case <-done:
				open = false
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	piece := make([]byte, most)
	for n := 0; ; n++ {
		if _, err := io.ReadFull(other, piece); err != nil {
			if n != writers*each {
				t.Errorf("%d of %d came: %v", n, writers*each, err)
			}
			return
		}
		if !bytes.Equal(piece, bytes.Repeat(piece[:1], most)) {
			t.Errorf("write %d is mixed with another", n)
			c.Close()
			writing.Wait()
			return
		}
		time.Sleep(500 * time.Microsecond) // so that the writers wait
	}
}

// tooEarly gives the runtime a deadline that nobody wants.
func (d *deadline) tooEarly(in time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := time.Now().Add(in)
	d.given = at.Sub(epoch)
	_ = d.give(at)
}
