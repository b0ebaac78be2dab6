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

// finish reads what is left and checks that nothing is missing.
func (c *client) finish() {
	if c.main {
		c.connect()
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			c.look()
			if c.want == randomEvents || c.cutOff() {
				break
			}
			if time.Now().After(end) {
				c.box.mu.Lock()
				cc := c.stream.conn
				c.t.Errorf("want %d gap %v last %q refused %v; first %d kept %d written %d next %d; why %q stopped %v conn %+v", c.want, c.gap, c.lastID, c.refused, c.stream.first, c.stream.kept, c.stream.written, c.stream.next(), c.reading.why, c.reading.stopped, cc)
				c.box.mu.Unlock()
				break
			}
		}
		c.leave()
		return
	}
	for !c.done() && c.want < randomEvents {
		c.connect()
		if c.reading != nil {
			<-c.reading.over
		}
		c.look()
	}
	c.leave()
}

// cutOff tells that the events that are missing cannot come: they were evicted
// before the client was there.
func (c *client) cutOff() bool {
	c.box.mu.Lock()
	defer c.box.mu.Unlock()
	conn := c.stream.conn
	return conn == nil || !conn.writing && c.stream.written == c.stream.next() && c.gap
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
	ours, theirs := net.Pipe()
	socket := NewSocket(theirs, func() {})
	conn, err := NewConn(hijacked{socket, bufio.NewReader(socket)}, Request{HTTP11: true, Keep: true}, c.box.options.WriteTimeout)
	if err != nil {
		c.t.Error(err)
	}
	c.owners.Go(func() {
		stream.Hold(conn, from)
		socket.Close()
	})
	return ours
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

// reading is a client's end of one connection.
type reading struct {
	conn net.Conn
	over chan struct{} // nothing more comes
	why  string

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
			r.why = err.Error()
			return
		}
		r.why = "head"
		events := bufio.NewScanner(response.Body)
		events.Buffer(nil, 1<<20)
		events.Split(splitEvents)
		for events.Scan() {
			r.add(events.Text())
			r.why = "event"
			if random.IntN(10) == 0 {
				time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
			}
		}
		r.why += fmt.Sprint(" end ", events.Err())
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

func (r *reading) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

func (r *reading) close() {
	r.conn.Close()
	<-r.over
}
