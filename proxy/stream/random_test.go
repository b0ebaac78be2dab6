package stream

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidegate/limits"
)

// TestRandom lets clients send, read, leave, come back and take over at random,
// while what is kept is evicted. Each sees every event of its stream once and
// in order, or is refused when it comes back.
func TestRandom(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	var seen tally
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) { randomRound(t, uint64(round), &seen) })
	}
	t.Logf("%+v", seen)
	if seen.resumed == 0 || seen.refused == 0 || seen.whole == 0 {
		t.Errorf("%+v: something was not tried", seen)
	}
}

// tally counts what has happened, over all rounds.
type tally struct {
	resumed, anew, refused int // connections
	whole                  int // streams that came without a gap
}

func randomRound(t *testing.T, seed uint64, seen *tally) {
	random := rand.New(rand.NewPCG(seed, 1))
	b := newBench(t, func(o *Options) {
		o.KeepAlive = time.Duration(5+random.IntN(50)) * time.Millisecond
		o.ReplayEvents = []int{0, 30, 1000, 1000}[random.IntN(4)]
		o.ReplayBytes = []int{2000, 300_000, 8 << 20, 8 << 20}[random.IntN(4)]
		if random.IntN(5) == 0 {
			o.Replay = limits.NewBytes([]int64{1, 5000, 1 << 20}[random.IntN(3)])
		}
	})
	b.box.SetPriming(random.IntN(2) == 0)
	var clients sync.WaitGroup
	all := make([]*client, 4)
	for n := range all {
		c := &client{bench: b, stream: b.box.Main(), main: true, random: rand.New(rand.NewPCG(seed, uint64(2+n)))}
		if n > 0 {
			c.stream, c.main = b.box.OpenEvents(1), false
		}
		all[n] = c
		clients.Go(c.run)
	}
	clients.Wait()
	for _, c := range all {
		seen.resumed += c.tally.resumed
		seen.anew += c.tally.anew
		seen.refused += c.tally.refused
		if c.tally.refused == 0 && c.want == randomEvents {
			seen.whole++
		}
	}
}

// client is a client of one stream, and what sends to it.
type client struct {
	*bench
	stream *Stream
	main   bool
	random *rand.Rand

	all     atomic.Bool
	reading *reading

	lastID  string
	want    int  // the next event
	gap     bool // events may be missing before it
	refused bool
	tally   tally
}

const randomEvents = 120

func (c *client) run() {
	var sender sync.WaitGroup
	pace := rand.New(rand.NewPCG(c.random.Uint64(), 0))
	sender.Go(func() { c.send(pace) })
	for !c.all.Load() && !c.done() {
		c.look()
		hasty := c.random.IntN(200) == 0 // it may never learn an event id
		switch c.random.IntN(4) {
		case 0:
			if c.lastID != "" || hasty {
				c.leave()
			}
		case 1:
			if c.reading == nil || c.lastID != "" || hasty {
				c.connect() // takes over where it is still connected
			}
		default:
			time.Sleep(time.Duration(c.random.IntN(3000)) * time.Microsecond)
		}
	}
	sender.Wait()
	c.finish()
}

// send sends all events, small and large, in bursts and with pauses.
func (c *client) send(pace *rand.Rand) {
	for n := range randomEvents {
		c.audit()
		msg := c.msg(fmt.Sprintf("%d %s", n, strings.Repeat("x", pace.IntN(50)*pace.IntN(50)*pace.IntN(12))))
		switch {
		case !c.main && n == randomEvents-1:
			c.stream.Answer(msg)
		case !c.stream.Send(msg):
			msg.Release()
		}
		if pace.IntN(4) == 0 {
			time.Sleep(time.Duration(pace.IntN(2000)) * time.Microsecond)
		}
	}
	c.all.Store(true)
}

// done tells that the client cannot come back any more: it was refused, or it
// never learnt an event id. Only the GET stream can be opened anew.
func (c *client) done() bool { return c.refused && !c.main }

// finish reads what is left.
func (c *client) finish() {
	end := time.Now().Add(20 * time.Second)
	for !c.complete() {
		if time.Now().After(end) {
			c.t.Errorf("event %d did not come", c.want)
			break
		}
		if c.reading == nil || c.reading.ended() { // it has left, or one that was on its way has taken over
			c.connect()
		}
		time.Sleep(time.Millisecond)
	}
	c.leave()
}

// complete tells whether all has come that can come.
func (c *client) complete() bool {
	c.look()
	return c.want == randomEvents || c.done() || c.main && c.gap && c.idle()
}

// idle tells that there is nothing more on the GET stream: what is missing was
// evicted before its client was there.
func (c *client) idle() bool {
	c.box.mu.Lock()
	defer c.box.mu.Unlock()
	conn := c.stream.conn
	return conn != nil && conn.headed && !conn.writing && c.stream.written == c.stream.next()
}

