package contract

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

func testEcho(t *testing.T, c *connection) {
	for id := range 100 {
		c.call(t, id, "echo")
		c.wantEcho(t, id)
	}
	// Bytes come back as they were sent.
	const odd = `{"big":9007199254740993,"b":1,"a":"\u0000\ufeff` + "\u200d\u00ad\u2028" + `"}`
	if err := c.send(`{"jsonrpc":"2.0","id":"x","method":"echo","params":%s}`, odd); err != nil {
		t.Fatal(err)
	}
	c.receiver.want(t, `message {"jsonrpc":"2.0","id":"x","result":`+odd+`}`)
}

func testLargest(t *testing.T, c *connection) {
	// To the peer: more than the queue's limit fits when nothing else waits.
	text := strings.Repeat("y", maxMessage-200)
	if err := c.send(`{"jsonrpc":"2.0","id":1,"method":"echo","params":[%q]}`, text); err != nil {
		t.Fatal(err)
	}
	c.receiver.want(t, fmt.Sprintf(`message {"jsonrpc":"2.0","id":1,"result":[%q]}`, text))

	c.call(t, 2, "notify")
	got := c.receiver.next(t)
	if want := len("message ") + maxMessage; len(got) != want || !strings.HasSuffix(got, `x"]}`) {
		t.Errorf("a message of %d bytes arrived as %s", want, shortened(got))
	}
	c.wantEcho(t, 2)
	c.wantUse(t)
}

func testTooLong(t *testing.T, c *connection) {
	c.call(t, 7, "long")
	for range 2 {
		if size := c.receiver.wantTooLong(t, "7"); size <= maxMessage {
			t.Errorf("a message of %d bytes was skipped, the limit is %d", size, maxMessage)
		}
	}
	c.wantUse(t)
}

