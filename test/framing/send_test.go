package framing

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// An answer is one response to a probe.
type answer struct {
	status int // 0: no HTTP, as before HTTP/1.0
	body   string
}

// An outcome is all that came back on a probe's connection, up to its end.
type outcome struct {
	answers []answer // without those of 1xx, after which another comes
	closed  bool     // the end came before the client had said that it has no more to send
}

// lull is how long a client waits for an answer to what may be half a request
// before it says that no more will come. What is well-formed is waited for
// until it is answered.
const lull = 200 * time.Millisecond

// send sends a probe on a connection of its own and reads to the end.
func (c *column) send(t *testing.T, p *probe) outcome {
	conn, err := net.DialTimeout(c.network, c.addr, harness.Patience)
	if err != nil {
		t.Errorf("%s: %v", p.name, err)
		return outcome{}
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * harness.Patience))
	arrived := make(chan answer)
	go func() {
		defer close(arrived)
		readAnswers(conn, p, arrived)
	}()
	go conn.Write(p.bytes()) // it may be refused half-way, and the deadline bounds it

	patience := lull
	if p.verdict == whole {
		patience = harness.Patience
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var out outcome
	said := false
	enough := func() {
		if !said {
			said = true
			conn.(interface{ CloseWrite() error }).CloseWrite()
		}
	}
	for {
		select {
		case a, more := <-arrived:
			if !more {
				out.closed = !said
				return out
			}
			out.answers = append(out.answers, a)
			if len(out.answers) >= p.answers {
				enough()
			}
		case <-timer.C:
			enough()
		}
	}
}

// readAnswers hands over the responses until there are no more.
func readAnswers(conn net.Conn, p *probe, to chan<- answer) {
	r := bufio.NewReader(conn)
	method := p.way.method
	for {
		if start, err := r.Peek(5); err != nil || string(start) != "HTTP/" {
			if rest, _ := io.ReadAll(r); len(rest) > 0 {
				to <- answer{body: string(rest)}
			}
			return
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode >= 200 {
			to <- answer{resp.StatusCode, string(body)}
			method = "GET" // the canary's
		}
		if err != nil {
			return
		}
	}
}