// connect opens a connection: the first one, one that resumes, or one that
// takes over.
func (c *client) connect() {
	c.look()
	if c.reading != nil {
		c.reading.stop() // what still comes on it does not count
		c.look()
	}
	stream, from := c.stream, uint64(0)
	switch {
	case c.lastID != "":
		found, next, refused := c.box.Find([]byte(c.lastID))
		if refused != nil {
			c.lose()
			return
		}
		if found != c.stream {
			c.t.Errorf("%s names another stream", c.lastID)
		}
		stream, from = found, next
		c.tally.resumed++
	case c.main:
		c.gap = true // what was sent to who did not read it
	case c.reading != nil: // it has had its first connection, and learnt no id there
		c.lose()
		return
	default:
		c.tally.anew++
	}
	old := c.reading
	c.reading = read(c.open(stream, from), rand.New(rand.NewPCG(c.random.Uint64(), 0)))
	if old != nil && c.random.IntN(2) == 0 {
		old.close()
	} else if old != nil {
		c.t.Cleanup(old.close) // it hears its end
	}
}

// open connects by TCP, which holds much in its buffers, or by a pipe, which
// holds nothing: there a writer waits for each read.
func (c *client) open(stream *Stream, from uint64) net.Conn {
	if c.random.IntN(2) == 0 {
		conn, _ := c.hold(stream, from)
		return conn
	}
	conn, _ := c.pipe(stream, from, held)
	return conn
}

// lose is what a client does that cannot resume: of a POST's stream it hears
// no more; the GET stream it opens anew.
func (c *client) lose() {
	c.leave()
	c.refused, c.gap, c.lastID = true, true, ""
	c.tally.refused++
}

func (c *client) leave() {
	if c.reading != nil {
		c.look()
		c.reading.stop()
		c.look()
		c.reading.close()
	}
}

// look takes in what has come.
func (c *client) look() {
	if c.reading == nil {
		return
	}
	for _, e := range c.reading.take() {
		c.lastID = e.id
		if e.data == "" {
			continue // priming
		}
		text, _, _ := strings.Cut(e.data, " ")
		n, err := strconv.Atoi(text)
		if err != nil || n < c.want || n > c.want && !c.gap {
			c.t.Errorf("event %.20q came as %s, want number %d (a gap: %v)", e.data, e.id, c.want, c.gap)
		}
		c.want, c.gap = n+1, false
	}
}

// audit checks the accounts against what is held.
func (b *bench) audit() {
	b.box.mu.Lock()
	defer b.box.mu.Unlock()
	streams := []*Stream{b.box.mainStream()}
	for _, s := range b.box.streams {
		streams = append(streams, s)
	}
	events, bytes := 0, 0
	for _, s := range streams {
		if s.first > s.kept || s.kept > s.next() || s.first > s.written || s.written > s.next() {
			b.t.Errorf("first %d, kept %d, written %d, next %d", s.first, s.kept, s.written, s.next())
			return
		}
		inFlight := 0
		for i, msg := range s.held {
			if s.first+uint64(i) < s.kept {
				events, bytes = events+1, bytes+len(msg.B)
			} else {
				inFlight += len(msg.B)
			}
		}
		if inFlight != s.inFlight {
			b.t.Errorf("%d bytes are in flight, counted as %d", inFlight, s.inFlight)
		}
	}
	if r := &b.box.replay; events != r.events || bytes != r.bytes || len(r.log) != events {
		b.t.Errorf("%d events of %d bytes are kept, counted as %d of %d, with %d entries", events, bytes, r.events, r.bytes, len(r.log))
	}
}

// reading is a client's end of one connection.
type reading struct {
	conn net.Conn
	over chan struct{} // nothing more comes

	mu      sync.Mutex
	events  []event
	stopped bool
}

type event struct{ id, data string }

// read reads a connection to its end, now and then with pauses.
func read(conn net.Conn, random *rand.Rand) *reading {
	r := &reading{conn: conn, over: make(chan struct{})}
	go func() {
		defer close(r.over)
		response, err := http.ReadResponse(bufio.NewReaderSize(conn, 16+random.IntN(4096)), nil)
		if err != nil {
			return
		}
		events := bufio.NewScanner(response.Body)
		events.Buffer(nil, 1<<20)
		events.Split(splitEvents)
		for events.Scan() {
			r.add(events.Text())
			if random.IntN(10) == 0 {
				time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
			}
		}
	}()
	return r
}

// splitEvents cuts a stream behind blank lines. What is cut in its middle is no
// event.
func splitEvents(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.Index(data, []byte("\n\n")); i >= 0 {
		return i + 2, data[:i], nil
	}
	if atEOF {
		return len(data), nil, io.EOF
	}
	return 0, nil, nil
}

func (r *reading) add(text string) {
	var e event
	for line := range strings.Lines(text + "\n") {
		line = strings.TrimSuffix(line, "\n")
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			e.id = id
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			e.data = data
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.id != "" && !r.stopped {
		r.events = append(r.events, e)
	}
}

func (r *reading) take() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

func (r *reading) ended() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

func (r *reading) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

func (r *reading) close() {
	r.conn.Close()
	<-r.over
}
