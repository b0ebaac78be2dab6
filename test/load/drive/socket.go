package drive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"sidegate/test/load/rpc"
)

// A Socket is a WebSocket on which many calls are under way at once.
type Socket struct {
	conn    *conn
	number  uint64
	message message
	sent    uint64
	done    []bool // by number of call, from 1 on
	open    int    // calls without an answer
	out     []byte
	balance Balance
}

// OpenSocket opens a WebSocket and its session. A socket's messages have size
// bytes.
func OpenSocket(d Door, size int) (*Socket, error) {
	c, err := dial(d.Addr)
	if err != nil {
		return nil, err
	}
	c.buf = make([]byte, 64<<10)
	if err = c.upgrade(d); err == nil {
		err = c.greet()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	body := echo(false, size)
	return &Socket{conn: c, number: callers.Add(1), message: prepare(frame(textFrame, []byte(body)), body), done: []bool{true}}, nil
}

// Run keeps window calls under way for a while and then waits for the last
// answers. Whatever one read brings is answered with as many calls in one
// write.
func (s *Socket) Run(ctx context.Context, window int, while time.Duration) *Report {
	start := time.Now()
	report := &Report{Latency: histogram()}
	err := s.send(window)
	for err == nil && s.open > 0 {
		var news int
		if news, err = s.receive(); err != nil {
			break
		}
		if ctx.Err() == nil && time.Since(start) < while {
			err = s.send(news)
		}
	}
	if err != nil {
		s.balance.note(err.Error())
	}
	s.balance.Ended[Lost] += int64(s.open)
	s.open = 0
	report.Balance, s.balance = s.balance, Balance{}
	report.Elapsed = time.Since(start)
	return report
}

// send sends n calls in one write.
func (s *Socket) send(n int) error {
	s.out = s.out[:0]
	for range n {
		s.sent++
		s.message.mark(s.number, s.sent)
		s.out = append(s.out, s.message.bytes...)
		s.done = append(s.done, false)
	}
	s.open += n
	s.balance.Sent += int64(n)
	s.conn.SetDeadline(time.Now().Add(patience))
	_, err := s.conn.Write(s.out)
	return err
}

// receive judges the answers that have come, at least one, and says how many
// calls they ended.
func (s *Socket) receive() (ended int, err error) {
	for {
		body, err := s.conn.frame()
		if err != nil {
			return ended, err
		}
		if s.judge(body) {
			ended++
		}
		if !s.conn.waiting() {
			return ended, nil
		}
	}
}

// judge compares a message with the call that it names, and tells whether it
// ended it.
func (s *Socket) judge(body []byte) bool {
	id := rpc.Member(body, "id")
	if id == nil || rpc.Member(body, "method") != nil {
		return false
	}
	n, err := strconv.ParseUint(string(id), 10, 64)
	call := n % 100_000_000
	if err != nil || call >= uint64(len(s.done)) || s.done[call] {
		s.balance.Twice++
		s.balance.note(fmt.Sprintf("an answer to no call, or a second one: %.200s", body))
		return false
	}
	s.message.mark(s.number, call)
	verdict, reason := judgeMessage(body, &s.message)
	s.done[call] = true
	s.open--
	s.balance.count(verdict, reason)
	return true
}

// Gone tells whether the server has ended the connection since the last call:
// what is sent on it now would be lost, and what the server said with it.
func (s *Socket) Gone() bool {
	c := s.conn
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	err := c.fill(1)
	if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
		err = nil
	}
	return err != nil || c.r < c.w && c.buf[c.r]&0x0f == closeFrame
}

// Close says goodbye.
func (s *Socket) Close() {
	s.conn.Write(frame(closeFrame, []byte{3, 232}))
	s.conn.Close()
}