func testEndless(t *testing.T, c *connection) {
	if c.framed {
		endlessMessage() // the peer is in this process
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.call(t, endlessID, "endless")
	if size := c.receiver.wantTooLong(t, "8"); size <= maxMessage {
		t.Errorf("a message of %d bytes was skipped, the limit is %d", size, maxMessage)
	}
	c.wantUse(t) // the line has come to its end
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16*maxMessage {
		t.Errorf("a line of %d MiB was skipped with %d MiB of memory", endlessMegabytes, grown>>20)
	}
}

func testGarbage(t *testing.T, c *connection) {
	c.call(t, 3, "garbage")
	pieces := 6
	if c.framed {
		pieces = 5
	}
	for range pieces {
		c.receiver.want(t, "garbage ")
	}
	c.receiver.want(t, "garbage 3")
	c.wantEcho(t, 3)
	c.wantUse(t)
}

func testBatch(t *testing.T, c *connection) {
	c.call(t, 4, "batch")
	c.wantEcho(t, 4)
	c.receiver.want(t, "garbage ")
	c.receiver.want(t, `message {"jsonrpc":"2.0","method":"between"}`)
	c.wantEcho(t, 4)
	c.wantUse(t)
}

func testUnendedLine(t *testing.T, c *connection) {
	c.call(t, 5, "unended")
	c.wantEcho(t, 5)
	if c.apart {
		c.wantUse(t)
		return
	}
	c.receiver.wantEnd(t)
	wantErr(t, c.send(`{}`), backend.ErrClosed)
}

func testPartial(t *testing.T, c *connection) {
	c.call(t, 5, "echo")
	c.wantEcho(t, 5)
	if c.framed { // the peer dies in the middle of a frame, of which nothing is heard
		c.call(t, 6, "cut")
		c.wantLost(t, 6)
		return
	}
	c.call(t, 6, "partial")
	if got := c.receiver.next(t); !strings.HasPrefix(got, "garbage") {
		t.Errorf("half a message was reported as %s", shortened(got))
	}
	c.wantLost(t, 6)
}

func testDeath(t *testing.T, c *connection) {
	c.call(t, 1, "echo")
	c.wantEcho(t, 1)
	c.call(t, 2, "die")
	if c.apart {
		c.wantLost(t, 2)
		return
	}
	if err := c.receiver.wantEnd(t); err != nil && len(err.Error()) < 10 {
		t.Errorf("Closed says only %q", err)
	}
	wantErr(t, c.send(`{}`), backend.ErrClosed)
}

// testHalf: a peer that says nothing more is as good as gone, also while it
// reads.
func testHalf(t *testing.T, c *connection) {
	c.call(t, 1, "echo")
	c.wantEcho(t, 1)
	c.call(t, 2, "half")
	c.wantLost(t, 2)
}

// testLate: nothing is given up because it takes its time.
func testLate(t *testing.T, c *connection) {
	c.call(t, 1, "late")
	c.call(t, 2, "echo")
	c.call(t, 3, "late")
	c.wantEchoes(t, 1, 3)
	c.wantUse(t)
}

// testCloseEarly: what is answered too late is answered to nobody.
func testCloseEarly(t *testing.T, c *connection) {
	c.call(t, 1, "late")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.conn.Close(ctx)
	for got := c.receiver.next(t); got != ""; got = c.receiver.next(t) {
		if !strings.HasPrefix(got, `message {"jsonrpc":"2.0","id":1,`) {
			t.Errorf("the connection reported %s", shortened(got))
		}
	}
}

// testConcurrent: senders do not mix, nor disturb the order of each other's
// messages. How many calls wait for their answer is bounded: where each has a
// connection of its own, thousands would be opened at once, and what is looked
// at here needs no more than some hundreds.
func testConcurrent(t *testing.T, c *connection) {
	const senders, each, inFlight = 16, 200, 256
	room, over := make(chan struct{}, inFlight), make(chan struct{})
	var sending sync.WaitGroup
	defer sending.Wait()
	defer close(over)
	for sender := range senders {
		sending.Go(func() {
			for n := range each {
				select {
				case room <- struct{}{}:
				case <-over:
					return
				}
				// Now and then one that is large enough to be written by itself.
				pad := strings.Repeat("z", (n%50/49)*20_000)
				text := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"echo","params":[%d,%d,"%s"]}`, sender, n, pad)
				if err := c.sendWhenFree(text, over); err != nil {
					t.Errorf("Send: %v", err)
					return
				}
			}
		})
	}
	var next [senders]int
	for range senders * each {
		got := c.receiver.next(t)
		var sender, n int
		if _, err := fmt.Sscanf(got, `message {"jsonrpc":"2.0","id":1,"result":[%d,%d,`, &sender, &n); err != nil {
			t.Fatalf("a message was not kept whole: %s", shortened(got))
		}
		if n != next[sender] && !c.loose {
			t.Fatalf("sender %d: message %d came where %d was due", sender, n, next[sender])
		}
		next[sender]++
		<-room
	}
}

// sendWhenFree sends a message as soon as the queue has room for it: what waits
// is bounded, and that is another test's matter.
func (c *connection) sendWhenFree(text string, over <-chan struct{}) error {
	for {
		err := c.conn.Send(c.message(text))
		if err != backend.ErrFull {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-over:
			return nil
		}
	}
}

func testSilent(t *testing.T, c *connection) {
	for id := range 10 {
		c.call(t, id, "echo")
	}
	c.conn.Close(context.Background())
	c.receiver.want(t, "")
}

// testDeaf: what waits for a peer that does not read is bounded. What the system
// takes by itself it may take in pieces, so the queue is full for good only
// after it has been full for a while.
func testDeaf(t *testing.T, c *connection) {
	text := strings.Repeat("x", 1000)
	const forGood = 20
	sent := 0
	for full := 0; full < forGood; {
		switch err := c.send(`{"jsonrpc":"2.0","method":"n","params":[%q]}`, text); err {
		case nil:
			sent, full = sent+len(text), 0
		case backend.ErrFull:
			full++
			time.Sleep(time.Millisecond)
		default:
			t.Fatalf("Send: %v", err)
		}
		if sent > 64*maxQueue { // the queue, and what a system takes at most
			t.Fatalf("%d bytes were taken for a peer that does not read; the limit is %d", sent, maxQueue)
		}
	}
}

func testDeafAndLarge(t *testing.T, c *connection) {
	text := strings.Repeat("x", maxMessage)
	if err := c.send(`[%q]`, text); err != nil {
		t.Errorf("one message of the largest size, nothing else waiting: %v", err)
	}
	wantErr(t, c.send(`[%q]`, text), backend.ErrFull)
}

func testCloseTwice(t *testing.T, c *connection) {
	c.wantUse(t)
	var closing sync.WaitGroup
	for range 4 {
		closing.Go(func() {
			c.conn.Close(context.Background())
			wantErr(t, c.send(`{}`), backend.ErrClosed)
		})
	}
	closing.Wait()
	c.conn.Close(context.Background())
	c.receiver.want(t, "")
	err := <-c.receiver.closed
	c.receiver.closed <- err
	if err != nil {
		t.Errorf("Closed after Close: %v, want nil", err)
	}
}

func testHurry(t *testing.T, c *connection) {
	if err := c.send(`[%q]`, strings.Repeat("x", maxMessage)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.conn.Close(ctx)
	c.receiver.wantClosed(t)
	c.receiver.closed <- nil // for the check that every test ends with
}

// testFlush: what was sent before Close still goes out.
func testFlush(t *testing.T, c *connection) {
	const calls = 100
	for id := range calls {
		c.call(t, id, "echo")
	}
	c.conn.Close(context.Background())
	c.wantEchoes(t, 0, calls)
}

// testBudgetFull: what there is no room for is skipped and reported. The message
// leaves room in the queue for the one before it, which a server may have
// answered before its bytes are taken off the count.
func testBudgetFull(t *testing.T, c *connection) {
	c.wantUse(t)
	c.budget.setLimit(0)
	text := `{"jsonrpc":"2.0","id":3,"method":"echo","params":["` + strings.Repeat("b", maxQueue/8) + `"]}`
	msg := wire.Acquire(len(text)) // not charged, for there is no room
	msg.B = append(msg.B, text...)
	if err := c.conn.Send(msg); err != nil {
		t.Fatal(err)
	}
	if size := c.receiver.wantTooLong(t, "3"); size > maxMessage {
		t.Errorf("without room: a size of %d bytes, past the limit of %d", size, maxMessage)
	}
	c.budget.setLimit(1 << 40)
	c.wantUse(t)
}
