package stream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A churn is many clients that come and go, so that descriptors are used again at
// once, while each is told what is for it alone.
type churn struct {
	*bench
	telling sync.Mutex
	told    map[int]int // how much each client has been told
	boxes   map[int]*Outbox
}

// TestChurn: each client hears what is for it, all of it and in order, and nothing
// else; and however it leaves, the gate notices.
func TestChurn(t *testing.T) {
	const clients, rounds = 32, 30
	c := &churn{bench: newBench(t, nil), told: map[int]int{}, boxes: map[int]*Outbox{}}
	over := make(chan struct{})
	var teller, coming sync.WaitGroup
	teller.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				c.tell()
			}
		}
	})
	for i := range clients {
		coming.Go(func() {
			for round := range rounds {
				if err := c.come(t, i*rounds+round, leaving[(i+round)%len(leaving)]); err != nil {
					t.Errorf("client %d: %v", i*rounds+round, err)
					return
				}
			}
		})
	}
	coming.Wait()
	close(over)
	teller.Wait()
	c.idle()
}

// tell tells everybody who is there one thing more.
func (c *churn) tell() {
	c.telling.Lock()
	defer c.telling.Unlock()
	for id, box := range c.boxes {
		msg := c.msg(fmt.Sprintf("<%d:%d>", id, c.told[id]))
		if !box.Main().Send(msg) {
			msg.Release()
		}
		c.told[id]++
	}
	time.Sleep(time.Millisecond)
}

// leaving are the ways in which a connection ends.
var leaving = []func(client net.Conn, box *Outbox){
	func(client net.Conn, _ *Outbox) { client.Close() },
	func(client net.Conn, _ *Outbox) { client.(*net.TCPConn).SetLinger(0); client.Close() },
	func(client net.Conn, _ *Outbox) { client.(*net.TCPConn).CloseWrite() },
	func(_ net.Conn, box *Outbox) { box.Close(nil) },
}

// come is the life of one client.
func (c *churn) come(t *testing.T, id int, leave func(net.Conn, *Outbox)) error {
	client, server := tcpPair(t)
	defer client.Close()
	socket := NewSocket(server, func() {})
	defer socket.Close()
	socket.watchWith(c.poller)
	box := NewOutbox(c.box.options, c)
	defer box.Close(nil)
	ended := make(chan bool, 1)
	box.Main().Hold(NewConn(socket, Request{HTTP11: true, Keep: true}, time.Minute), 0, func(reusable bool) { ended <- reusable })

	c.telling.Lock()
	c.boxes[id] = box
	c.telling.Unlock()
	err := hears(client, id, 1+id%5)
	c.telling.Lock()
	delete(c.boxes, id)
	c.telling.Unlock()
	if err != nil {
		return err
	}
	leave(client, box)
	select {
	case reusable := <-ended:
		if reusable {
			return asksAgain(client, socket)
		}
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("nobody noticed that it left")
	}
}

var told = regexp.MustCompile(`<(\d+):(\d+)>`)

// hears reads a stream until want messages have come.
func hears(client net.Conn, id, want int) error {
	client.SetReadDeadline(time.Now().Add(20 * time.Second))
	all := make([]byte, 0, 4<<10)
	for {
		got := told.FindAllString(string(all), -1)
		for n, text := range got {
			if text != fmt.Sprintf("<%d:%d>", id, n) {
				return fmt.Errorf("heard %s as number %d", text, n)
			}
		}
		if len(got) >= want {
			return nil
		}
		chunk := make([]byte, 1<<10)
		n, err := client.Read(chunk)
		if err != nil {
			return fmt.Errorf("%w after %q", err, all)
		}
		all = append(all, chunk[:n]...)
	}
}

// asksAgain sends another request on a connection whose stream is over.
func asksAgain(client net.Conn, socket *Socket) error {
	ended := make(chan error, 1)
	socket.Ready(time.Minute, func(err error) { ended <- err })
	rest, err := readTo(client, "0\r\n\r\n")
	if err != nil {
		return fmt.Errorf("%w after %q", err, rest)
	}
	io.WriteString(client, "again")
	if err := <-ended; err != nil {
		return err
	}
	got := make([]byte, len("again"))
	if _, err := io.ReadFull(socket, got); err != nil || string(got) != "again" {
		return fmt.Errorf("the next request is %q, %v", got, err)
	}
	return nil
}

// readTo reads up to what ends with end.
func readTo(client net.Conn, end string) (all string, err error) {
	for chunk := make([]byte, 1<<10); !strings.HasSuffix(all, end); {
		n, err := client.Read(chunk)
		if all += string(chunk[:n]); err != nil {
			return all, err
		}
	}
	return all, nil
}
