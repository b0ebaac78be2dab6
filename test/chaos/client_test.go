//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"sidegate/test/load/drive"
)

// Orders are what a process of clients is told.
type Orders struct {
	Addr    string
	Server  string // its name, at the gate
	Callers int
	Every   time.Duration // from call to call, of one caller
	Size    int           // of a message in bytes; no other process has the same, which tells their answers apart
	Ledger  string
	Plain   bool // Streamable HTTP alone
}

// client is a process of clients, who call until stdin ends. Then it prints
// why calls have not been answered, and how many for each reason.
func client(args []string) error {
	var o Orders
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return err
	}
	l, err := openLedger(o.Ledger)
	if err != nil {
		return err
	}
	c := &clients{Orders: o, ledger: l, reasons: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var calling sync.WaitGroup
	for n := range o.Callers {
		// Their first calls are spread over the time between two.
		first := time.Now().Add(o.Every * time.Duration(n) / time.Duration(o.Callers))
		calling.Go(func() { c.live(ctx, c.kind(n), first) })
	}
	calling.Wait()
	return json.NewEncoder(os.Stdout).Encode(c.reasons)
}

type clients struct {
	Orders
	ledger *ledger

	mu      sync.Mutex
	reasons map[string]int
}

// A caller makes calls, one after the other or several at once.
type caller interface {
	call()
	leave()
}

// Of five callers three have a session of Streamable HTTP, one sends modern
// requests, and one has a WebSocket.
const kinds = 5

func isSocket(n int) bool { return n%kinds == 4 }

// burst is how many calls a WebSocket has under way at once.
const burst = 4

func (c *clients) kind(n int) caller {
	path := "/servers/" + c.Server
	switch {
	case isSocket(n) && !c.Plain:
		return &socketCaller{clients: c, door: drive.Door{Addr: c.Addr, Path: path + "/ws"}}
	case n%kinds == 3 && !c.Plain:
		return &httpCaller{clients: c, door: drive.Door{Addr: c.Addr, Path: path + "/mcp", Modern: true}}
	}
	return &httpCaller{clients: c, door: drive.Door{Addr: c.Addr, Path: path + "/mcp"}}
}

// live calls whenever a call is due. Calls that were due for more than a second
// are left out, so that a fault is not followed by a flood.
func (c *clients) live(ctx context.Context, who caller, due time.Time) {
	every := c.Every
	if _, ok := who.(*socketCaller); ok {
		every *= burst
	}
	defer who.leave()
	for {
		if behind := time.Since(due); behind > time.Second {
			c.ledger.add(late, int64(behind/every))
			due = due.Add(behind - behind%every)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		who.call()
		due = due.Add(every)
	}
}

// end counts the ends of calls that were not answered right.
func (c *clients) end(e entry, n int64, reason string) {
	c.ledger.add(e, n)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reasons) < 1000 { // they may have ids in them
		c.reasons[short(reason)] += int(n)
	}
}

var (
	message = regexp.MustCompile(`"code":(-?\d+),"message":"((?:[^"\\]|\\.)+)`)
	closed  = regexp.MustCompile(`closed: "\\x03.*[a-z]{3}`) // a close frame with a code and words
	ports   = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// short is what many reasons have in common.
func short(reason string) string {
	if m := message.FindStringSubmatch(reason); m != nil {
		return m[1] + " " + m[2]
	}
	return ports.ReplaceAllString(reason, "…")
}

// refusal tells whether an error has a code, and words for a person.
func refusal(reason string) entry {
	if message.MatchString(reason) {
		return refused
	}
	return mute
}

// failure tells what an error of the connection means.
func failure(reason string) entry {
	switch {
	case strings.HasPrefix(reason, "dial "):
		return unsent
	case strings.Contains(reason, "got status"), strings.HasPrefix(reason, "initialize got {"):
		return refusal(reason)
	case closed.MatchString(reason):
		return refused
	}
	for _, sign := range []string{"EOF", "connection reset by peer", "broken pipe", `closed: ""`} {
		if strings.HasSuffix(reason, sign) {
			return cut
		}
	}
	return lost
}

// httpCaller calls by Streamable HTTP, one call after the other.
type httpCaller struct {
	*clients
	door   drive.Door
	caller *drive.Caller
}

func (h *httpCaller) call() {
	h.ledger.add(sent, 1)
	if h.caller == nil { // initialize is a call like others
		var err error
		if h.caller, err = drive.Open(h.door, drive.Work{Size: h.Size}); err != nil {
			h.end(failure(err.Error()), 1, "initialize: "+err.Error())
			return
		}
		if !h.door.Modern {
			h.ledger.add(right, 1)
			return
		}
	}
	verdict, again, reason := h.caller.Try()
	h.ledger.add(twice, again)
	switch verdict {
	case drive.Right:
		h.ledger.add(right, 1)
	case drive.Refused:
		h.end(refusal(reason), 1, reason)
		if strings.HasPrefix(reason, "status 404") {
			h.caller.Leave() // the session is over
			h.caller = nil
		}
	case drive.Lost:
		h.end(failure(reason), 1, reason)
	default:
		h.end(wrong, 1, reason)
	}
}

func (h *httpCaller) leave() {
	if h.caller != nil {
		h.caller.End()
	}
}

// socketCaller has several calls under way on a WebSocket.
type socketCaller struct {
	*clients
	door   drive.Door
	socket *drive.Socket
}

func (s *socketCaller) call() {
	if s.socket == nil {
		s.open()
		return
	}
	if s.socket.Gone() { // between two bursts nobody reads
		s.socket.Close()
		s.socket = nil
		return
	}
	s.ledger.add(sent, burst)
	b := s.socket.Run(context.Background(), burst, 0).Balance
	s.ledger.add(right, b.Ended[drive.Right])
	s.ledger.add(twice, b.Twice)
	if n := b.Ended[drive.Refused]; n > 0 {
		s.end(refusal(b.Example), n, b.Example)
	}
	if n := b.Ended[drive.Wrong]; n > 0 {
		s.end(wrong, n, b.Example)
	}
	n := b.Ended[drive.Lost]
	n += burst - b.Sent // a connection that ends while they are written
	if n > 0 {
		e := failure(b.Example)
		if b.Ended[drive.Refused] > 0 {
			e = cut // the example is of another
		}
		s.end(e, n, b.Example)
		s.socket.Close()
		s.socket = nil
	}
}

func (s *socketCaller) open() {
	s.ledger.add(sent, 1)
	var err error
	if s.socket, err = drive.OpenSocket(s.door, s.Size); err != nil {
		s.end(failure(err.Error()), 1, "open: "+err.Error())
		return
	}
	s.ledger.add(right, 1)
}

func (s *socketCaller) leave() {
	if s.socket != nil {
		s.socket.Close()
	}
}
